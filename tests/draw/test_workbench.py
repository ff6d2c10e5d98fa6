"""The workbench shows what its controls say, and finds mistakes and examples that are there."""

import io

import fake_predictions
import numpy as np
import pytest
from PIL import Image

from avalib import draw
from avalib.data.ava_csv import read_ava_csv, write_ava_csv
from avalib.draw.model_detections import align_person_ids, find_model_detections
from avalib.draw.person_timeline import build_person_strips


@pytest.fixture(scope="module")
def truth(tiny):
    return read_ava_csv(tiny.get_csv_path("val"), "ground_truth")


@pytest.fixture(scope="module")
def rows(truth):
    return {name: fake_predictions.detections(truth, seed) for seed, name in enumerate(draw.MODEL_COLORS)}


@pytest.fixture
def bench(tiny, truth, rows):
    return draw.open_workbench(tiny, truth, rows, seconds=4, fps=5, label_map=tiny.evaluated_label_map_path)


def shown(bench):
    """What the workbench shows, as it is before the JPEG that the browser gets."""
    picture = bench.picture(bench.time.value)
    with Image.open(io.BytesIO(bench.image.value)) as jpeg:
        assert jpeg.size == picture.shape[1::-1] and np.abs(np.asarray(jpeg) - picture.astype(int)).mean() < 8
    return picture


def green(picture):
    return (picture == draw.GREEN["line"]).all(-1).any()


def test_a_step_shows_its_frame_with_all_seven_rows(bench):
    bench.pick(bench.scene.truth[1][0].person_id)
    for i in (2, 7):
        bench.time.value = i
        picture = shown(bench)
        assert np.array_equal(picture, bench.picture(i)) and not np.array_equal(picture, bench.picture(i + 3))
    assert picture.shape[1] <= 1000 and bench.clock.value == f"{bench.scene.times_s[7]:.1f} s"


def test_the_controls_do_what_they_say(bench):
    eight = shown(bench)
    for name in list(bench.rows)[1:]:
        bench.rows[name].value = False
    two = shown(bench)
    assert two.shape[0] < eight.shape[0] * 1.2 and green(two)
    bench.truth.value = "off"
    assert shown(bench).shape[1] < 0.6 * two.shape[1]
    bench.truth.value = "under"
    assert (shown(bench) == draw.BLUE["line"]).all(-1).any() and green(shown(bench))
    bench.threshold.value = 1.0
    assert not green(shown(bench))
    bench.threshold.value = 0.0
    before = bench.image.value
    bench.action.value = dict(bench.action.options)["stand"]
    assert bench.image.value != before
    bench.by_person.value = True
    assert not green(shown(bench))


def test_a_person_is_clicked(bench):
    person = bench.scene.truth[0][0].person_id
    bench.people[person].click()
    assert bench.picked == person and f"person {person}" in bench.panel.value
    assert bench.people[person].icon == "check"
    found = build_person_strips(bench.scene, person, bench.threshold.value)
    told = bench.scene.table()
    told = set(told[told.person_id == person].action_id)
    assert {action for source, action, _ in found if source == "annotated"} <= told
    assert {source for source, _, _ in found} == {"annotated", *bench.rows}
    bench.rows["slowfast_r50"].value = False
    assert ">slowfast_r50<" not in bench.panel.value and ">slowfast_r50_8x8<" in bench.panel.value
    bench.people[person].click()
    assert bench.picked is None and bench.panel.value == ""


def test_the_next_mistake_is_one(bench, truth):
    for number in (1, 2, 3):
        bench.mistake.click()
        assert bench.words.value.startswith(f"{number}. slowonly_r50, {bench.video.value}")
        second = float(bench.words.value.split(f"{bench.video.value} ")[1].split(" s:")[0])
        assert abs(bench.scene.times_s[bench.time.value] - second) < 0.11
    jump = bench.jumps.mistake("slowfast_r50")
    there = truth[(truth.video_id == jump.video_id) & (truth.timestamp == jump.time_s)]
    assert np.abs(there[["x1", "y1", "x2", "y2"]].to_numpy() - jump.box).sum(1).min() < 0.2 and "0.97" in jump.words
    assert [bench.jumps.mistake("slowfast_r50", score_threshold=2) for _ in range(2)] == [None, None]


def test_examples_come_in_order_and_begin_again(bench, truth):
    bench.example.click()
    assert bench.words.value == "choose an action first"
    action = truth.action_id.value_counts().index[0]
    bench.action.value = action
    expected = truth[truth.action_id == action].drop_duplicates(["video_id", "timestamp"])
    expected = expected.sort_values(["video_id", "timestamp"])[["video_id", "timestamp"]].to_numpy().tolist()
    bench.go(expected[0][0], expected[0][1])
    visited = [[bench.video.value, round(float(bench.scene.times_s[bench.time.value]), 1)]]
    for _ in expected:
        bench.example.click()
        visited.append([bench.video.value, round(float(bench.scene.times_s[bench.time.value]), 1)])
    assert visited == [*expected, expected[0]]


def test_the_static_twin_is_what_is_seen(bench):
    sheet = np.asarray(bench.sheet(columns=1, every_s=1.0))
    first = bench.picture(0)
    assert (sheet[: first.shape[0], : first.shape[1]] == first).all()
    assert sheet.shape[0] == 4 * (first.shape[0] + 4) - 4


def test_one_scene_alone(tiny, truth, rows):
    scene = draw.load_scene(tiny, truth, rows["slowonly_r50"], seconds=1, fps=5)
    bench = draw.open_scrubber(scene)
    assert bench.video.layout.display == "none" and bench.jumps is None and green(shown(bench))


def test_rows_are_found_and_the_missing_ones_said(tmp_path, rows):
    path = tmp_path / "tiny" / "slowonly_r50" / "evaluate" / "detections.csv"
    with pytest.raises(FileNotFoundError, match="slowonly_r50.*run notebooks 03 and 04 first"):
        find_model_detections(tmp_path, "tiny")
    path.parent.mkdir(parents=True)
    write_ava_csv(rows["slowonly_r50"], path)
    said = []
    found = find_model_detections(tmp_path, "tiny", progress=said.append)
    assert list(found) == ["slowonly_r50"] and len(found["slowonly_r50"]) == len(rows["slowonly_r50"])
    assert said[0].startswith("1 of 7 rows have detections; without: slowonly_omnisource_r50")


def test_tracks_get_the_annotated_persons_names():
    left, right = np.array([0.1, 0.2, 0.3, 0.9]), np.array([0.6, 0.2, 0.8, 0.9])
    told = {float(t): [draw.Person(left, (), 40), draw.Person(right, (), 50)] for t in range(4)}
    seen = {float(t): [draw.Person(right + 0.01, (), 0), draw.Person(left, (), 1 + t // 2)] for t in range(4)}
    seen[1.0].append(draw.Person(np.array([0.4, 0, 0.5, 0.2]), (), 9))
    ids = [[p.person_id for p in people] for people in align_person_ids(seen, told).values()]
    assert ids == [[50, 40], [50, 40, 51], [50, 40], [50, 40]]  # two tracks of one person, one of nobody
