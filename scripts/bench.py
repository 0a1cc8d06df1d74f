"""Benchmark a run: bits per byte on held-out text, CORE, FOI letters. Results go to the run's bench/ folder.

python scripts/bench.py demo --bundle ../shared/data/eval_bundle_small --limit 50
torchrun --nproc_per_node=8 scripts/bench.py trionyx-2b --what core --bundle eval_bundle
"""
from trionyx.core import launch
from trionyx.measure import bench

if __name__ == '__main__': launch(bench)
