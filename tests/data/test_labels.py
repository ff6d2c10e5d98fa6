import pytest

from avalib.data.label_map import read_label_map, write_label_map
from avalib.data.labels import (
    get_action_group,
    get_action_names,
    get_evaluated_actions,
    get_short_action_names,
    shorten_names,
)


def test_counts_and_groups():
    assert list(get_action_names()) == list(range(1, 81)) and len(get_evaluated_actions()) == 60
    assert [get_action_group(i) for i in (1, 14, 15, 63, 64, 80)] == ["pose"] * 2 + ["object"] * 2 + ["person"] * 2
    with pytest.raises(ValueError, match="action_id 81"):
        get_action_group(81)


def test_short_names_keep_their_bracket_where_two_would_be_the_same():
    names = get_short_action_names()
    assert len(set(names.values())) == 80
    assert [names[i] for i in (17, 79, 80)] == ["carry/hold", "talk to", "watch (a person)"]
    some = {i: get_action_names()[i] for i in (12, 80)}
    assert shorten_names(some) == {12: "stand", 80: "watch (a person)"}
    assert shorten_names({1: "cut (bread)", 2: "cut (paper)", 3: "eat (bread)"})[2] == "cut (paper)"


def test_label_map_round_trip(tmp_path):
    path = tmp_path / "map.pbtxt"
    write_label_map(get_action_names(), path)
    assert read_label_map(path) == get_action_names()


def test_both_spellings_are_read(tmp_path):
    path = tmp_path / "map.pbtxt"
    path.write_text(
        'label {\n  name: "sit"\n  label_id: 11\n  label_type: PERSON_MOVEMENT\n}\nitem { id: 12 name: "stand" }',
        encoding="utf-8",
    )
    assert read_label_map(path) == {11: "sit", 12: "stand"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('item {\n name: "a"\n id: 1\n}\nitem {\n name: "b"\n}\n', "line 5.*whole-number id"),
        ('item { name: "a" id: 1 }\nitem { name: "b" id: 1 }', "line 2: id 1 occurs twice"),
        ("<html>", "line 1: html or xml, not `item"),
    ],
)
def test_bad_label_maps_name_file_and_line(tmp_path, text, message):
    path = tmp_path / "bad.pbtxt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as error:
        read_label_map(path)
    assert "bad.pbtxt" in str(error.value)
