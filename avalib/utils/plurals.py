"""Numbers of things in messages: "1 epoch", "2 epochs"."""


def format_count(count: int, noun: str, plural: str | None = None) -> str:
    """Write a number with its noun.

    Parameters
    ----------
    count : int
    noun : str
        In the singular: "epoch".
    plural : str, optional
        Default: the noun with an s.

    Returns
    -------
    str
        "1 epoch", "0 epochs", "1,200 epochs".
    """
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {plural or noun + 's'}"
