"""`python -m avalib.metrics`."""

import sys

from avalib.metrics import main

if __name__ == "__main__":
    sys.exit(main())
