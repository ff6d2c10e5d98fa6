"""Person boxes: torchvision's detectors and their weights, proposals for a data set, boxes that are given."""

import numpy as np
import pandas as pd
import pytest
import torch
from numbered_videos import draw_number, write_numbered_video

from avalib.data.ava_csv import write_ava_csv
from avalib.data.proposals import read_proposals, write_proposals
from avalib.data.row_checks import BOX_COLUMNS
from avalib.detection import person_detector
from avalib.detection.given_boxes import read_given_boxes
from avalib.detection.person_detector import DETECTORS, PersonDetector, build_person_detector, make_proposals
from avalib.models.checkpoint_file import CheckpointError, parse_hash_in_name
from avalib.utils.http_transfer import FetchError
from avalib.video.reader import Video
from avalib.video.video_error import VideoError


@pytest.fixture
def reader(tmp_path):
    with Video(write_numbered_video(tmp_path, "clip.mp4", 25, n=75)) as opened:
        yield opened


def test_weights_come_by_url_and_find_what_torchvision_finds(weights, server, tmp_path, monkeypatch):
    monkeypatch.setenv("AVALIB_CACHE", str(tmp_path / "cache"))
    finder = PersonDetector("ssdlite", f"{server}/ssdlite.pth", person_score=0.18, progress=False)
    model = build_person_detector("ssdlite320_mobilenet_v3_large", weights)
    pictures = [draw_number(5), draw_number(77)[:, :100]]
    found = finder(pictures)
    for picture, (boxes, scores) in zip(pictures, found, strict=True):
        with torch.inference_mode():
            (expected,) = model([torch.from_numpy(picture.copy()).permute(2, 0, 1) / 255])
        keep = (expected["labels"] == 1) & (expected["scores"] > 0.18)
        sides = np.array([picture.shape[1], picture.shape[0]] * 2)
        assert 0 < len(boxes) < len(expected["labels"]) and (boxes >= 0).all() and (boxes <= 1).all()
        assert np.allclose(boxes * sides, expected["boxes"][keep], atol=0.02)
        assert np.allclose(scores, expected["scores"][keep], atol=1e-5)
    assert finder([]) == []


def test_weights_that_cannot_be_had_say_how_to_bring_them(tmp_path, weights):
    with pytest.raises(FetchError, match=r"(?s)ssdlite320.*Bring them: download https.*AVALIB_MIRROR.*boxes="):
        build_person_detector("ssdlite", mirror=tmp_path)
    with pytest.raises(FileNotFoundError, match=r"checkpoint .*nothing\.pth: does not exist"):
        build_person_detector("ssdlite", tmp_path / "nothing.pth")
    with pytest.raises(CheckpointError, match=r"ssdlite\.pth isn't of torchvision's retinanet_resnet50_fpn_v2"):
        build_person_detector("retinanet", weights)
    with pytest.raises(ValueError, match="there are fasterrcnn, retinanet, ssdlite"):
        build_person_detector("yolo")


@pytest.mark.parametrize("name", DETECTORS.values())
def test_every_detector_has_a_published_file(name):
    url = person_detector.get_model_weights(name).DEFAULT.url
    assert url.endswith(".pth") and parse_hash_in_name(url)


def test_proposals_are_made_and_an_interrupted_call_goes_on(tmp_path, weights, capsys):
    paths = [write_numbered_video(tmp_path, f"video_{i}.mp4", 25, n=60) for i in range(2)]
    whole = paths[1].read_bytes()
    paths[1].write_bytes(whole[:1000])
    out = tmp_path / "proposals.pkl"
    options = dict(detector="ssdlite", weights=weights, person_score=0.18, batch_size=2, progress=False)
    with pytest.raises(VideoError, match="video_1"):
        make_proposals(paths, out, **options)
    first = tmp_path / "proposals.pkl.parts" / "video_0.csv"
    done = first.stat().st_mtime_ns
    assert not out.exists()
    with pytest.raises(ValueError, match=r"was begun with .*0\.18.*delete it"):
        make_proposals(paths, out, **options | {"person_score": 0.5})
    paths[1].write_bytes(whole)
    first.rename(first.with_suffix(".kept"))
    pd.read_csv(first.with_suffix(".kept")).assign(score=0.5).to_csv(first, index=False)  # not found again, but read
    first.with_suffix(".kept").unlink()
    table = make_proposals(paths, out, **options)
    assert done and not first.parent.exists()
    assert sorted(table.groupby("video_id").timestamp.unique().map(list)) == [[900, 901, 902]] * 2
    assert (table[table.video_id == "video_0"].score == 0.5).all() and table.score.between(0.18, 1).all()
    read = read_proposals(out)
    pd.testing.assert_frame_equal(read, table, check_dtype=False)
    with Video(paths[1]) as reader:
        batch = list(reader.read_ava_frames([1, 31]))  # the same as there: random weights' scores are near ties
        _, (boxes, _) = PersonDetector("ssdlite", weights, 0.18)(batch)
    second = read[(read.video_id == "video_1") & (read.timestamp == 901)]
    assert np.allclose(second[BOX_COLUMNS], boxes, atol=1e-4)


def test_keyframes_outside_the_video_are_named(tmp_path, weights):
    path = write_numbered_video(tmp_path, "v.mp4", 25, n=60)
    with pytest.raises(ValueError, match=r"v\.mp4: keyframe 950 is outside the video, 900\.\.902"):
        make_proposals([path], tmp_path / "p.pkl", {"v": [901, 950]}, "ssdlite", weights, progress=False)


def table(**columns):
    return pd.DataFrame({"x1": [0.1, 0.5], "y1": 0.2, "x2": [0.3, 0.9], "y2": 0.8} | columns)


def test_given_boxes_in_every_way_of_telling_the_time(reader, tmp_path):
    times = [[1.0, 2.0]] * 6
    given = [
        table(time_s=[1.0, 2.0]),
        table(frame=[25, 50]),
        table(timestamp=[901, 902]),
        table(timestamp=[901, 902], video_id=["clip", "clip"]),
        pd.concat([table(timestamp=[901, 902], video_id=n) for n in ("other", "clip")]),
        table(time_s=[2.0, 1.0]).iloc[::-1],
    ]
    for source, expected in zip(given, times, strict=True):
        assert read_given_boxes(source, reader).time_s.tolist() == expected
    given[0].to_csv(tmp_path / "b.csv", index=False)
    pd.testing.assert_frame_equal(read_given_boxes(tmp_path / "b.csv", reader), given[0][["time_s", *BOX_COLUMNS]])
    write_proposals(given[3].assign(score=[0.9, 0.3]), tmp_path / "p.pkl")
    assert read_given_boxes(tmp_path / "p.pkl", reader).time_s.tolist() == [1.0]  # 0.3 is less than person_score
    truth = pd.concat([given[3].assign(action_id=a, person_id=[7, 8]) for a in (12, 80)])
    write_ava_csv(truth, tmp_path / "ava.csv")
    assert read_given_boxes(tmp_path / "ava.csv", reader).person_id.tolist() == [7, 8]
    scored = truth.drop(columns="person_id").assign(score=0.1)
    write_ava_csv(scored, tmp_path / "ava.csv")  # scores of actions, not of people
    assert len(read_given_boxes(tmp_path / "ava.csv", reader)) == 2


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (table(), "no column time_s, timestamp or frame"),
        (table(time_s=1.0).drop(columns="y2"), "no column y2"),
        (table(time_s=[1, 3.5]), r"row 1: box 0\.5, 0\.2, 0\.9, 0\.8 at 3\.5 s: expected a time inside .* 3\.00 s"),
        (table(time_s=1.0, x2=[0.3, 0.4]), "row 1: .*expected x1 < x2"),
        (table(time_s=1.0, x2=[0.3, np.nan]), "row 1, column x2, value 'nan': expected a finite number"),
        (table(time_s=1.0, x2=[0.3, 90]), "row 1: .*looks like pixels; divide x by 128 and y by 64"),
        (table(frame=[0, 75]), r"row 1, frame 75: the video has 0\.\.74"),
        (table(timestamp=901, video_id="other"), "no boxes of video_id 'clip' .*it has other"),
    ],
    ids=range(8),
)  # fmt: skip
def test_boxes_that_make_no_sense_are_refused(reader, source, words):
    with pytest.raises(ValueError, match=f"boxes.*{words}"):
        read_given_boxes(source, reader)
