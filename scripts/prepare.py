"""Prepare a corpus: clean, distinct documents, then token shards; started again, it goes on or does nothing.

    python scripts/prepare.py --name demo --packages --data foi=runs/foi.jsonl --stage docs
    python scripts/prepare.py --name demo --tokenizer demo --stage tokens
"""
from trionyx.core import launch
from trionyx.corpus import prepare

if __name__=='__main__': launch(prepare)
