"""Measure on a GPU, in one call of ten minutes, what training costs there: kernels against float32, steps, memory, float8.

    python scripts/gpu.py --out runs/gpu              depth 28, one GPU as one of eight
    python scripts/gpu.py --only step,float8          some parts
    python scripts/gpu.py --small --device cpu        the rehearsal, on a processor
"""
from trionyx.core import launch
from trionyx.gpu import gpu

if __name__=='__main__': launch(gpu)
