"""The 80 AVA actions, the 60 that are evaluated, their groups.

An `action_id` is AVA's own, 1..80; a label map is a plain dict {action_id: name} in file order.
"""

import csv
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

N_ACTIONS = 80
N_LOGITS = 81  # the networks' outputs: column 0 is reserved, column i is action_id i
GROUPS = ("pose", "object", "person")
LAST_POSE, LAST_OBJECT = 14, 63  # action ids


@dataclass(frozen=True)
class Action:
    """One of AVA's actions."""

    action_id: int
    name: str
    is_evaluated: bool


@cache
def load_actions() -> tuple[Action, ...]:
    """AVA's 80 actions, by id."""
    with open(Path(__file__).with_name("actions.csv"), newline="", encoding="utf-8") as file:
        return tuple(Action(int(row["id"]), row["name"], row["evaluated"] == "1") for row in csv.DictReader(file))


@cache
def get_action_names() -> dict[int, str]:
    """{action_id: name} of all 80 actions."""
    return {action.action_id: action.name for action in load_actions()}


@cache
def get_evaluated_actions() -> dict[int, str]:
    """{action_id: name} of the 60 actions that AVA's metric counts (ActivityNet 2018/2019 task B)."""
    return {action.action_id: action.name for action in load_actions() if action.is_evaluated}


def get_action_group(action_id: int) -> str:
    """'pose' (1..14), 'object' (15..63) or 'person' (64..80). Raises ValueError for other ids."""
    if not 1 <= action_id <= N_ACTIONS:
        raise ValueError(f"action_id {action_id}: AVA's actions are 1..{N_ACTIONS}")
    if action_id <= LAST_POSE:
        return "pose"
    return "object" if action_id <= LAST_OBJECT else "person"


def shorten_action_name(action_id: int) -> str:
    """An AVA action's name for labels on pictures, see `shorten_names`: 'carry/hold', 'talk to', 'watch (a person)'.

    'action 93' for an id that AVA doesn't have.
    """
    return get_short_action_names().get(action_id, f"action {action_id}")


@cache
def get_short_action_names() -> dict[int, str]:
    """{action_id: name} of all 80 actions for labels on pictures, see `shorten_names`."""
    return shorten_names(get_action_names())


def shorten_names(names: Mapping[int, str]) -> dict[int, str]:
    """{action_id: name} without brackets, except where two names, of these or of AVA's, would be the same."""
    # AVA's names count, too: a label map of some of its actions has the same short names as that of all.
    counts = Counter(strip_brackets(name) for name in {*names.values(), *get_action_names().values()})
    short_names = {}
    for action_id, name in names.items():
        short = strip_brackets(name)
        short_names[action_id] = short if counts[short] == 1 else name
    return short_names


def strip_brackets(name: str) -> str:
    """'talk to' for 'talk to (e.g., self, a person, a group)'."""
    return re.sub(r"\s*\(.*?\)", "", name)


def get_action_groups(label_map: Mapping[int, str]) -> dict[int, str]:
    """{action_id: group} of a label map: by id if most of it is AVA's, else by name; 'other' for other actions."""
    ava_names = {action_id: strip_brackets(name) for action_id, name in get_action_names().items()}
    names = {action_id: strip_brackets(str(name)) for action_id, name in label_map.items()}
    # the same id and name as AVA's, for most of the map: it is AVA's
    n_equal = sum(ava_names.get(action_id) == name for action_id, name in names.items())
    if n_equal > len(names) / 2:
        return {action_id: get_action_group(action_id) if action_id in ava_names else "other" for action_id in names}
    # another map that has some of AVA's actions under ids of its own
    group_of_name = {name: get_action_group(action_id) for action_id, name in ava_names.items()}
    return {action_id: group_of_name.get(name, "other") for action_id, name in names.items()}
