"""Write the report of a run, or of two side by side: RUN/report/index.html, one file with all figures, and the same as Markdown.

    python scripts/report.py demo-sft
    python scripts/report.py demo-sft other-sft --price 2.5
    python scripts/report.py demo --no-samples
"""
from trionyx.core import launch
from trionyx.report import report

if __name__=='__main__': launch(report)
