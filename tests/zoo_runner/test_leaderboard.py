"""The two tables of the leaderboard, and the page and files they are written to."""

from pathlib import Path

import pytest
from made_results import RESULTS, copy_result

from avalib import zoo
from avalib.utils.markdown import PageError, split_at_marks
from avalib.zoo_runner.leaderboard import (
    AVA_CSV,
    MARK,
    OTHER_CSV,
    build_ava_leaderboard,
    build_other_leaderboard,
    render_leaderboard,
    update_leaderboard,
)

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "results.md"


@pytest.mark.parametrize(("name", "build"), [(AVA_CSV, build_ava_leaderboard), (OTHER_CSV, build_other_leaderboard)])
def test_the_committed_csv_files_are_those_of_the_results(name, build):
    assert (ROOT / "outputs" / name).read_text(encoding="utf-8") == build(RESULTS).to_csv(index=False)


def test_the_committed_page_has_the_tables_of_the_results():
    _, between, _ = split_at_marks(PAGE, MARK)
    assert between.strip() == render_leaderboard(RESULTS)


def test_numbers_of_other_data_sets_have_no_published_column():
    assert not [column for column in build_other_leaderboard(RESULTS) if "published" in column]


def test_the_ava_table_has_only_measurements_on_ava():
    frame = build_ava_leaderboard([copy_result("slowonly_r50", [0.2]), copy_result("slowfast_r50", [0.2], "ava2.2")])
    assert list(frame["model"]) == zoo.list_models()
    assert frame["measured mAP"].isna().all()


def test_a_measurement_on_ava_has_its_difference():
    ava = copy_result("slowfast_r50", [0.241], "ava2.1", "published", share=0.9, label="58 of 64 videos")
    row = build_ava_leaderboard([ava]).set_index("model").loc["slowfast_r50"]
    assert row["published mAP"] == 24.4
    assert row["measured mAP"] == 24.1
    assert row["difference"] == -0.3
    assert row["coverage"] == "58 of 64 videos"
    assert row["epochs"] is None, "it was not trained here"


@pytest.mark.parametrize("dataset", ["ava2.2", "ava_kinetics"])
def test_ava_kinetics_models_are_measured_on_ava22_val(dataset):
    result = copy_result("slowonly_r50_8x8_ak", [0.2775], dataset, "published")
    row = build_ava_leaderboard([result]).set_index("model").loc["slowonly_r50_8x8_ak"]
    assert (row["data set"], row["published mAP"]) == ("ava2.2", 27.82)
    assert (row["measured mAP"], row["difference"]) == (27.75, -0.07)
    assert build_other_leaderboard([result]).empty


def test_another_ava_version_than_the_published_one_is_not_compared():
    results = [copy_result("slowonly_r50_8x8_ak", [0.2], "ava2.1"), copy_result("slowfast_r50", [0.2], "ava2.2")]
    assert build_ava_leaderboard(results)["measured mAP"].isna().all()
    assert list(build_other_leaderboard(results)["data set"]) == ["ava2.1", "ava2.2"]


def test_the_input_of_slowfast_names_both_pathways():
    inputs = build_ava_leaderboard([]).set_index("model")["input"]
    assert inputs["slowonly_r50"] == "4x16"
    assert inputs["slowfast_r50"] == "32x2 (slow 4x16)"
    assert inputs["slowfast_r50_8x8"] == "32x2 (slow 8x8)"


def test_seeds_are_averaged_and_have_a_spread():
    frame = build_other_leaderboard([copy_result("slowonly_r50", [0.20, 0.22])])
    row = frame.iloc[0]
    assert row["mAP"] == 21.0
    assert row["spread"] == 1.4
    assert row["seeds"] == "0, 1"
    assert row["epochs"] == 4
    assert row["GPU-hours"] is None, "not measured is empty"


def test_the_markdown_leaves_out_what_was_never_measured_on_ava():
    ava_table = render_leaderboard([copy_result("slowonly_r50", [0.2])]).split("\n\n")[1]
    header = "| model | backbone | input | data set | published mAP | measured mAP | difference |"
    assert ava_table.splitlines()[0] == header
    assert len(ava_table.splitlines()) == 2 + len(zoo.list_models())


def test_the_page_is_updated_between_its_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- leaderboard -->\nold\n<!-- /leaderboard -->\nafter\n", encoding="utf-8")
    written = update_leaderboard(tmp_path, page)
    assert written == [tmp_path / AVA_CSV, tmp_path / OTHER_CSV, page]
    tables = render_leaderboard([])
    text = page.read_text(encoding="utf-8")
    assert text == f"before\n<!-- leaderboard -->\n\n{tables}\n\n<!-- /leaderboard -->\nafter\n"


def test_a_page_without_marks_is_refused(tmp_path):
    with pytest.raises(PageError, match="no line <!-- leaderboard -->"):
        update_leaderboard(tmp_path, tmp_path / "none.md")
