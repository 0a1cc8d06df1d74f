"""Benchmark runs: bits per byte, CORE, ARC, MMLU, HumanEval, GSM8K, FOI letters. Results go to each run's bench/ folder.

python scripts/bench.py demo --bundle ../shared/data/eval_bundle_small --limit 50
python scripts/bench.py demo-sft --all --evals ../shared/data/evals,../shared/data/eval_bundle_part --dry-run
torchrun --nproc_per_node=8 scripts/bench.py trionyx-2b-sft --all --fetch
python scripts/bench.py --compare demo-sft other-sft
"""
from trionyx.core import launch
from trionyx.measure import bench

if __name__ == '__main__': launch(bench)
