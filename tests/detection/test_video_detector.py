"""Any video: scores are those of the data set's path, people stay who they are, odd files are told in words."""

import copy
from dataclasses import replace

import av
import numpy as np
import pandas as pd
import pytest
import torch
from numbered_videos import VARIABLE_TIMES_S, make_shot, write_numbered_video

import avalib
from avalib import draw, zoo
from avalib.data.keyframe_table import load_keyframes
from avalib.data.row_checks import BOX_COLUMNS
from avalib.detection import video_detector
from avalib.evaluation import inference
from avalib.evaluation.inference import score_keyframes
from avalib.models.build import build_model
from avalib.models.checkpoint import CheckpointMeta, save_checkpoint
from avalib.video.clip_stream import ClipStream
from avalib.video.frame_source import FrameSource
from avalib.video.reader import Video
from avalib.video.video_error import VideoError
from avalib.video.writer import write_mp4

NAMES = {3: "dribble", 12: "stand around", 80: "cheer"}


@pytest.fixture(scope="module")
def network():
    """A SlowOnly R50 with random weights, for pictures of 32 pixels and three actions with names of their own."""
    torch.manual_seed(0)
    model = build_model("slowonly_r50")
    recipe = zoo.customize_recipe(zoo.build_mini_recipe(model.entry), short_side=32)
    model.meta = CheckpointMeta(model.entry, recipe, NAMES)
    return model


def two_people(*times, **columns):
    left, right = [0.1, 0.2, 0.3, 0.9], [0.6, 0.2, 0.8, 0.9]
    rows = [(t, *box) for t in times for box in (left, right)]
    return pd.DataFrame(rows, columns=["time_s", *BOX_COLUMNS]).assign(**columns)


def calm(folder, name, fps, n):
    """A video without cuts: a gradient that moves."""
    ramp = np.tile(np.linspace(40, 200, 160, dtype=np.uint8)[None, :, None], (64, 1, 3))
    return write_mp4(folder / name, (ramp[:, i % 32 : i % 32 + 128] for i in range(n)), fps)


def watch(path, network, boxes, **options):
    fixed = dict(device="cpu", precision="float32", progress=False)
    return avalib.detect(path, network, boxes=boxes, **fixed | options)


# --- the table --------------------------------------------------------------------------------------------------------


def test_scores_are_those_of_the_data_sets_own_path(tiny, network):
    recipe = replace(network.meta.recipe, cache_short_side=None)
    keyframes = load_keyframes(tiny, "val", recipe.person_score)
    frames = FrameSource(tiny)
    scores, boxes = score_keyframes(network, keyframes, recipe, frames, "cpu", "float32", progress=False)
    assert len(set(keyframes.video_ids)) == 1 and not keyframes.n_without_proposals
    path = tiny.find_video(keyframes.video_ids[0])
    table = watch(path, network, tiny.get_proposals_path("val"), person_score=recipe.person_score, batch_size=2)
    for k, seconds in enumerate(keyframes.timestamps):
        rows = slice(keyframes.proposal_start[k], keyframes.proposal_start[k + 1])
        found = table[table.time_s == seconds - 900]
        assert np.allclose(found.score, scores[rows][:, list(NAMES)].ravel(), atol=1e-5)
        assert np.allclose(found[BOX_COLUMNS][:: len(NAMES)], boxes[rows], atol=1e-5)


def test_the_table(tmp_path, network):
    path = calm(tmp_path, "v.mp4", 25, n=100)
    table = watch(path, network, two_people(1, 2, 3))
    assert list(table.columns) == video_detector.COLUMNS and len(table) == 3 * 2 * 3
    assert table.time_s.tolist() == sorted(table.time_s) and set(table.frame) == {25, 50, 75}
    assert table.action_id[:3].tolist() == [3, 12, 80] and table.action[:3].tolist() == list(NAMES.values())
    assert table.score.between(0, 1).all() and set(table.person_id) == {0, 1}
    assert table.groupby("person_id").x1.nunique().tolist() == [1, 1]
    assert table.attrs["video"] == "v.mp4" and table.attrs["label_map"] == NAMES and table.attrs["cuts_s"] == []
    (note,) = table.attrs["notes"]
    assert note.startswith("89 frames in ") and note.endswith("3 times, 2 people, 6 boxes, 0 cuts")
    known = watch(path, network, two_people(1, 2, person_id=[7, 9, 7, 9]))
    assert set(known.person_id) == {7, 9}
    few = watch(path, network, two_people(1, 2, 3), score_threshold=0.5)
    assert 0 < len(few) < len(table) and few.score.min() >= 0.5
    again = watch(path, network, table)  # its own table as boxes
    pd.testing.assert_frame_equal(again, table)
    nobody = watch(path, network, two_people(1, 2, score=0.1))
    assert list(nobody.columns) == video_detector.COLUMNS and nobody.empty


def test_a_network_whose_scores_are_no_numbers_is_refused(tmp_path, network):
    broken = copy.deepcopy(network)
    torch.nn.init.constant_(broken.roi_head.bbox_head.fc_cls.weight, float("nan"))
    with pytest.raises(ValueError, match=r"slowonly_r50\): the network's output is NaN or infinite for .* at 1 s"):
        watch(calm(tmp_path, "v.mp4", 25, n=50), broken, two_people(1))


@pytest.mark.slow
def test_time_is_a_parameter(tmp_path, network, weights):  # noqa: F811
    path = write_numbered_video(tmp_path, "v.mp4", 25, n=100)
    given = two_people(*np.arange(0, 4, 0.25))
    assert sorted(set(watch(path, network, given, step=1).time_s)) == [0, 1, 2, 3]
    assert sorted(set(watch(path, network, given, step=0.4, start=1, stop=2.5).time_s)) == [1, 1.5, 2, 2.5]
    finder = dict(detector="ssdlite", detector_weights=weights, person_score=0.18)
    assert sorted(set(watch(path, network, None, step=1.5, **finder).time_s)) == [0, 1.5, 3]
    for options in ({"step": 0}, {"start": 4}, {"start": 2, "stop": 1}):
        with pytest.raises(ValueError, match="expected seconds above 0|has the seconds 0 to 4.00"):
            watch(path, network, None, **options)


def test_scores_are_smoothed_along_a_track():
    scores = np.array([[0.0, 1], [9, 9], [1, 1], [2, 0], [9, 9]])
    smooth = video_detector.smoothed(scores, np.array([0, 0, 1, 2, 5]), np.array([1, 2, 1, 1, 1]), seconds=2)
    assert np.allclose(smooth, [[0.5, 1], [9, 9], [1, 2 / 3], [1.5, 0.5], [9, 9]])


def test_people_are_others_after_a_cut(tmp_path, network):
    path = write_mp4(tmp_path / "v.mp4", make_shot(40, 75) + make_shot(150, 75), 30)
    table = watch(path, network, two_people(1, 2, 3, 4))
    ids = table.groupby("time_s").person_id.unique().map(list).tolist()
    assert ids == [[0, 1], [0, 1], [2, 3], [2, 3]] and table.attrs["cuts_s"] == pytest.approx([2.5])


def test_an_interrupted_call_keeps_what_it_has(tmp_path, network, monkeypatch):
    path, calls, score_batch = write_numbered_video(tmp_path, "v.mp4", 25, n=150), [], inference.score_batch

    def interrupted_at_the_second(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return score_batch(*arguments)

    monkeypatch.setattr(inference, "score_batch", interrupted_at_the_second)
    with pytest.warns(UserWarning, match=r"v\.mp4: interrupted; start=2 goes on"):
        first = watch(path, network, two_people(0, 1, 2, 3), batch_size=2)
    rest = watch(path, network, two_people(0, 1, 2, 3), batch_size=2, start=2)
    assert sorted(set(first.time_s)) == [0, 1] and sorted(set(rest.time_s)) == [2, 3]


# --- files as they come -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fps", [10, 23.976, 50, 60], ids=str)
def test_odd_rates(tmp_path, network, fps):
    path = write_numbered_video(tmp_path, "v.mp4", fps, n=round(3 * fps))
    table = watch(path, network, two_people(0, 1, 2))
    assert np.abs(table.frame - table.time_s * fps).max() <= 0.1 * fps and len(table) == 18


@pytest.mark.slow
def test_a_variable_rate_a_short_video_and_one_on_its_side(tmp_path, network):
    variable = watch(
        write_numbered_video(tmp_path, "v.mkv", 30, n=21, times_s=VARIABLE_TIMES_S), network, two_people(0, 1, 2)
    )
    assert np.abs(VARIABLE_TIMES_S[variable.frame] - variable.time_s).max() <= 0.5  # the longest frame
    assert len(watch(write_numbered_video(tmp_path, "short.mp4", 25, n=2), network, two_people(0))) == 6
    source = write_numbered_video(tmp_path, "flat.mp4", 25, n=30)
    with av.open(str(source)) as old, av.open(str(tmp_path / "turned.mp4"), "w") as new:
        track = new.add_stream_from_template(old.streams.video[0])
        track.set_display_rotation(90)
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = track
                new.mux(packet)
    table = watch(tmp_path / "turned.mp4", network, two_people(0, 1))
    assert len(table) == 12 and next(draw.render_frames(tmp_path / "turned.mp4", table)).shape == (128, 64, 3)
    with Video(tmp_path / "turned.mp4") as reader:
        assert next(iter(ClipStream(reader, [0], 4, 2, 32))).clip.shape == (4, 64, 32, 3)


@pytest.mark.slow
def test_truncated_and_damaged_files_are_watched_as_far_as_they_go(tmp_path, network):
    whole = write_numbered_video(tmp_path, "v.mp4", 30, n=150, gop=30, bframes=0)
    with Video(whole) as reader:
        at = reader.index.pos.tolist()
    data = bytearray(whole.read_bytes())
    torn, damaged = tmp_path / "torn.mp4", tmp_path / "damaged.mp4"
    torn.write_bytes(data[: at[100] + 5])
    with pytest.warns(UserWarning, match=r"torn\.mp4: truncated: \d+ frames that the file's header promises"):
        table = watch(torn, network, two_people(0, 1, 2, 3))
    assert sorted(set(table.time_s)) == [0, 1, 2, 3] and table.frame.max() == 90
    data[at[100] :] = bytes(len(data) - at[100])
    damaged.write_bytes(data)
    with pytest.warns(UserWarning, match=r"damaged\.mp4: 2 times left out, frames .* can't be decoded: 3, 4 s"):
        table = watch(damaged, network, two_people(0, 1, 2, 3, 4))
    assert table.attrs["skipped_s"] == [3, 4] and sorted(set(table.time_s)) == [0, 1, 2]
    assert 33 <= len(list(draw.render_frames(damaged, table))) <= 34


def test_what_is_no_video_is_refused(tmp_path, network):
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        track = container.add_stream("aac", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        silence.rate = 8000
        container.mux(track.encode(silence))
        container.mux(track.encode(None))
    (tmp_path / "text.mp4").write_text("not a video", encoding="utf-8")
    for name, words in (("sound", "no video in it, only audio"), ("text", "not readable"), ("none", "no such video")):
        with pytest.raises(VideoError, match=rf"{name}\.mp4: .*{words}"):
            watch(tmp_path / f"{name}.mp4", network, None)


@pytest.mark.slow
def test_a_video_by_its_address_with_a_detector_by_its_address(weights, server, network, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("AVALIB_CACHE", str(tmp_path / "cache"))
    write_numbered_video(weights.parent, "remote.mp4", 25, n=50)
    options = dict(detector="ssdlite", detector_weights=f"{server}/ssdlite.pth", person_score=0.18)
    table = watch(f"{server}/remote.mp4", network, None, **options)
    assert table.attrs["video"] == "remote.mp4" and sorted(set(table.time_s)) == [0, 1] and len(table) % 3 == 0


# --- function, module, command ----------------------------------------------------------------------------------------


def test_the_command(tmp_path, network, capsys):
    path, checkpoint = calm(tmp_path, "v.mp4", 25, n=75), tmp_path / "own.pth"
    save_checkpoint(network, checkpoint, recipe=network.meta.recipe, label_map=NAMES)
    two_people(0, 1, 2).to_csv(tmp_path / "boxes.csv", index=False)
    words = [str(path), "--checkpoint", str(checkpoint)]
    words += ["--boxes", str(tmp_path / "boxes.csv"), "--csv", str(tmp_path / "d.csv")]
    assert video_detector.main([*words, "--out", str(tmp_path / "o.mp4"), "--width", "256", "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    assert "o.mp4" in shown and "2 people, 6 boxes" in shown and any(name in shown for name in NAMES.values())
    table = pd.read_csv(tmp_path / "d.csv")
    assert (
        list(table.columns) == video_detector.COLUMNS and len(table) == 18 and set(table.action) == set(NAMES.values())
    )
    with Video(tmp_path / "o.mp4") as overlay:
        assert (overlay.width, overlay.height, overlay.n_frames, round(overlay.fps)) == (256, 128, 75, 25)
    gif = draw.save_gif(tmp_path / "o.gif", draw.render_frames(path, table), 10)
    assert gif.stat().st_size > 1000
    for changed, message in (
        (["--model", "slowonly"], "error: no model 'slowonly' in the zoo. Did you mean"),
        (["--out", str(tmp_path / "o.txt")], "o.txt: expected a name that ends in .mp4 or .gif"),
        (["--checkpoint", str(tmp_path / "no.pth")], "no.pth: does not exist"),
    ):
        assert video_detector.main([*words, *changed]) == 1
        assert message in capsys.readouterr().err
