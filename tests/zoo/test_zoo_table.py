"""The published table: what stands in it, which models the README shows, licences and files."""

import re

import pytest

from avalib import zoo

COLUMNS = [
    "model",
    "modality",
    "pretrained",
    "backbone",
    "input",
    "GPUs",
    "resolution",
    "trained on",
    "evaluated on",
    "protocol",
    "mAP",
]


def get_row(model):
    return zoo.build_zoo_table().set_index("model").loc[model]


def test_the_table_has_all_models():
    table = zoo.build_zoo_table()
    assert list(table.columns) == COLUMNS
    assert list(table["model"]) == zoo.list_models()


def test_a_model_of_mmaction2_v0():
    row = get_row("slowfast_context_r50")
    assert list(row[["modality", "pretrained", "backbone", "input", "GPUs", "resolution", "mAP"]]) == [
        "RGB",
        "Kinetics-400",
        "SlowFast R50 + context",
        "32x2",
        "8x2",
        "short side 256",
        25.4,
    ]
    assert list(row[["trained on", "evaluated on", "protocol"]]) == ["AVA v2.1", "AVA v2.1 val", "mmaction"]


def test_ava_kinetics_is_evaluated_on_ava22():
    row = get_row("slowonly_r50_16x4_ak_tricks")
    assert row["backbone"] == "SlowOnly R50 + context + max over time + two-layer head"
    assert list(row[["trained on", "evaluated on", "protocol"]]) == ["AVA-Kinetics", "AVA v2.2 val", "mmaction1x"]


@pytest.mark.parametrize(
    ("model", "backbone"),
    [
        ("slowonly_nl_r50_8x8", "SlowOnly R50 + non-local"),
        ("slowfast_acrn_r50_8x8", "SlowFast R50 + ACRN"),
        ("psf_slowfast_r101_32x2_v21", "SlowFast R101 + non-local"),
    ],
)
def test_additions_to_the_backbone_are_named(model, backbone):
    assert get_row(model)["backbone"] == backbone


def test_the_readme_shows_the_seven_and_each_later_family():
    rows = zoo.render_zoo_table().splitlines()[2:]
    models = [re.match(r"\| \[`(\w+)`\]\(", row)[1] for row in rows if row.startswith("|")]
    assert models[:7] == zoo.list_models()[:7]
    assert {zoo.get_family(zoo.get(model)) for model in models} == {zoo.get_family(entry) for entry in zoo.ENTRIES}


def test_the_readme_names_the_val_split_beside_every_map():
    header, _, *rows = [line for line in zoo.render_zoo_table().splitlines() if line.startswith("|")]
    assert header == "| model | backbone | input | trained on | evaluated on | mAP |"
    assert all(re.search(r"\| AVA v2\.[12] val \| \d+\.\d+ \|$", row) for row in rows)


def test_the_readme_links_each_model_to_the_row_with_its_files():
    links = re.findall(r"\[`(\w+)`\]\(docs/models\.md#(\w+)\)", zoo.render_zoo_table())
    assert len(links) == 17
    files = zoo.render_published_files().splitlines()
    for model, anchor in links:
        assert model == anchor
        (row,) = [line for line in files if line.startswith(f'| <a id="{anchor}"></a>`{model}` |')]
        assert f"[checkpoint]({zoo.get(model).checkpoint_url})" in row


def test_licences_and_person_boxes_stand_beside_the_files():
    lines = zoo.render_published_files().splitlines()
    (row,) = [line for line in lines if "`psf_slow_r50_4x16_v22` |" in line]
    assert "| Apache-2.0 (1) | person_box_67091280_iou75, score from 0.9 | [checkpoint](https://" in row
    assert "1. Apache-2.0" in lines


def test_every_licence_is_written_out():
    lines = zoo.render_published_files().splitlines()
    assert {entry.licence for entry in zoo.ENTRIES} <= {line.partition(". ")[2] for line in lines}
