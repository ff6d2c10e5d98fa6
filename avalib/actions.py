"""The 80 AVA actions, the 60 that are evaluated, their groups, and label maps (pbtxt) in both spellings.

An `action_id` is AVA's own, 1..80; a label map is a plain dict {action_id: name} in file order.
"""

import csv
import re
from functools import cache
from pathlib import Path

from avalib.utils import files

N_ACTIONS = 80
N_COLUMNS = 81  # the networks' outputs: column 0 is reserved, column i is action_id i
GROUPS = ("pose", "object", "person")


@cache
def _rows():
    with open(Path(__file__).with_name("actions.csv"), newline="", encoding="utf-8") as file:
        return tuple((int(r["id"]), r["name"], r["evaluated"] == "1") for r in csv.DictReader(file))


@cache
def names():
    """{action_id: name} of all 80 actions."""
    return {i: name for i, name, _ in _rows()}


@cache
def evaluated():
    """{action_id: name} of the 60 actions that AVA's metric counts (ActivityNet 2018/2019 task B)."""
    return {i: name for i, name, counted in _rows() if counted}


def group(action_id):
    """'pose' (1..14), 'object' (15..63) or 'person' (64..80)."""
    if not 1 <= action_id <= N_ACTIONS:
        raise ValueError(f"action_id {action_id}: AVA's actions are 1..{N_ACTIONS}")
    return "pose" if action_id <= 14 else "object" if action_id <= 63 else "person"


def short_name(action_id):
    """The name without its bracket, for labels on pictures: 'carry/hold', 'talk to'."""
    return without_brackets(names()[action_id])


def without_brackets(name):
    """'talk to' for 'talk to (e.g., self, a person, a group)'."""
    return re.sub(r"\s*\(.*?\)", "", name)


def groups(label_map):
    """{action_id: group}: by id where most of a label map is AVA's, else by name; 'other' for one's own actions."""
    short = {i: without_brackets(name) for i, name in names().items()}
    wanted = {i: without_brackets(str(name)) for i, name in label_map.items()}
    if sum(short.get(i) == name for i, name in wanted.items()) * 2 > len(wanted):
        return {i: group(i) if i in short else "other" for i in wanted}
    by_name = {name: group(i) for i, name in short.items()}
    return {i: by_name.get(name, "other") for i, name in wanted.items()}


_ITEM = re.compile(r"\b(item|label)\s*\{(.*?)\}", re.S)
_FIELD = re.compile(r'\b(name|id|label_id)\s*:\s*("(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|-?\w+)')


def read_label_map(path):
    """{action_id: name} from a pbtxt file, in file order.

    Both spellings of the official files are read: `item { name: "…" id: 1 }` (v2.1) and
    `label { name: "…" label_id: 1 label_type: … }` (v2.2).

    Raises ValueError, naming file and line, for an item without a name or an id, a bad id, or an id given twice.
    """
    text = Path(path).read_text(encoding="utf-8")
    label_map = {}
    for item in _ITEM.finditer(text):
        line = text.count("\n", 0, item.start()) + 1
        fields = {key: value for key, value in _FIELD.findall(item.group(2))}
        number, name = fields.get("id", fields.get("label_id")), fields.get("name")
        if name is None or number is None or not number.lstrip("-").isdigit():
            raise ValueError(f"{path}, line {line}: expected an item with a name and a whole-number id, got {fields}")
        if int(number) in label_map:
            raise ValueError(f"{path}, line {line}: id {number} is given twice")
        label_map[int(number)] = name[1:-1].replace('\\"', '"').replace("\\'", "'")
    if not label_map:
        raise ValueError(f"{path}: no `item {{ name: … id: … }}` found; expected an AVA label map (pbtxt)")
    return label_map


def write_label_map(label_map, path):
    """Write {action_id: name} as a pbtxt in the v2.1 spelling."""
    quoted = {i: name.replace('"', '\\"') for i, name in label_map.items()}
    items = [f'item {{\n  name: "{name}"\n  id: {i}\n}}\n' for i, name in quoted.items()]
    files.write_text(path, "".join(items))
