"""`python -m avalib.train`, alone or under torchrun."""

import sys

from avalib.train import main

if __name__ == "__main__":
    sys.exit(main())
