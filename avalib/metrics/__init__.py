"""The AVA metric: evaluator (the mAP, by every protocol), protocols (their rules), report (what it says), keyframes and
matching (its array code), recall (of boxes), tubes (video mAP). Loads neither torch nor scipy, but for tubes.
"""

from avalib.metrics.evaluator import evaluate, frequency_baseline, ledger, main
from avalib.metrics.report import Report

__all__ = ["Report", "evaluate", "frequency_baseline", "ledger", "main"]
