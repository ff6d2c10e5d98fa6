"""The linter lists what is odd, by line, and nothing in a clean file."""

import io

import numpy as np
import pandas as pd
import pytest

from avalib.data.lint import lint_csv

GT = "-5KQ66BBWC4,0902,0.077,0.151,0.283,0.811,80,1\n-5KQ66BBWC4,0902,0.077,0.151,0.283,0.811,9,1\n"


DET = "-5KQ66BBWC4,902,0.077,0.151,0.283,0.811,80,0.5\n"


def text(content):
    return io.StringIO(content)


def frame(n=1, last="score", **columns):
    row = {"video_id": "a", "timestamp": 902.0, "x1": 0.1, "y1": 0.1, "x2": 0.3, "y2": 0.9, "action_id": 12, last: 1}
    return pd.DataFrame({key: columns.get(key, [value] * n) for key, value in row.items()})


def problems(source, **options):
    return {row.problem: row for row in lint_csv(source, **options).problems.itertuples()}


@pytest.mark.parametrize(("content", "kind"), [(GT, "ground_truth"), (DET, "detections")])
def test_a_clean_file_has_no_findings(content, kind):
    report = lint_csv(text(content), kind)
    assert not report.findings and report.ok and "no findings" in repr(report)


def test_lint_names_rows_and_what_they_look_like():
    rows = [
        "a,902,0.1,0.1,0.3,0.9,12,0.5",
        "a,902,32,48,96,230,12,0.5",
        "a,902,0.3,0.1,0.1,0.9,12,0.5",
        "a,902,0.3,0.1,0.3,0.9,12,0.5",
        "a,902,0.1,0.1,1.3,0.9,12,0.5",
        "a,902,0.1,0.1,0.3,0.9,0,0.5",
        "a,2,0.1,0.1,0.3,0.9,12,0.5",
        "a,902,0.1,0.1,0.3,0.9,12,0.4",
        "a,903,0.1,0.1,0.3,0.9,12,-7.5",
    ]
    findings = problems(text("\n".join(rows) + "\n"))
    lines = {problem: row.lines for problem, row in findings.items()}
    assert lines == {
        "box in numbers far above 1": [2],
        "x2 < x1 or y2 < y1": [3],
        "box without area": [4],
        "box reaches outside the frame (0..1)": [5],
        "action_id isn't one of AVA's 1..80": [6],
        "timestamp outside 900..1800": [7],
        "the same frame, box and action again": [8],
        "score outside 0..1": [9],
    }
    assert "pixels" in findings["box in numbers far above 1"].looks_like
    assert "96" in findings["box in numbers far above 1"].example


def test_lint_lists_rows_that_cannot_be_read():
    findings = problems(text(DET + "a,902,0.1\n" + "a,902,0.1,0.1,0.3,oops,12,0.5\n"))
    assert findings["can't be read: columns"].lines == [2]
    assert findings["can't be read: column y2"].lines == [3]
    assert "oops" in findings["can't be read: column y2"].example


@pytest.mark.parametrize(("before", "line"), [("", 1), (DET, 2), (DET + "a,902,0.1\n", 3)])
def test_lint_lists_timestamps_that_are_spelled_as_decimals(before, line):
    findings = problems(text(before + DET.replace("902", "902.0")))
    assert findings["timestamp isn't spelled as a whole number"].lines == [line]


def test_lint_accepts_timestamps_between_seconds_on_request():
    assert not problems(text(DET.replace("902", "902.5")), whole_seconds=False)


def test_a_box_that_is_all_outside_is_wrong_and_one_that_reaches_outside_is_not():
    source = frame(2, x1=[1.1, 0.9], x2=[1.3, 1.2])
    report = lint_csv(source)
    findings = {finding.check: finding for finding in report.findings}
    assert findings["box outside the frame, all of it"].lines == [0]
    assert findings["box reaches outside the frame (0..1)"].lines == [1]
    assert not report.ok and lint_csv(source[1:]).ok


@pytest.fixture
def people():
    """40 boxes of standing people."""
    rng = np.random.default_rng(0)
    x, y = rng.random(40) * 0.5, rng.random(40) * 0.2
    return frame(40, x1=x, y1=y, x2=x + 0.25, y2=y + 0.7, timestamp=np.arange(902.0, 942.0))


def swap_axes(table):
    return table.rename(columns={"x1": "y1", "y1": "x1", "x2": "y2", "y2": "x2"})


def test_standing_people_do_not_look_swapped(people):
    assert "x and y look swapped" not in problems(people)


def test_lying_people_look_swapped(people):
    assert len(problems(swap_axes(people))["x and y look swapped"].lines) == 40


def test_the_ground_truth_shows_which_boxes_are_swapped(people):
    some = pd.concat([people[:30], swap_axes(people)[30:]], ignore_index=True)
    assert problems(some, ground_truth=people)["x and y look swapped"].lines == list(range(30, 40))


def test_sizes_in_place_of_corners_are_recognized(people):
    sizes = people.assign(x2=people["x2"] - people["x1"], y2=people["y2"] - people["y1"])
    assert "width,height" in problems(sizes)["x2 < x1 or y2 < y1"].looks_like
