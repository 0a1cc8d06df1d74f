"""Draw the curves of a run in the terminal while it trains:

    python scripts/watch.py demo
    python scripts/watch.py demo --keys loss,val_bpb_by_source/foi,norms/update/head --every 10
"""
from trionyx.core import launch
from trionyx.metrics import watch

if __name__=='__main__': launch(watch)
