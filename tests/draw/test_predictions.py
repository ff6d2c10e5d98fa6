"""Models' detections: loaded where they are, and aligned with the annotated people."""

import fake_predictions
import numpy as np
import pytest

from avalib import draw, zoo
from avalib.data.ava_csv import write_ava_csv
from avalib.draw.predictions import align_person_ids, load_predictions

LEFT = np.array([0.1, 0.2, 0.3, 0.9])
RIGHT = np.array([0.6, 0.2, 0.8, 0.9])


def test_models_with_detections_are_loaded(tmp_path, square, capsys):
    detections = fake_predictions.detections(square.truth, chance=0)
    path = tmp_path / "tiny" / "slowonly_r50" / "evaluate" / "detections.csv"
    path.parent.mkdir(parents=True)
    write_ava_csv(detections, path)
    predictions = load_predictions(tmp_path, "tiny")
    assert list(predictions) == ["slowonly_r50"]
    assert len(predictions["slowonly_r50"]) == len(detections)
    assert f"1 of {len(zoo.list_models())} models have detections: slowonly_r50" in capsys.readouterr().out
    assert list(load_predictions(tmp_path, "tiny", ["slowonly_r50", "slowfast_r50_8x8*"])) == ["slowonly_r50"]


def test_without_any_detections_the_error_names_the_notebooks(tmp_path):
    with pytest.raises(FileNotFoundError, match="slowonly_r50.*Run notebooks 03 and 04 first"):
        load_predictions(tmp_path, "tiny")


def test_tracks_get_the_annotated_persons_ids():
    annotated = {float(t): [draw.Person(LEFT, (), 40), draw.Person(RIGHT, (), 50)] for t in range(4)}
    detected = {float(t): [draw.Person(RIGHT + 0.01, (), 0), draw.Person(LEFT, (), 1 + t // 2)] for t in range(4)}
    detected[1.0].append(draw.Person(np.array([0.4, 0, 0.5, 0.2]), (), 9))
    ids = [[person.person_id for person in people] for people in align_person_ids(detected, annotated).values()]
    assert ids == [[50, 40], [50, 40, 51], [50, 40], [50, 40]]  # two tracks of one person, one of nobody


def test_a_track_that_goes_on_as_somebody_else_has_the_ids_of_both():
    """After a cut, another person is where the first one was."""
    annotated = {0.0: [draw.Person(LEFT, (), 40)], 1.0: [draw.Person(LEFT + 0.01, (), 50)]}
    detected = {time: [draw.Person(LEFT, (), 0)] for time in annotated}
    ids = [people[0].person_id for people in align_person_ids(detected, annotated).values()]
    assert ids == [40, 50]


def test_a_poor_overlap_keeps_the_tracks_id_and_somebody_elsewhere_does_not():
    annotated = {float(t): [draw.Person(LEFT, (), 40)] for t in range(4)}
    detected = {time: [draw.Person(LEFT, (), 0)] for time in annotated}
    detected[1.0] = [draw.Person(LEFT + [0.1, 0, 0.1, 0], (), 0)]  # an IoU of a third
    detected[2.0] = [draw.Person(RIGHT, (), 0)]
    ids = [people[0].person_id for people in align_person_ids(detected, annotated).values()]
    assert ids == [40, 40, 41, 40]
