"""Serve data sets as the Hugging Face hub does: to practise, or for a cluster without a network.

    python scripts/mirror.py runs/mirror --practice
    python scripts/mirror.py /data/mirror --host 0.0.0.0
"""
from trionyx.core import launch
from trionyx.mirror import mirror

if __name__=='__main__': launch(mirror)
