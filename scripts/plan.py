"""From a recipe or a depth to tokens, rates, memory, hours and money:

    python scripts/plan.py --depth 28 --gpus 8
    python scripts/plan.py --recipe next --depth 12
"""
from trionyx.core import launch
from trionyx.recipes import plan

if __name__=='__main__': launch(plan)
