"""The name that a user probably meant, for error messages."""

import difflib
from collections.abc import Iterable, Mapping


def suggest(
    name: object, choices: Iterable[str], cutoff: float = 0.6, synonyms: Mapping[str, str] | None = None
) -> str:
    """Suggest the choice nearest to a misspelt name, as a sentence to append to an error message.

    Parameters
    ----------
    name : object
        What the user wrote. It is compared as text.
    choices : iterable of str
        The valid names.
    cutoff : float
        The lowest similarity, 0..1, of a suggestion.
    synonyms : mapping of str to str, optional
        Other words for choices, such as {"gpu": "cuda"}.

    Returns
    -------
    str
        " Did you mean 'slowonly_r50'?", or "" where nothing is near.
    """
    name = str(name)
    nearest = (synonyms or {}).get(name.lower())
    if nearest is None:
        nearest = next(iter(difflib.get_close_matches(name, map(str, choices), n=1, cutoff=cutoff)), None)
    return "" if nearest is None else f" Did you mean {nearest!r}?"
