"""Scenes: people follow the video in every frame, with one id for one person."""

import numpy as np
import pytest
from moving_square import VIDEO_ID, find_square

from avalib import draw
from avalib.video.cut_finder import find_cuts


@pytest.fixture(scope="module")
def scene(square):
    return draw.load_scene(square.layout, square.truth, square.detections, start=901, seconds=4, fps=10)


def to_video_table(detections):
    """An AVA table as avalib.detect returns it: seconds from the video's beginning."""
    table = detections.assign(time_s=detections.timestamp - 900, person_id=3)
    return table.drop(columns=["video_id", "timestamp"])


def test_a_scene_has_the_frames_and_keyframes_of_its_seconds(scene):
    assert scene.video_id == VIDEO_ID
    assert len(scene.frames) == 40
    assert scene.keyframes == (901.0, 902.0, 903.0, 904.0)


def test_boxes_follow_the_square_in_every_frame(scene):
    for frame, annotated, predicted in zip(scene.frames, scene.annotated, scene.predictions["predicted"], strict=True):
        box = find_square(frame)
        assert np.abs(annotated[0].box - box).max() < 0.02
        assert np.abs(predicted[0].box - box - 0.01).max() < 0.02


def test_detected_people_have_the_annotated_ids(square):
    predictions = {"slowonly_r50": square.detections, "slowfast_r50": square.detections}
    scene = draw.load_scene(square.layout, square.truth, predictions, start=902, seconds=1)
    assert list(scene.predictions) == ["slowonly_r50", "slowfast_r50"]
    assert {person.person_id for person in scene.predictions["slowonly_r50"][0]} == {7}


def test_a_scene_as_a_table(square):
    scene = draw.load_scene(square.layout, square.truth, {"slowonly_r50": square.detections}, start=902, seconds=1)
    predicted = scene.to_table("slowonly_r50")
    assert set(predicted.person_id) == {7}
    assert predicted.score.max() == 0.9
    assert set(scene.to_table().score) == {1.0}


def test_a_scene_of_any_video(square):
    path = square.layout.videos / f"{VIDEO_ID}.mp4"
    scene = draw.load_video_scene(path, to_video_table(square.detections), start=1, seconds=2, fps=5)
    assert len(scene.frames) == 10
    assert scene.keyframes == (1.0, 2.0)
    assert np.allclose(scene.times_s[:3], [1, 1.2, 1.4])
    for frame, people in zip(scene.frames, scene.predictions["predicted"], strict=True):
        assert np.abs(people[0].box - find_square(frame) - 0.01).max() < 0.02
        assert people[0].person_id == 3
    assert draw.render_side_by_side(scene, width=200)[0].shape == (150, 200, 3)


def test_a_start_behind_the_end_of_a_video_is_an_error(square):
    path = square.layout.videos / f"{VIDEO_ID}.mp4"
    with pytest.raises(ValueError, match="start 9 s: .*AAAAAAAAAAA.mp4 is 6.0 s long"):
        draw.load_video_scene(path, to_video_table(square.detections), start=9)


def test_a_video_without_annotations_is_an_error(square):
    with pytest.raises(ValueError, match="'nobody': not annotated here; there are AAAAAAAAAAA"):
        draw.load_scene(square.layout, square.truth, video="nobody")


def test_a_second_outside_of_the_video_is_an_error(square):
    with pytest.raises(ValueError, match="start 990: video AAAAAAAAAAA has the seconds 900 to 906"):
        draw.load_scene(square.layout, square.truth, start=990)


def test_what_is_chosen_comes_with_its_rule(square, capsys):
    scene = draw.load_scene(square.layout, square.truth, seconds=2)
    rule = "the first with the most different annotated actions"
    seconds = f"seconds {scene.start:g} to {scene.start + 2:g} of {VIDEO_ID}"
    assert capsys.readouterr().out == f"video {VIDEO_ID}: {rule}\n{seconds}: {rule}\n"
    draw.load_scene(square.layout, square.truth, video=VIDEO_ID, start=902, seconds=1)
    assert capsys.readouterr().out == ""


def test_the_seconds_can_be_those_of_which_a_model_has_detected_most(square, capsys):
    detections = square.truth.assign(score=np.where(square.truth.timestamp == 904, 0.9, 0.1))
    scene = draw.load_scene(square.layout, square.truth, {"net": detections}, seconds=1, choose_by="detected")
    assert scene.start == 904
    assert (
        "seconds 904 to 905 of AAAAAAAAAAA: the first with the most different actions that net has"
        in capsys.readouterr().out
    )


def test_where_a_model_has_detected_nothing_the_annotation_chooses(square, capsys):
    nothing = square.truth.assign(score=0.1)
    draw.load_scene(square.layout, square.truth, {"net": nothing}, seconds=1, choose_by="detected")
    assert "the first with the most different annotated actions" in capsys.readouterr().out


def test_a_cut_is_found():
    frames = np.full((10, 60, 80, 3), 60, np.uint8)
    frames[6:] = 160
    assert find_cuts(frames, np.arange(10) / 10).tolist() == [0.6]
