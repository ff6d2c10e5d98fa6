"""The 80 AVA actions, the 60 that are evaluated, their groups.

An `action_id` is AVA's own, 1..80; a label map is a plain dict {action_id: name} in file order.
"""

import csv
import re
from functools import cache
from pathlib import Path

from avalib.data.label_map import read_label_map, write_label_map  # noqa: F401

N_ACTIONS = 80
N_LOGITS = 81  # the networks' outputs: column 0 is reserved, column i is action_id i
GROUPS = ("pose", "object", "person")


@cache
def _rows():
    with open(Path(__file__).with_name("actions.csv"), newline="", encoding="utf-8") as file:
        return tuple((int(r["id"]), r["name"], r["evaluated"] == "1") for r in csv.DictReader(file))


@cache
def get_action_names():
    """{action_id: name} of all 80 actions."""
    return {i: name for i, name, _ in _rows()}


@cache
def get_evaluated_actions():
    """{action_id: name} of the 60 actions that AVA's metric counts (ActivityNet 2018/2019 task B)."""
    return {i: name for i, name, counted in _rows() if counted}


def get_action_group(action_id):
    """'pose' (1..14), 'object' (15..63) or 'person' (64..80)."""
    if not 1 <= action_id <= N_ACTIONS:
        raise ValueError(f"action_id {action_id}: AVA's actions are 1..{N_ACTIONS}")
    return "pose" if action_id <= 14 else "object" if action_id <= 63 else "person"


def shorten_action_name(action_id):
    """The name without its bracket, for labels on pictures: 'carry/hold', 'talk to'; 'action 93' for an id that AVA
    doesn't have."""
    return strip_brackets(get_action_names().get(action_id, f"action {action_id}"))


def strip_brackets(name):
    """'talk to' for 'talk to (e.g., self, a person, a group)'."""
    return re.sub(r"\s*\(.*?\)", "", name)


def get_action_groups(label_map):
    """{action_id: group}: by id where most of a label map is AVA's, else by name; 'other' for one's own actions."""
    short = {i: strip_brackets(name) for i, name in get_action_names().items()}
    wanted = {i: strip_brackets(str(name)) for i, name in label_map.items()}
    if sum(short.get(i) == name for i, name in wanted.items()) * 2 > len(wanted):
        return {i: get_action_group(i) if i in short else "other" for i in wanted}
    by_name = {name: get_action_group(i) for i, name in short.items()}
    return {i: by_name.get(name, "other") for i, name in wanted.items()}
