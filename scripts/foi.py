"""Write generated FOI requests, as documents for pretraining or as conversations for fine-tuning.

    python scripts/foi.py --n 3000 --out runs/data/foi.jsonl --kind docs
    python scripts/foi.py --n 51000 --kind chat --split train
"""
from trionyx.core import launch
from trionyx.foi import foi

if __name__=='__main__': launch(foi)
