"""Pretrain a base model on prepared token shards:

    python scripts/pretrain.py --name demo --depth 4 --seq 512 --batch 4096 --steps 500
    torchrun --nproc_per_node=8 scripts/pretrain.py --name trionyx-2b --depth 28
"""
from trionyx.core import launch
from trionyx.run import pretrain

if __name__=='__main__': launch(pretrain)
