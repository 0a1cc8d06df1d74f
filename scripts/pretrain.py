"""Pretrain a base model on prepared token shards:

    python scripts/pretrain.py --name demo --recipe demo
    torchrun --nproc_per_node=8 scripts/pretrain.py --name trionyx-2b --recipe trionyx-2b
"""
from trionyx.core import launch
from trionyx.run import pretrain

if __name__=='__main__': launch(pretrain)
