"""Write generated FOI requests, as documents for pretraining, as conversations for fine-tuning, or as prompts to keep out of both.

    python scripts/foi.py --n 3000 --out runs/data/foi.jsonl --kind docs
    python scripts/foi.py --n 51000 --kind chat --split train
    python scripts/foi.py --n 150000 --quality fine
    python scripts/foi.py --kind prompts --out runs/evals/foi-prompts.jsonl
"""
from trionyx.core import launch
from trionyx.foi import foi

if __name__=='__main__': launch(foi)
