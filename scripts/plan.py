"""From a depth to tokens, rates, memory, hours and money:
python scripts/plan.py --depth 28 --gpus 8"""
from trionyx.core import launch
from trionyx.plan import plan

if __name__=='__main__': launch(plan)
