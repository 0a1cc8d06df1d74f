"""Fine-tune a run on conversations:

    python scripts/sft.py demo --foi 6000 --steps 300
    torchrun --nproc_per_node=8 scripts/sft.py trionyx-2b --data smoltalk=smoltalk.jsonl,mmlu=mmlu.jsonl --foi 51000 --long truncate
"""
from trionyx.core import launch
from trionyx.sft import sft

if __name__=='__main__': launch(sft)
