"""The fields of an entry or a recipe as a table: name, value, and what it means."""

import inspect
import re
from dataclasses import asdict
from typing import TYPE_CHECKING

from avalib.zoo.entry import ZooEntry
from avalib.zoo.recipe import Recipe

if TYPE_CHECKING:
    import pandas as pd

FILE_SUFFIXES = ("_url", "_sha256")  # of the fields about files


def read_field_texts(kind: type) -> dict[str, str]:
    """Read what the fields of a record mean, from its docstring.

    Parameters
    ----------
    kind : type
        ZooEntry or Recipe.

    Returns
    -------
    dict
        {field: text}.
    """
    texts = {}
    # "a, b : type", then indented lines
    pattern = r"^(\w+(?:, \w+)*) : .+\n((?:    .+\n)*)"
    for names, text in re.findall(pattern, f"{inspect.getdoc(kind)}\n", re.MULTILINE):
        for name in names.split(", "):
            texts[name] = " ".join(text.split())
    return texts


def build_field_table(record: ZooEntry | Recipe, files: bool = False) -> "pd.DataFrame":
    """Build the table of a record's fields.

    Parameters
    ----------
    record : ZooEntry or Recipe
        Fields that are None, because they do not apply, are left out.
    files : bool
        The addresses and hashes of its files, instead of all other fields.

    Returns
    -------
    DataFrame
        field, value (text), meaning.
    """
    import pandas as pd

    texts = read_field_texts(type(record))
    rows = [
        {"field": name, "value": str(value), "meaning": texts[name]}
        for name, value in asdict(record).items()
        if value is not None and name.endswith(FILE_SUFFIXES) == files
    ]
    table = pd.DataFrame(rows, columns=["field", "value", "meaning"])
    return table.drop(columns="meaning") if files else table
