"""Proposals for a data set: people at every keyframe; an interrupted call resumes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numbered_videos import write_numbered_video

from avalib.data.proposals import read_proposals
from avalib.data.row_checks import BOX_COLUMNS
from avalib.detection import proposal_generation
from avalib.detection.detected_people import DetectedPeople
from avalib.detection.proposal_generation import make_proposals
from avalib.video.reader import Video
from avalib.video.video_error import VideoError


class BrightnessDetector:
    """In the place of load_person_detector: one person per picture, whose score is the picture's brightness, 0..1."""

    batches = []

    def __init__(self, *arguments, **options):
        self.batches.clear()

    def __call__(self, pictures):
        self.batches.append(len(pictures))
        return [DetectedPeople(np.array([[0.1, 0.2, 0.3, 0.4]]), np.array([p.mean() / 255])) for p in pictures]


@pytest.fixture
def detector(monkeypatch):
    monkeypatch.setattr(proposal_generation, "load_person_detector", BrightnessDetector)
    return BrightnessDetector


@pytest.mark.slow
def test_a_clip_of_kinetics_starts_at_the_second_in_its_name(detector, tmp_path):
    path = write_numbered_video(tmp_path, "o3lCwWyyc_s_000012_000016.mp4", 30, n=120)
    table = make_proposals(path, tmp_path / "p.pkl", {path.stem: [14]}, progress=False)
    with Video(path) as reader:
        brightness = reader.read_ava_frames([61]).mean() / 255
    assert table.timestamp.tolist() == [14] and table.score.tolist() == pytest.approx([brightness])


@pytest.fixture
def videos(tmp_path):
    """Two videos of 2.4 s, the second one torn."""
    paths = [write_numbered_video(tmp_path, f"video_{i}.mp4", 25, n=60) for i in range(2)]
    paths[1].with_suffix(".whole").write_bytes(paths[1].read_bytes())
    paths[1].write_bytes(paths[1].read_bytes()[:1000])
    return paths


def repair(path):
    path.write_bytes(path.with_suffix(".whole").read_bytes())


def test_people_are_detected_at_every_whole_second(videos, detector, tmp_path):
    table = make_proposals(videos[0], tmp_path / "p.pkl", batch_size=2, progress=False)
    assert table.timestamp.tolist() == [900, 901, 902]
    assert set(table.video_id) == {"video_0"}
    assert detector.batches == [2, 1]
    with Video(videos[0]) as reader:
        brightness = [picture.mean() / 255 for picture in reader.iter_ava_frames()]
    assert table.score.tolist() == pytest.approx([brightness[0], brightness[30], brightness[60]])


def test_the_file_has_the_table(videos, detector, tmp_path):
    table = make_proposals(videos[0], tmp_path / "p.pkl", progress=False)
    pd.testing.assert_frame_equal(read_proposals(tmp_path / "p.pkl"), table, check_dtype=False)


def test_an_interrupted_call_resumes_with_the_videos_that_are_left(videos, detector, tmp_path):
    out = tmp_path / "p.pkl"
    with pytest.raises(VideoError, match="video_1"):
        make_proposals(videos, out, progress=False)
    assert not out.exists()
    part = Path(f"{out}.parts") / "video_0.csv"
    part.write_text(part.read_text(encoding="utf-8").replace("0.1,0.2,0.3,0.4", "0.5,0.5,0.6,0.6"), encoding="utf-8")
    repair(videos[1])
    table = make_proposals(videos, out, progress=False)
    assert set(table[table.video_id == "video_0"].x1) == {0.5}, "it was not detected again"
    assert set(table[table.video_id == "video_1"].x1) == {0.1}
    assert not part.parent.exists()


def test_parts_of_other_settings_are_refused(videos, detector, tmp_path):
    with pytest.raises(VideoError):
        make_proposals(videos, tmp_path / "p.pkl", person_score=0.18, progress=False)
    with pytest.raises(ValueError, match=r"was started with .*0\.18.*delete it"):
        make_proposals(videos, tmp_path / "p.pkl", person_score=0.5, progress=False)


def test_keyframes_outside_the_video_are_named(videos, detector, tmp_path):
    with pytest.raises(ValueError, match=r"video_0\.mp4: keyframe 950 is outside the video, 900\.\.902"):
        make_proposals([videos[0]], tmp_path / "p.pkl", {"video_0": [901, 950]}, progress=False)


@pytest.mark.parametrize(
    ("videos", "message"), [(["a/v.mp4", "b/v.mp4"], "v is the name of two videos"), ([], "videos: none")]
)
def test_videos_without_an_id_of_their_own_are_refused(videos, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        make_proposals(videos, tmp_path / "p.pkl")


@pytest.mark.slow
def test_a_real_detector_gives_its_boxes(videos, weights, tmp_path):
    repair(videos[1])
    settings = {"detector": "ssdlite", "weights": weights, "person_score": 0.18}
    table = make_proposals(videos, tmp_path / "p.pkl", **settings, batch_size=2, progress=False)
    assert table.score.between(0.18, 1).all()
    with Video(videos[1]) as reader:
        pictures = list(reader.read_ava_frames([1, 31]))
    detector = proposal_generation.load_person_detector("ssdlite", weights, 0.18)
    second = table[(table.video_id == "video_1") & (table.timestamp == 901)]
    assert np.allclose(second[BOX_COLUMNS], detector(pictures)[1].boxes_norm, atol=1e-4)
