"""Detections in other tools' formats: what avalib's own importers and supervision read back."""

import sys

import numpy as np
import page_inputs
import pandas as pd
import pytest

from avalib.data.importers import read_annotations
from avalib.data.row_checks import BOX_COLUMNS
from avalib.detection.detections_export import export_detections, iter_supervision, to_supervision

KEYS = ["time_s", "person_id", "action"]


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return page_inputs.write_box_video(tmp_path_factory.mktemp("film") / "film.mp4")


@pytest.fixture(params=["coco", "cvat"])
def read_back(request, film, tmp_path):
    """read_back(detections, score_threshold): the rows that avalib's importer reads from the exported file."""

    def run(detections, score_threshold=0.0):
        path = tmp_path / {"coco": "people.json", "cvat": "people.xml"}[request.param]
        export_detections(detections, film, path, score_threshold)
        read = read_annotations(path, request.param, videos=film.parent)
        table = read.table.assign(action=read.table.action_id.map(read.label_map))
        return table.rename(columns={"timestamp": "time_s"}).sort_values(KEYS).reset_index(drop=True)

    return run


def test_nothing_is_lost_on_the_way_there_and_back(read_back):
    expected = page_inputs.build_detections().sort_values(KEYS).reset_index(drop=True)
    table = read_back(expected)
    pd.testing.assert_frame_equal(table[KEYS], expected[KEYS])
    # AVA's csv has three decimals, CVAT four of scores
    np.testing.assert_allclose(table[BOX_COLUMNS], expected[BOX_COLUMNS], atol=0.0006)
    np.testing.assert_allclose(table["score"], expected["score"], atol=5e-5)


def test_low_scores_are_left_out(read_back):
    table = read_back(page_inputs.build_detections(), score_threshold=0.3)
    assert len(table) == 6 * 4 + 2 * 5
    assert table["score"].min() >= 0.3


def test_a_table_from_csv_is_exported_too(read_back, tmp_path):
    detections = page_inputs.build_detections()
    detections.to_csv(tmp_path / "people.csv", index=False)
    table = read_back(pd.read_csv(tmp_path / "people.csv"))
    assert len(table) == len(detections)


def test_coco_keeps_times_between_frames_and_the_model_s_action_ids(film, tmp_path):
    detections = page_inputs.build_detections()
    detections["time_s"] += 0.017
    path = export_detections(detections, film, tmp_path / "people.json", 0.0)
    read = read_annotations(path, "coco", videos=film.parent)
    assert read.label_map == page_inputs.NAMES
    assert set(read.table.timestamp) == {second + 0.017 for second in range(page_inputs.SECONDS)}


def test_another_suffix_or_table_is_an_error(film, tmp_path):
    with pytest.raises(ValueError, match=r"people.yaml: expected a name that ends in .json \(COCO\) or .xml \(CVAT\)"):
        export_detections(page_inputs.build_detections(), film, tmp_path / "people.yaml")
    with pytest.raises(ValueError, match="no column score: expected the table"):
        export_detections(page_inputs.build_detections().drop(columns="score"), film, tmp_path / "people.json")


def test_annotations_without_scores_have_no_column_score(film, tmp_path):
    detections = page_inputs.build_detections()
    path = export_detections(detections, film, tmp_path / "people.json", 0.0)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"score"', '"confidence"'), encoding="utf-8")
    assert "score" not in read_annotations(path, "coco", videos=film.parent).table


@pytest.mark.parametrize("score", ["1.5", "-0.1", '"high"'])
def test_a_coco_score_that_is_none_is_named(film, tmp_path, score):
    path = export_detections(page_inputs.build_detections(), film, tmp_path / "people.json", 0.0)
    path.write_text(path.read_text(encoding="utf-8").replace('"score": 0.9', f'"score": {score}', 1), encoding="utf-8")
    with pytest.raises(ValueError, match=r"people.json, annotation 1: score "):
        read_annotations(path, "coco", videos=film.parent)


class TestSupervision:
    """The real library, where it is installed."""

    @pytest.fixture(autouse=True)
    def supervision(self):
        return pytest.importorskip("supervision", reason="supervision is optional: pip install 'avalib[supervision]'")

    def test_a_frame_has_its_people_with_their_best_action(self, supervision):
        people = to_supervision(page_inputs.build_detections(), 4 * page_inputs.FPS, 320, 180)
        assert isinstance(people, supervision.Detections)
        assert people.tracker_id.tolist() == [1, 2]
        assert people["class_name"].tolist() == ["stand", "watch (a person)"]
        assert people.class_id.tolist() == [12, 80]
        np.testing.assert_allclose(people.confidence, [0.9, 0.7], rtol=1e-6)
        np.testing.assert_allclose(
            people.xyxy[0], np.array(page_inputs.compute_box(4)) * [320, 180, 320, 180], rtol=1e-6
        )

    def test_the_scores_of_all_actions_are_data(self, supervision):
        people = to_supervision(page_inputs.build_detections(), 4 * page_inputs.FPS, 320, 180)
        assert people.metadata["action_ids"] == [12, 14, 64, 80]
        assert people.metadata["class_names"][2] == "fight/hit (a person)"
        expected = [[0.9, 0.35, 0.8123, np.nan], [0.5, np.nan, np.nan, 0.7]]
        np.testing.assert_allclose(people["scores"], expected)
        # a selection of supervision's selects the data too
        assert people[people.tracker_id == 2]["scores"].shape == (1, 4)

    def test_every_frame_in_order(self, supervision):
        frames = dict(iter_supervision(page_inputs.build_detections(), 320, 180))
        assert list(frames) == [second * page_inputs.FPS for second in range(page_inputs.SECONDS)]
        assert all(len(people) == 2 for people in frames.values())

    def test_its_annotators_draw_them(self, supervision):
        people = to_supervision(page_inputs.build_detections(), 0, 320, 180)
        picture = np.zeros((180, 320, 3), np.uint8)
        drawn = supervision.BoxAnnotator().annotate(picture.copy(), people)
        assert drawn[54:162, 30:34].any()

    def test_a_frame_without_people_is_empty(self, supervision):
        assert to_supervision(page_inputs.build_detections(), 3, 320, 180).is_empty()


def test_without_supervision_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ImportError, match=r"pip install 'avalib\[supervision\]'"):
        to_supervision(page_inputs.build_detections(), 0, 320, 180)
