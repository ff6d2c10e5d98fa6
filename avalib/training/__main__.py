"""`python -m avalib.training`, alone or under torchrun."""

import sys

from avalib.training.session import main
from avalib.utils.console import allow_any_text

if __name__ == "__main__":
    allow_any_text()
    sys.exit(main())
