"""The AVA metric: evaluator (the mAP, by every protocol), protocols (their rules), report (what it says), keyframes and
matching (its array code), recall (of boxes), tubes (video mAP). Loads neither torch nor scipy, but for tubes.
"""

from avalib.evaluation.evaluator import compare_protocols, compute_frequency_baseline, evaluate, score_main
from avalib.evaluation.report import Report

__all__ = [
    "Report",
    "compare_protocols",
    "compute_frequency_baseline",
    "evaluate",
    "score_main",
]
