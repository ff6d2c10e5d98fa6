"""\"Did you mean …?\" for error messages."""

import difflib


def suggest(name, choices):
    """A hint for a misspelt name: " Did you mean 'x'?" with the most similar of `choices`, or "" if none is similar."""
    similar = difflib.get_close_matches(str(name), [str(choice) for choice in choices], n=1)
    return f" Did you mean {similar[0]!r}?" if similar else ""
