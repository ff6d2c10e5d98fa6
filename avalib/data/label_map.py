"""Label maps, {action_id: name}: load from files, dicts, lists and tables; check; write as pbtxt.

Anything that can be understood in two ways is an error: with a misread class list, a model trains and scores other
actions.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from avalib.data.label_map_files import read_label_pairs, to_whole_number
from avalib.data.row_checks import shorten_value
from avalib.utils.files import write_text
from avalib.utils.limits import MAX_ACTION_ID
from avalib.utils.prototext import quote_text

ID_COLUMNS = ("action_id", "id", "label_id")  # of tables, the first that exists
NAME_COLUMNS = ("action", "name", "label")
SURROGATES = range(0xD800, 0xE000)


def load_label_map(
    source: Mapping | pd.Series | list | pd.DataFrame | str | Path, unique_names: bool = False
) -> dict[int, str]:
    """{action_id: name} of the actions of a data set.

    Parameters
    ----------
    source : dict, list, DataFrame, str or Path
        A dict {action_id: name} (ids may be text, as in json); names in order, ids from 1; a table with columns
        action_id (or id) and action (or name); or a file: pbtxt, json (a dict, a list of names, or a list of
        {"id": …, "name": …}), or text with one name per line (ids from 1) or one "1: name" per line.
    unique_names : bool
        Whether two ids with one name are an error, as they are where annotations give names.

    Raises
    ------
    ValueError
        Naming file and line, for ids outside 1..limits.MAX_ACTION_ID, ids that occur twice, and whatever could be
        understood in two ways.
    """
    # the (id, name) pairs of any kind of source; only files have line numbers
    name = "label map"
    if isinstance(source, (str, os.PathLike)):
        name, pairs = str(source), read_label_pairs(source)
    elif isinstance(source, pd.DataFrame):
        pairs = _get_table_pairs(source)
    elif isinstance(source, (Mapping, pd.Series)):
        pairs = list(source.items())
    elif isinstance(source, (list, tuple, pd.Index, np.ndarray)):
        pairs = list(enumerate(source, 1))
    else:
        raise ValueError(
            f"label map: a {type(source).__name__}; expected {{action_id: name}}, names, a table, or a file (pbtxt, "
            "json, or text with one name per line)"
        )
    return check_label_map(pairs, name, unique_names)


def read_label_map(path: str | Path) -> dict[int, str]:
    """{action_id: name} from a label map's file, in file order; see `load_label_map`."""
    return load_label_map(Path(path))


def write_label_map(label_map: Mapping[int, str], path: str | Path) -> None:
    """Write {action_id: name} as a pbtxt in the v2.1 spelling; `read_label_map` reads back any Unicode text."""
    # what was written must be readable again
    label_map = check_label_map(label_map.items(), "label map")
    items = [f"item {{\n  name: {quote_text(name)}\n  id: {action_id}\n}}\n" for action_id, name in label_map.items()]
    write_text(path, "".join(items))


def check_label_map(pairs: Iterable[tuple], source: str, unique_names: bool = False) -> dict[int, str]:
    """Check a label map.

    Parameters
    ----------
    pairs : iterable of tuple
        (id, name), or (id, name, line). Ids must be whole numbers from 1, each once; names must be text.
    source : str
        Where they come from, for messages.
    unique_names : bool
        Whether each name may occur only once.

    Returns
    -------
    dict
        {action_id: name}.
    """
    label_map = {}
    # the first id of each name
    id_of_name = {}
    for number, name, *line in pairs:
        place = f"{source}, line {line[0]}" if line else str(source)
        action_id = _check_action_id(number, place)
        if not isinstance(name, str):
            raise ValueError(f"{place}: the name of action {action_id} is {shorten_value(name)}; expected text")
        # json can spell half a character
        if any(ord(letter) in SURROGATES for letter in name):
            raise ValueError(
                f"{place}: the name {name!r} has half of a surrogate pair, which no file in UTF-8 can hold"
            )
        if action_id in label_map:
            raise ValueError(f"{place}: id {action_id} occurs twice")
        if unique_names and name in id_of_name:
            raise ValueError(f"{place}: the name {name!r} occurs twice, for ids {id_of_name[name]} and {action_id}")
        label_map[action_id] = name
        id_of_name.setdefault(name, action_id)
    if not label_map:
        raise ValueError(f"{source}: a label map without actions; expected {{action_id: name}}")
    return label_map


def _check_action_id(value, place):
    """The action id that a value stands for. Raises ValueError for other values."""
    action_id = to_whole_number(value)
    if action_id is None:
        raise ValueError(f"{place}: action id {shorten_value(value)}: expected a whole number from 1")
    if action_id < 1:
        raise ValueError(f"{place}: action_id {action_id}; are ids counted from 0? Expected whole ids from 1")
    if action_id > MAX_ACTION_ID:
        raise ValueError(f"{place}: action_id {action_id}: the limit (MAX_ACTION_ID) is {MAX_ACTION_ID:,}")
    return action_id


def _get_table_pairs(table):
    """(id, name) of each row of a table."""
    # tables of other tools have their own names for the two columns
    id_column = next((column for column in ID_COLUMNS if column in table), None)
    name_column = next((column for column in NAME_COLUMNS if column in table), None)
    if id_column is None or name_column is None:
        raise ValueError(f"label map: a table with columns {list(table)}; expected action_id and action")
    return list(zip(table[id_column].tolist(), table[name_column].tolist(), strict=True))
