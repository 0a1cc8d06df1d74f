"""Fine-tune a run on conversations:

    python scripts/sft.py demo --foi 6000 --steps 300
    torchrun --nproc_per_node=8 scripts/sft.py trionyx-2b --mix trionyx --long truncate --bad drop
"""
from trionyx.core import launch
from trionyx.sft import sft

if __name__=='__main__': launch(sft)
