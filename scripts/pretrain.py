"""Pretrain a base model on prepared token shards:

    python scripts/pretrain.py --name demo --recipe demo
    torchrun --nproc_per_node=8 scripts/pretrain.py --name trionyx-2b --recipe trionyx-2b --bench-every 2000
"""
from trionyx.core import launch
from trionyx.bench import pretrain_and_bench

if __name__=='__main__': launch(pretrain_and_bench)
