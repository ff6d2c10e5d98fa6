"""Label maps: every form that is read right, and what could be misread is refused."""

import random

import numpy as np
import pandas as pd
import pytest

from avalib.data.label_map import load_label_map, read_label_map, write_label_map

FALL = {1: "fall", 3: "walk"}


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("lm.txt", "\ufeffwalk\nfall\n", {1: "walk", 2: "fall"}),
        ("lm.txt", "walk\rfall\r", {1: "walk", 2: "fall"}),
        ("lm.txt", "# classes\n\nwalk\n  fall  \n", {1: "walk", 2: "fall"}),
        ("lm.txt", "talk to (e.g., self)\n3d print\n", {1: "talk to (e.g., self)", 2: "3d print"}),
        ("lm.txt", "1: fall\n3: walk\n", FALL),
        ("lm.txt", "1\tfall\n3\twalk\n", FALL),
        ("lm.txt", "1,fall\n3,walk\n", FALL),
        ("lm.txt", "fall: 1\nwalk: 3\n", FALL),
        ("lm.txt", '1: "fall"\n3: "walk"\n', FALL),
        ("lm.txt", "1 fall\n2 walk\n", {1: "fall", 2: "walk"}),
        ("lm.txt", '\n{"1": "fall", "3": "walk"}', FALL),
        ("lm.txt", 'item { name: "fall" id: 1 } item { name: "walk" id: 3 }', FALL),
        ("lm.json", '{"1": "fall", "3": "walk"}', FALL),
        ("lm.json", '{"fall": 1, "walk": 3}', FALL),
        ("lm.json", '["walk", "fall"]', {1: "walk", 2: "fall"}),
        ("lm.json", '{"categories": [{"id": 1, "name": "fall"}, {"id": 3, "name": "walk"}]}', FALL),
        ("m.pbtxt", '\ufeffitem {\n name: "fall"\n id: 1\n}\n# item {\n# name: "sit"\n# id: 2\n# }\n', {1: "fall"}),
        ("m.pbtxt", "item { name: fall; id: 1 } label < label_id: 3, name: 'walk' >", FALL),
        ("m.pbtxt", 'item { name: "a {b} \\\\" id: 1 keypoints { id: 5 name: "nose" } }', {1: "a {b} \\"}),
    ],
)
def test_a_file_is_read_as_it_is_meant(tmp_path, name, content, expected):
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    assert read_label_map(tmp_path / name) == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("lm.txt", "0: fall\n1: walk", "line 1: action_id 0; are ids counted from 0?"),
        ("lm.txt", "1: fall\nwalk", "line 2: 'walk' without an id"),
        ("lm.txt", "1: fall\n1: walk", "line 2: id 1 occurs twice"),
        ("lm.txt", "1. fall\n2. walk", "line 1: '1. fall': expected `1: name`"),
        ("lm.txt", "1 - fall\n2 - walk", "line 1"),
        ("lm.txt", "1:\n2:", "line 1"),
        ("lm.txt", "2 people\n3 people", "may be an id or part of a name"),
        ("lm.txt", "fall 1\nwalk 3", "may be an id or part of a name"),
        ("lm.txt", "walk,fall,sit", "expected one name per line"),
        ("lm.txt", "1: 'fall',\n2: 'walk',", "quotes that are not a pair"),
        ("lm.txt", "id,name\n1,fall", "line 1: 'id,name' without an id"),
        ("lm.txt", "<!DOCTYPE html>", "html"),
        ("lm.txt", "", "without actions"),
        ("lm.json", '{"1": "fall", "1": "walk"}', "key '1' occurs twice"),
        ("lm.json", '{"1": "fall"', "line 1: not json"),
        ("lm.json", "[" * 100_000, "nested too deeply"),
        ("lm.json", '{"1": 5.5}', "name of action 1 is 5.5"),
        ("lm.json", '{"1000000": "fall"}', r"MAX_ACTION_ID\) is 9,999"),
        ("lm.json", '["fall", null]', "name of action 2 is None"),
        ("m.pbtxt", 'item { name: "fall" id: 012 }', "line 1"),
        ("m.pbtxt", 'item { name: "fall" id: 1 id: 2 }', "line 1"),
        ("m.pbtxt", '\nclass { name: "fall" id: 1 }', "line 2: field 'class'"),
        ("m.pbtxt", 'item { name: "fall id: 1 }', "line 1.*not closed"),
        ("m.pbtxt", 'item { name: "fall" id: 9223372036854775808 }', "expected a whole number"),
    ],
)
def test_what_can_be_misread_is_refused_with_its_place(tmp_path, name, content, message):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as error:
        read_label_map(tmp_path / name)
    assert name in str(error.value)


@pytest.mark.parametrize(
    "source",
    [
        {"1": "fall", "3": "walk"},
        {np.int64(1): "fall", 3.0: "walk"},
        pd.Series(["fall", "walk"], index=[1, 3]),
        pd.DataFrame({"action_id": [1, 3], "action": ["fall", "walk"]}),
        pd.DataFrame({"name": ["fall", "walk"], "id": [1.0, 3.0]}),
    ],
)
def test_what_is_in_memory_is_read_too(source):
    assert load_label_map(source) == FALL


def test_a_list_counts_from_1():
    assert load_label_map(["walk", "fall"]) == {1: "walk", 2: "fall"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({True: "a"}, "action id True"),
        ({1.5: "a"}, "action id 1.5"),
        ({"1e3": "a"}, "action id '1e3'"),
        ({None: "a"}, "action id None"),
        ({-1: "a"}, "action_id -1"),
        ({2**63: "a"}, "MAX_ACTION_ID"),
        ({1: None}, "name of action 1 is None"),
        ({1: "\ud800"}, "surrogate"),
        ({}, "without actions"),
        (5, "a int; expected"),
        (pd.DataFrame({"x": [1]}), "expected action_id and action"),
    ],
)
def test_wrong_label_maps_in_memory(source, message):
    with pytest.raises(ValueError, match=message):
        load_label_map(source)


def test_one_name_for_two_ids_is_an_error_where_names_are_looked_up():
    assert load_label_map({1: "a", 2: "a"}) == {1: "a", 2: "a"}
    with pytest.raises(ValueError, match="'a' occurs twice, for ids 1 and 2"):
        load_label_map({1: "a", 2: "a"}, unique_names=True)


def test_any_unicode_name_comes_back(tmp_path):
    generator = random.Random(0)
    letters = [chr(i) for i in (*range(0xD800), *range(0xE000, 0x110000, 7))] + list(
        "{}\\\"'#\n\r\0\u2028\ufeff"
    ) * 3000
    names = {i: "".join(generator.choices(letters, k=generator.randrange(9))) for i in range(1, 1000)}
    names |= {1000: "{", 1001: "ends with \\", 1002: 'a "quote"', 1003: ""}
    write_label_map(names, tmp_path / "m.pbtxt")
    assert read_label_map(tmp_path / "m.pbtxt") == names
