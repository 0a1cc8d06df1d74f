"""Your own domain in place of FOI: letters from a template to train on, and how well a run writes them.

    python scripts/domain.py claims.toml --n 3000 --texts mine --license CC0-1.0
    python scripts/domain.py claims.toml --score claims-sft
"""
from trionyx.core import launch
from trionyx.domain import domain

if __name__=='__main__': launch(domain)
