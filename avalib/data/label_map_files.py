"""Parse the files of label maps: pbtxt, json, and text with one name per line."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avalib.data.row_checks import shorten_value
from avalib.utils.limits import MAX_LABEL_MAP_BYTES
from avalib.utils.prototext import Field, Name, Number, String, parse_prototext
from avalib.utils.text import read_text

PBTXT_SUFFIXES = (".pbtxt", ".pbtext", ".prototxt", ".textproto")
_PBTXT = re.compile(r"(?:\s+|#[^\n]*)*(?:item|label)\s*:?\s*[{<]")


@dataclass(frozen=True)
class LineFormat:
    """How a line of text spells an id and a name."""

    pattern: re.Pattern  # with groups "id" and "name"
    is_ambiguous: bool = False  # the number may be part of the name


LINE_FORMATS = (
    LineFormat(re.compile(r"(?P<id>[+-]?[0-9]+)\s*[:;,\t]\s*(?P<name>.*\S)")),  # 1: walk
    LineFormat(re.compile(r"(?P<name>.*\S)\s*[:;,\t]\s*(?P<id>[+-]?[0-9]+)")),  # walk: 1
    LineFormat(re.compile(r"(?P<id>[0-9]+)\s+(?P<name>.*\S)"), is_ambiguous=True),  # 1 walk
)
_NUMBER_ALONE = re.compile(r"[+-]?[0-9]+(?!\w)\s*([^\w\s(:;,].*|[:;,])?")  # or with a mark that may be part of a name
_NUMBER_BEHIND = re.compile(r"(.*\S)(?:\s+|\s*=\s*)[0-9]+")


def read_label_pairs(path):
    """(id, name), or (id, name, line), of a label map's file. Its content tells its format."""
    text = read_text(path, MAX_LABEL_MAP_BYTES)
    suffix = Path(path).suffix.lower()
    first_letter = text.lstrip()[:1]
    # a download that gave an error page
    if first_letter == "<":
        raise ValueError(f"{path}, line 1: html or xml, not `item {{ name: … id: … }}`; expected pbtxt, json or names")
    if suffix == ".json" or first_letter in ("{", "["):
        return _parse_json(text, path)
    if suffix in PBTXT_SUFFIXES or _PBTXT.match(text):
        return _parse_pbtxt(text, path)
    return _parse_lines(text, path)


def to_whole_number(value):
    """The whole number that a value stands for; None for others, True and 3.7 among them."""
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", value) else None
    if isinstance(value, (bool, np.bool_)):
        return None
    if isinstance(value, (int, np.integer)) or (isinstance(value, (float, np.floating)) and value == value // 1):
        return int(value)
    return None


# --- pbtxt ------------------------------------------------------------------------------------------------------------


def _parse_pbtxt(text, path):
    """(id, name, line) of each item of a pbtxt.

    `item { name: "…" id: 1 }` (v2.1) or `label { name: "…" label_id: 1 label_type: … }` (v2.2).
    """
    pairs = []
    for item in parse_prototext(text, path):
        place = f"{path}, line {item.line}"
        if item.name not in ("item", "label") or not isinstance(item.value, list):
            raise ValueError(f"{place}: field {item.name!r}; expected `item {{ name: … id: … }}`")
        pairs.append((*_parse_item(item, place), item.line))
    if not pairs:
        raise ValueError(f"{path}: no `item {{ name: … id: … }}` in it; expected an AVA label map (pbtxt)")
    return pairs


def _parse_item(item, place):
    """(id, name) of one item, both as text."""
    fields = [field for field in item.value if isinstance(field, Field) and field.name in ("name", "id", "label_id")]
    # exactly one name and one id, whatever other fields there are
    names = [field.value for field in fields if field.name == "name" and isinstance(field.value, (String, Name))]
    ids = [field.value for field in fields if field.name != "name" and isinstance(field.value, Number)]
    is_complete = len(names) == 1 and len(ids) == 1 and len(fields) == 2
    if not is_complete or not re.fullmatch(r"-?(0|[1-9][0-9]*)", ids[0]):
        listed = ", ".join(f"{field.name}: {shorten_value(field.value)}" for field in fields) or "neither"
        raise ValueError(f"{place}: expected an item with one name and one whole-number id, got {listed}")
    return str(ids[0]), str(names[0])


# --- json -------------------------------------------------------------------------------------------------------------


def _parse_json(text, path):
    """(id, name) of each entry of a json.

    {"1": "name"}, {"name": 1}, ["name", …], [{"id": 1, "name": "…"}, …] or {"categories": [such a list]}.
    """
    content = _load_json(text, path)
    if isinstance(content, dict) and isinstance(content.get("categories"), list):
        content = content["categories"]
    if isinstance(content, list) and content and all(isinstance(item, dict) for item in content):
        incomplete = next((item for item in content if not {"id", "name"} <= set(item)), None)
        if incomplete is not None:
            raise ValueError(f'{path}: {shorten_value(incomplete)}; expected {{"id": 1, "name": "…"}}')
        return [(item["id"], item["name"]) for item in content]
    if isinstance(content, list):
        return list(enumerate(content, 1))
    if not isinstance(content, dict):
        raise ValueError(f'{path}: {shorten_value(content)}; expected {{"1": "name"}} or a list of names')
    # {"name": 1} rather than {"1": "name"}
    names_first = all(to_whole_number(key) is None and isinstance(value, int) for key, value in content.items())
    return [(value, key) for key, value in content.items()] if names_first else list(content.items())


def _load_json(text, path):
    """The content of a json. Raises ValueError for a key that occurs twice."""

    def build_dict(pairs):
        content = {}
        for key, value in pairs:
            if key in content:
                raise ValueError(f"{path}: key {key!r} occurs twice")
            content[key] = value
        return content

    try:
        return json.loads(text, object_pairs_hook=build_dict)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}: not json ({error.msg}); expected a label map") from None
    except RecursionError:
        raise ValueError(f"{path}: json that is nested too deeply; expected a label map") from None


# --- text -------------------------------------------------------------------------------------------------------------


def _parse_lines(text, path):
    """(id, name, line) of each line of a text; lines that begin with # are comments.

    A line is a name (ids from 1), or an id and a name.
    """
    numbered = [(number, line.strip()) for number, line in enumerate(re.split(r"\r\n|\n|\r", text), 1)]
    numbered = [(number, line) for number, line in numbered if line and not line.startswith("#")]
    for number, line in numbered:
        if _NUMBER_ALONE.fullmatch(line):
            raise _build_line_error(path, number, line, "expected `1: name`, or names alone")
    # the first format that some line has must be that of all lines
    for line_format in LINE_FORMATS:
        matches = [line_format.pattern.fullmatch(line) for _, line in numbered]
        if any(matches):
            return _parse_numbered_lines(numbered, matches, line_format, path)
    _check_names(numbered, path)
    return [(i, _remove_quotes(line, path, number), number) for i, (number, line) in enumerate(numbered, 1)]


def _parse_numbered_lines(numbered, matches, line_format, path):
    """(id, name, line) of lines of which at least one matches the format."""
    if not all(matches):
        number, line = numbered[matches.index(None)]
        raise ValueError(
            f"{path}, line {number}: {line[:80]!r} without an id, where other lines have one; expected `1: name` on "
            "every line, or on none"
        )
    pairs = [
        (match["id"], _remove_quotes(match["name"], path, number), number)
        for (number, _), match in zip(numbered, matches, strict=True)
    ]
    ids = [int(match["id"]) for match in matches]
    # "2 people" is a name, unless the numbers count up from 0 or 1
    counts_up = ids in (list(range(1, len(ids) + 1)), list(range(len(ids))))
    if line_format.is_ambiguous and not counts_up:
        raise _build_ambiguity_error(path, *numbered[0])
    return pairs


def _check_names(numbered, path):
    """Raise a ValueError for lines that may be something else than one name each."""
    # all lines end in a number and differ before it: ids, or a part of the names
    endings = [_NUMBER_BEHIND.fullmatch(line) for _, line in numbered]
    if len(numbered) > 1 and all(endings) and len({match[1] for match in endings}) == len(numbered):
        raise _build_ambiguity_error(path, *numbered[0])
    if len(numbered) == 1 and re.search(r"[,;|]", numbered[0][1]):
        raise _build_line_error(path, *numbered[0], "expected one name per line")
    for number, line in numbered:
        if any(ord(letter) < 32 or letter == "\x7f" for letter in line):
            raise _build_line_error(path, number, line, "a control character or tab in a name")


def _build_line_error(path, number, line, message):
    return ValueError(f"{path}, line {number}: {line[:80]!r}: {message}")


def _build_ambiguity_error(path, number, line):
    message = "a number that may be an id or part of a name; write `1: name` on every line"
    return _build_line_error(path, number, line, message)


def _remove_quotes(name, path, number):
    """A name without the quotes around it. Raises ValueError where they are not a pair."""
    if name[0] not in "\"'":
        return name
    if len(name) < 3 or name[-1] != name[0] or name[0] in name[1:-1]:
        raise _build_line_error(path, number, name, "quotes that are not a pair; expected a name")
    return name[1:-1]
