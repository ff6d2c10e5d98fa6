"""`python -m avalib.train`, alone or under torchrun."""

import sys

from avalib.train import main
from avalib.utils.console import allow_any_text

if __name__ == "__main__":
    allow_any_text()
    sys.exit(main())
