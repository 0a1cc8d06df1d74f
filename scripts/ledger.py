"""What a run was trained on: tokens by source and licence, the documents of some steps, the steps of a document:

    python scripts/ledger.py demo
    python scripts/ledger.py demo --steps 100:110
    python scripts/ledger.py demo --doc foi/whatdotheyknow-123
"""
from trionyx.core import launch
from trionyx.ledger import ledger

if __name__=='__main__': launch(ledger)
