"""The `avalib` command: `options` says what each sub-command takes, `commands` does it.

`python -m avalib` is the same, and `torchrun … -m avalib train …` trains in several processes.
"""

from avalib.cli.app import main

__all__ = ["main"]
