"""The fields of an entry or a recipe, with what they mean."""

from dataclasses import fields

import pytest

from avalib import zoo


@pytest.mark.parametrize("kind", [zoo.ZooEntry, zoo.Recipe])
def test_every_field_is_documented(kind):
    assert set(zoo.read_field_texts(kind)) == {field.name for field in fields(kind)}


def test_a_text_may_be_of_several_fields_and_lines():
    texts = zoo.read_field_texts(zoo.ZooEntry)
    assert (
        texts["clip_len"]
        == texts["frame_interval"]
        == ("Frames in a clip, and frames (of 30 a second) between two of them.")
    )


def test_the_table_of_an_entry_has_its_values_and_no_addresses():
    table = zoo.build_field_table(zoo.get("slowonly_r50")).set_index("field")
    assert table.value["clip_len"] == "4"
    assert table.meaning["context"].startswith("Whether a global feature")
    assert "resample_rate" not in table.index, "it is SlowFast's"
    assert not {"checkpoint_url", "checkpoint_sha256", "log_url"} & set(table.index)


def test_the_addresses_have_a_table_of_their_own():
    table = zoo.build_field_table(zoo.get("slowonly_r50"), files=True)
    assert list(table) == ["field", "value"]
    assert "checkpoint_url" in set(table.field)
    assert table.field.str.endswith(("_url", "_sha256")).all()


def test_the_table_of_a_recipe():
    table = zoo.build_field_table(zoo.get_recipe(zoo.get("slowonly_r50"), "mini")).set_index("field")
    assert table.value["epochs"] == "9"
    assert table.meaning["epochs"] == "passes over the training keyframes"
