"""Suggestions for names that were misspelt."""

import difflib


def suggest(name, choices, cutoff=0.6):
    """The hint " Did you mean 'x'?" with the closest of `choices`, or "" if none is close."""
    closest = difflib.get_close_matches(str(name), [str(choice) for choice in choices], n=1, cutoff=cutoff)
    return f" Did you mean {closest[0]!r}?" if closest else ""
