"""Measure a run with lm-evaluation-harness (pip install lm_eval), on its own tasks or on YAML files of yours.

python scripts/harness.py demo arc_easy --limit 100
python scripts/harness.py demo-sft mine --include my_tasks/ --chat
"""
from trionyx.core import launch
from trionyx.harness import harness

if __name__ == '__main__': launch(harness)
