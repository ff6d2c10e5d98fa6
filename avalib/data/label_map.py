"""Label maps, {action_id: name}: read from pbtxt, json, text, dicts, lists and tables; written as pbtxt.

What can't be read for certain is refused: a class list that is misread trains and scores other actions.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from avalib.utils.files import write_text
from avalib.utils.limits import MAX_ACTION_ID, MAX_LABEL_MAP_BYTES
from avalib.utils.prototext import Field, Name, Number, String, parse_prototext, quote_text
from avalib.utils.text import read_text

_NUMBER_FIRST = re.compile(r"([+-]?[0-9]+)\s*[:;,\t]\s*(.*\S)")
_NUMBER_ALONE = re.compile(r"[+-]?[0-9]+(?!\w)\s*([^\w\s(:;,].*|[:;,])?")  # or with a mark that may be part of a name
_NUMBER_SPACE = re.compile(r"([0-9]+)\s+(.*\S)")
_NUMBER_LAST = re.compile(r"(.*\S)\s*[:;,\t]\s*([+-]?[0-9]+)")
_NUMBER_BEHIND = re.compile(r"(.*\S)(?:\s+|\s*=\s*)[0-9]+")
_PBTXT = re.compile(r"(?:\s+|#[^\n]*)*(?:item|label)\s*:?\s*[{<]")
_COLUMNS = (("action_id", "id", "label_id"), ("action", "name", "label"))


def load_label_map(source, unique_names=False):
    """{action_id: name} of the actions of a data set, from whatever a user has it in.

    Parameters
    ----------
    source : dict, list, DataFrame, str or Path
        A dict {action_id: name} (ids may be text, as json has them); names in order, ids from 1; a table with columns
        action_id (or id) and action (or name); or a file: pbtxt, json (a dict, a list of names, or a list of
        {"id": …, "name": …}), or text with a name a line (ids from 1) or "1: name" a line.
    unique_names : bool
        Whether two ids with one name are an error, as they are where annotations give names.

    Raises
    ------
    ValueError
        Naming file and line, for ids outside 1..limits.MAX_ACTION_ID, ids that occur twice, and whatever could be
        understood in two ways.
    """
    name = "label map"
    if isinstance(source, (str, os.PathLike)):
        name, pairs = str(source), _read_file(source)
    elif isinstance(source, pd.DataFrame):
        pairs = _table_pairs(source)
    elif isinstance(source, (Mapping, pd.Series)):
        pairs = list(source.items())
    elif isinstance(source, (list, tuple, pd.Index, np.ndarray)):
        pairs = list(enumerate(source, 1))
    else:
        raise ValueError(
            f"label map: a {type(source).__name__}; expected {{action_id: name}}, names, a table, or a file (pbtxt, "
            "json, or text with a name a line)"
        )
    return check_label_map(pairs, name, unique_names)


def read_label_map(path):
    """{action_id: name} from a label map's file, in file order; see `load_label_map`."""
    return load_label_map(Path(path))


def check_label_map(pairs, source, unique_names=False):
    """{action_id: name} of (id, name) pairs, or (id, name, line): ids whole, from 1, each once; names are text."""
    label_map, owners = {}, {}
    for number, name, *line in pairs:
        place = f"{source}, line {line[0]}" if line else str(source)
        action_id = _action_id(number)
        if action_id is None:
            raise ValueError(f"{place}: action id {_short(number)}: expected a whole number from 1")
        if action_id < 1:
            raise ValueError(f"{place}: action_id {action_id}; are ids counted from 0? Expected whole ids from 1")
        if action_id > MAX_ACTION_ID:
            raise ValueError(f"{place}: action_id {action_id}: the limit (MAX_ACTION_ID) is {MAX_ACTION_ID:,}")
        if not isinstance(name, str):
            raise ValueError(f"{place}: the name of action {action_id} is {_short(name)}; expected text")
        if any(0xD800 <= ord(letter) < 0xE000 for letter in name):
            raise ValueError(
                f"{place}: the name {name!r} has half of a surrogate pair, which no file in UTF-8 can hold"
            )
        if action_id in label_map:
            raise ValueError(f"{place}: id {action_id} is given twice")
        if unique_names and name in owners:
            raise ValueError(f"{place}: the name {name!r} is given twice, for ids {owners[name]} and {action_id}")
        label_map[action_id] = name
        owners.setdefault(name, action_id)
    if not label_map:
        raise ValueError(f"{source}: a label map without actions; expected {{action_id: name}}")
    return label_map


def write_label_map(label_map, path):
    """Write {action_id: name} as a pbtxt in the v2.1 spelling; `read_label_map` reads back any Unicode text."""
    label_map = check_label_map(label_map.items(), "label map")
    items = [f"item {{\n  name: {quote_text(name)}\n  id: {i}\n}}\n" for i, name in label_map.items()]
    write_text(path, "".join(items))


def _action_id(value):
    """The whole number that a value stands for; None for others, True and 3.7 among them."""
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", value) else None
    if isinstance(value, (bool, np.bool_)):
        return None
    if isinstance(value, (int, np.integer)) or (isinstance(value, (float, np.floating)) and value == value // 1):
        return int(value)
    return None


def _table_pairs(table):
    columns = [next((name for name in names if name in table), None) for names in _COLUMNS]
    if None in columns:
        raise ValueError(f"label map: a table with columns {list(table)}; expected action_id and action")
    return list(zip(*(table[name].tolist() for name in columns), strict=True))


def _read_file(path):
    """(id, name, line) of a label map's file, its kind told by its content."""
    text = read_text(path, MAX_LABEL_MAP_BYTES)
    start = text.lstrip()[:1]
    if start == "<":
        raise ValueError(f"{path}, line 1: html or xml, no `item {{ name: … id: … }}`; expected pbtxt, json or names")
    if Path(path).suffix.lower() == ".json" or start in ("{", "["):
        return _json_pairs(text, path)
    if Path(path).suffix.lower() in (".pbtxt", ".pbtext", ".prototxt", ".textproto") or _PBTXT.match(text):
        return _pbtxt_pairs(text, path)
    return _line_pairs(text, path)


def _pbtxt_pairs(text, path):
    """Of `item { name: "…" id: 1 }` (v2.1) and `label { name: "…" label_id: 1 label_type: … }` (v2.2)."""
    pairs = []
    for item in parse_prototext(text, path):
        place = f"{path}, line {item.line}"
        if item.name not in ("item", "label") or not isinstance(item.value, list):
            raise ValueError(f"{place}: field {item.name!r}; expected `item {{ name: … id: … }}`")
        fields = [f for f in item.value if isinstance(f, Field) and f.name in ("name", "id", "label_id")]
        names = [f.value for f in fields if f.name == "name" and isinstance(f.value, (String, Name))]
        ids = [f.value for f in fields if f.name != "name" and isinstance(f.value, Number)]
        if len(names) != 1 or len(ids) != 1 or len(fields) != 2 or not re.fullmatch(r"-?(0|[1-9][0-9]*)", ids[0]):
            found = ", ".join(f"{f.name}: {_short(f.value)}" for f in fields) or "neither"
            raise ValueError(f"{place}: expected an item with one name and one whole-number id, got {found}")
        pairs.append((str(ids[0]), str(names[0]), item.line))
    if not pairs:
        raise ValueError(f"{path}: no `item {{ name: … id: … }}` in it; expected an AVA label map (pbtxt)")
    return pairs


def _json_pairs(text, path):
    def unique(pairs):
        found = {}
        for key, value in pairs:
            if key in found:
                raise ValueError(f"{path}: key {key!r} is given twice")
            found[key] = value
        return found

    try:
        content = json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}: not json ({error.msg}); expected a label map") from None
    except RecursionError:
        raise ValueError(f"{path}: json that is nested too deep; expected a label map") from None
    if isinstance(content, dict) and isinstance(content.get("categories"), list):
        content = content["categories"]
    if isinstance(content, list) and content and all(isinstance(item, dict) for item in content):
        odd = next((item for item in content if not {"id", "name"} <= set(item)), None)
        if odd is not None:
            raise ValueError(f'{path}: {_short(odd)}; expected {{"id": 1, "name": "…"}}')
        return [(item["id"], item["name"]) for item in content]
    if isinstance(content, list):
        return list(enumerate(content, 1))
    if isinstance(content, dict):
        reverse = all(_action_id(key) is None and isinstance(value, int) for key, value in content.items())
        return [(value, key) for key, value in content.items()] if reverse else list(content.items())
    raise ValueError(f'{path}: {_short(content)}; expected {{"1": "name"}} or a list of names')


def _line_pairs(text, path):
    """Of text with a name a line (ids from 1), or with an id and a name a line; # begins a line of comment."""
    lines = [(number, line.strip()) for number, line in enumerate(re.split(r"\r\n|\n|\r", text), 1)]
    lines = [(number, line) for number, line in lines if line and not line.startswith("#")]
    for number, line in lines:
        if _NUMBER_ALONE.fullmatch(line):
            raise ValueError(f"{path}, line {number}: {line[:80]!r}: expected `1: name`, or names alone")
    for pattern, order in ((_NUMBER_FIRST, (1, 2)), (_NUMBER_LAST, (2, 1)), (_NUMBER_SPACE, (1, 2))):
        matches = [pattern.fullmatch(line) for _, line in lines]
        if not any(matches):
            continue
        if not all(matches):
            number, line = lines[matches.index(None)]
            raise ValueError(
                f"{path}, line {number}: {line[:80]!r} without an id, where other lines have one; expected `1: name` "
                "on every line, or on none"
            )
        pairs = [
            (m.group(order[0]), _unquoted(m.group(order[1]), path, number), number)
            for (number, _), m in zip(lines, matches, strict=True)
        ]
        ids = [int(i) for i, _, _ in pairs]
        if pattern is _NUMBER_SPACE and ids not in ([*range(1, len(ids) + 1)], [*range(len(ids))]):
            raise ValueError(
                f"{path}, line {lines[0][0]}: {lines[0][1][:80]!r}: a number that may be an id or part of a name; "
                "write `1: name` on every line"
            )
        return pairs
    ends = [_NUMBER_BEHIND.fullmatch(line) for _, line in lines]
    if len(lines) > 1 and all(ends) and len({match.group(1) for match in ends}) == len(lines):
        raise ValueError(
            f"{path}, line {lines[0][0]}: {lines[0][1][:80]!r}: a number that may be an id or part of a name; write "
            "`1: name` on every line"
        )
    if len(lines) == 1 and re.search(r"[,;|]", lines[0][1]):
        raise ValueError(f"{path}, line {lines[0][0]}: {lines[0][1][:80]!r}: expected one name a line")
    if bad := next((pair for pair in lines if any(ord(c) < 32 or c == "\x7f" for c in pair[1])), None):
        raise ValueError(f"{path}, line {bad[0]}: {bad[1][:80]!r}: a control character or tab in a name")
    return [(i, _unquoted(line, path, number), number) for i, (number, line) in enumerate(lines, 1)]


def _unquoted(name, path, line):
    """A name without the quotes around it; ValueError where they are not a pair."""
    if name[0] not in "\"'":
        return name
    if len(name) < 3 or name[-1] != name[0] or name[0] in name[1:-1]:
        raise ValueError(f"{path}, line {line}: {name[:80]!r}: quotes that are not a pair; expected a name")
    return name[1:-1]


def _short(value):
    text = repr(value if type(value) not in (Number, Name) else str(value))
    return text if len(text) <= 80 else f"{text[:77]}…"
