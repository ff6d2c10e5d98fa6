"""`python -m avalib.evaluation`."""

import sys

from avalib.evaluation.evaluator import score_main
from avalib.utils.console import allow_any_text

if __name__ == "__main__":
    allow_any_text()
    sys.exit(score_main())
