"""Measure how time and memory grow with depth, context, batch, vocabulary, documents, sources and ranks, beside their laws:

    python scripts/growth.py --out runs/growth
    python scripts/growth.py --small --only depth,ranks
"""
from trionyx.core import launch
from trionyx.growth import growth

if __name__=='__main__': launch(growth)
