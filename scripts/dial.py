"""Train many small models: are the plan's rates right, and which later improvement holds up?

    python scripts/dial.py --what rates --data prose --dry-run
    python scripts/dial.py --what next --data prose --seeds 3
"""
from trionyx.core import launch
from trionyx.dial import dial

if __name__=='__main__': launch(dial)
