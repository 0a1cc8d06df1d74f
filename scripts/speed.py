"""Measure training and generation part by part, beside what the machine could do at most.

    python scripts/speed.py
    python scripts/speed.py --vocab 32768 --out speed.json
    python scripts/speed.py --against 'python other/speed.py'
    python scripts/speed.py --depth 6 --vocab 32768 --rows 32 --micro 8        a step in four passes, with less memory
    python scripts/speed.py --depth 28 --seq 2048 --vocab 32768 --rows 8       on a GPU
"""
from trionyx.core import launch
from trionyx.table import speed

if __name__=='__main__': launch(speed)
