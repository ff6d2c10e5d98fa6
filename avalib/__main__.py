"""`python -m avalib`: the `avalib` command."""

import sys

from avalib.cli import main

if __name__ == "__main__":
    sys.exit(main())
