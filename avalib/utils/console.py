"""What the commands print, on consoles whose encoding lacks some letters (Windows, a pipe, LC_ALL=C)."""

import sys


def allow_any_text():
    """Have print write a letter that the console's encoding lacks as an escape (\\u2026) instead of raising.

    For the entry of a command; a notebook's or a caller's streams are their own.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not where something else stands in for it
            stream.reconfigure(errors="backslashreplace")
