"""Write a run as a folder that Hugging Face transformers reads: weights, tokenizer, chat template, model card, code.

    python scripts/export.py demo-sft
    python scripts/export.py trionyx-2b-sft --dtype bfloat16 --license apache-2.0 --grid 180 --out trionyx-2b-foi
"""
from trionyx.core import launch
from trionyx.export import export

if __name__=='__main__': launch(export)
