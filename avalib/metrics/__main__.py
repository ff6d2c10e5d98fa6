"""`python -m avalib.metrics`."""

import sys

from avalib.metrics import main
from avalib.utils.console import allow_any_text

if __name__ == "__main__":
    allow_any_text()
    sys.exit(main())
