"""Train a tokenizer on the clean documents of a data folder:

    python scripts/tokenizer.py --name demo --vocab 4096
"""
from trionyx.core import launch
from trionyx.tokenizer import tokenizer

if __name__=='__main__': launch(tokenizer)
