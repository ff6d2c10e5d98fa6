"""Any video: scores are those of the data set's path, people are tracked, odd files are read as far as possible."""

import copy
from dataclasses import replace

import av
import numpy as np
import pandas as pd
import pytest
import torch
from detection_inputs import LABEL_MAP, build_network, detect, two_people, write_calm_video
from numbered_videos import VARIABLE_TIMES_S, make_shot, write_numbered_video

from avalib import draw
from avalib.data.keyframe_table import load_keyframes
from avalib.data.row_checks import BOX_COLUMNS
from avalib.detection import video_detector
from avalib.detection.detections_table import COLUMNS
from avalib.detection.training_data import describe_rendered_people
from avalib.evaluation.inference import score_keyframes
from avalib.video.clip_stream import ClipStream
from avalib.video.frame_source import FrameSource
from avalib.video.reader import Video
from avalib.video.video_error import VideoError
from avalib.video.writer import write_mp4


@pytest.fixture(scope="module")
def network():
    return build_network()


@pytest.fixture(scope="module")
def calm_video(tmp_path_factory):
    """Four seconds at 25 frames a second."""
    return write_calm_video(tmp_path_factory.mktemp("calm") / "v.mp4")


# --- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_scores_are_those_of_the_data_sets_own_path(tiny, network):
    recipe = replace(network.meta.recipe, cache_short_side=None)
    keyframes = load_keyframes(tiny, "val", recipe.person_score)
    scores, boxes = score_keyframes(network, keyframes, recipe, FrameSource(tiny), "cpu", "float32", progress=False)
    path = tiny.find_video(keyframes.video_ids[0])
    boxes_path = tiny.get_proposals_path("val")
    table = detect(path, network, boxes_path, person_score=recipe.person_score, batch_size=2)
    for k, timestamp in enumerate(keyframes.timestamps):
        rows = slice(keyframes.proposal_start[k], keyframes.proposal_start[k + 1])
        detections = table[table.time_s == timestamp - 900]
        assert np.allclose(detections.score, scores[rows][:, list(LABEL_MAP)].ravel(), atol=1e-5)
        assert np.allclose(detections[BOX_COLUMNS][:: len(LABEL_MAP)], boxes[rows], atol=1e-5)


def test_weights_of_rendered_people_say_so_on_other_video(calm_video, network):
    rendered = copy.copy(network)
    rendered.meta = replace(network.meta, extra={"dataset_version": "mini"})
    with pytest.warns(UserWarning, match=r"v\.mp4: the model was trained on rendered people"):
        table = detect(calm_video, rendered, two_people(1))
    assert table.attrs["notes"][0].startswith("the model was trained on rendered people")


def test_weights_of_rendered_people_say_nothing_on_a_rendered_video(tiny, network):
    rendered = copy.copy(network)
    rendered.meta = replace(network.meta, extra={"dataset_version": "mini"})
    assert not describe_rendered_people(rendered, next(tiny.videos.iterdir()))
    assert not describe_rendered_people(network, "street.mp4")
    assert describe_rendered_people(rendered)


@pytest.mark.slow
def test_every_person_has_every_action_at_every_time(calm_video, network):
    table = detect(calm_video, network, two_people(1, 2, 3))
    assert list(table.columns) == COLUMNS
    assert table.time_s.tolist() == [1] * 6 + [2] * 6 + [3] * 6
    assert table.action.tolist() == list(LABEL_MAP.values()) * 6
    assert set(table.frame) == {25, 50, 75}
    assert table.score.between(0, 1).all()


@pytest.mark.slow
def test_people_are_tracked(calm_video, network):
    table = detect(calm_video, network, two_people(1, 2, 3))
    assert set(table.person_id) == {0, 1}
    assert table.groupby("person_id").x1.nunique().tolist() == [1, 1]


def test_the_attributes_describe_the_video(calm_video, network):
    attributes = detect(calm_video, network, two_people(1, 2, 3)).attrs
    assert attributes["video"] == "v.mp4"
    assert attributes["label_map"] == LABEL_MAP
    assert attributes["cuts_s"] == []
    assert attributes["skipped_s"] == []
    (note,) = attributes["notes"]
    assert note.startswith("89 frames in ")
    assert note.endswith("3 times, 2 people, 6 boxes, 0 cuts")


def test_person_ids_of_the_boxes_stay(calm_video, network):
    table = detect(calm_video, network, two_people(1, 2, person_id=[7, 9, 7, 9]))
    assert set(table.person_id) == {7, 9}


@pytest.mark.slow
def test_a_table_can_be_the_boxes_of_the_next_call(calm_video, network):
    table = detect(calm_video, network, two_people(1, 2, 3))
    pd.testing.assert_frame_equal(detect(calm_video, network, table), table)


@pytest.mark.parametrize("score", [0.8, None])
def test_a_model_may_multiply_its_scores_by_the_peoples(calm_video, network, score):
    """As UMT's do; boxes without a score count as certain."""
    multiplying = copy.deepcopy(network)
    multiplying.entry = replace(network.entry, score_by_person=True)
    columns = {} if score is None else {"score": score}
    plain = detect(calm_video, network, two_people(1, **columns))
    multiplied = detect(calm_video, multiplying, two_people(1, **columns))
    np.testing.assert_allclose(multiplied.score, plain.score * (score or 1), rtol=1e-5)


def test_without_people_the_table_is_empty(calm_video, network):
    table = detect(calm_video, network, two_people(1, 2, score=0.1))
    assert list(table.columns) == COLUMNS
    assert table.empty
    assert table.attrs["notes"][0].endswith("0 times, 0 people, 0 boxes, 0 cuts")


def test_a_network_whose_scores_are_no_numbers_is_refused(calm_video, network):
    broken = copy.deepcopy(network)
    torch.nn.init.constant_(broken.roi_head.bbox_head.fc_cls.weight, float("nan"))
    with pytest.raises(ValueError, match=r"slowonly_r50\): the network's output is NaN or infinite for .* at 1 s"):
        detect(calm_video, broken, two_people(1))


@pytest.mark.slow
def test_people_are_others_after_a_cut(tmp_path, network):
    path = write_mp4(tmp_path / "v.mp4", make_shot(40, 75) + make_shot(150, 75), 30)
    table = detect(path, network, two_people(1, 2, 3, 4))
    ids = table.groupby("time_s").person_id.unique().map(list).tolist()
    assert ids == [[0, 1], [0, 1], [2, 3], [2, 3]]
    assert table.attrs["cuts_s"] == pytest.approx([2.5])


@pytest.mark.slow
def test_an_interrupted_call_returns_what_it_has_and_names_the_next_start(calm_video, network, monkeypatch):
    score_batch = video_detector.score_batch
    calls = []

    def interrupt_second_call(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return score_batch(*arguments)

    monkeypatch.setattr(video_detector, "score_batch", interrupt_second_call)
    with pytest.warns(UserWarning, match=r"v\.mp4: interrupted; start=2 continues"):
        first = detect(calm_video, network, two_people(0, 1, 2, 3), batch_size=2)
    rest = detect(calm_video, network, two_people(0, 1, 2, 3), batch_size=2, start=2)
    assert sorted(set(first.time_s)) == [0, 1]
    assert sorted(set(rest.time_s)) == [2, 3]


# --- times ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "times"),
    [({"step": 1}, [0, 1, 2, 3]), ({"step": 0.4, "start": 1, "stop": 2.5}, [1, 1.5, 2, 2.5])],
)
def test_times_of_the_boxes_are_taken_at_least_a_step_apart(options, times, calm_video, network):
    table = detect(calm_video, network, two_people(*np.arange(0, 4, 0.25)), **options)
    assert sorted(set(table.time_s)) == times


@pytest.mark.slow
def test_people_are_detected_at_every_step(calm_video, network, weights):
    table = detect(calm_video, network, None, step=1.5, detector="ssdlite", detector_weights=weights, person_score=0.18)
    assert sorted(set(table.time_s)) == [0, 1.5, 3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step": 0}, "step=0: expected seconds above 0"),
        ({"step": float("nan")}, "step=nan: expected"),
        ({"step": 1e-9}, "step=1e-09: expected"),
        ({"start": 4}, "has the seconds 0 to 4.00"),
        ({"start": 2, "stop": 1}, "has the seconds 0 to 4.00"),
        ({"start": "a"}, "start='a': expected"),
        ({"batch_size": 0}, "batch_size=0: expected"),
        ({"batch_size": 1.5}, "batch_size=1.5: expected"),
        ({"smooth": -1}, "smooth=-1: expected"),
    ],
)
def test_a_wrong_number_is_named(options, message, calm_video, network):
    with pytest.raises(ValueError, match=message):
        detect(calm_video, network, None, **options)


# --- files as they come -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("fps", [10, 23.976, 50, 60], ids=str)
def test_odd_rates(tmp_path, network, fps):
    path = write_numbered_video(tmp_path, "v.mp4", fps, n=round(3 * fps))
    table = detect(path, network, two_people(0, 1, 2))
    assert np.abs(table.frame - table.time_s * fps).max() <= 0.1 * fps
    assert len(table) == 18


def test_a_variable_rate(tmp_path, network):
    path = write_numbered_video(tmp_path, "v.mkv", 30, n=21, times_s=VARIABLE_TIMES_S)
    table = detect(path, network, two_people(0, 1, 2))
    assert np.abs(VARIABLE_TIMES_S[table.frame] - table.time_s).max() <= 0.5  # the longest frame


@pytest.mark.slow
def test_a_video_of_two_frames(tmp_path, network):
    path = write_numbered_video(tmp_path, "short.mp4", 25, n=2)
    assert len(detect(path, network, two_people(0))) == 6


def test_a_video_on_its_side_is_turned(tmp_path, network):
    source = write_numbered_video(tmp_path, "flat.mp4", 25, n=30)
    turned = tmp_path / "turned.mp4"
    with av.open(str(source)) as flat, av.open(str(turned), "w") as container:
        track = container.add_stream_from_template(flat.streams.video[0])
        track.set_display_rotation(90)
        for packet in flat.demux(video=0):
            if packet.size:
                packet.stream = track
                container.mux(packet)
    table = detect(turned, network, two_people(0, 1))
    assert len(table) == 12
    assert next(draw.render_frames(turned, table)).shape == (128, 64, 3)
    with Video(turned) as reader:
        assert next(iter(ClipStream(reader, [0], 4, 2, 32))).clip.shape == (4, 64, 32, 3)


@pytest.fixture
def whole_video(tmp_path):
    """(path, content, the position of frame 100 in it) of a video of five seconds."""
    path = write_numbered_video(tmp_path, "v.mp4", 30, n=150, gop=30, bframes=0)
    with Video(path) as reader:
        position = reader.packet_index.pos.tolist()[100]
    return path, bytearray(path.read_bytes()), position


@pytest.mark.slow
def test_a_truncated_video_is_read_to_its_end(whole_video, network):
    path, content, position = whole_video
    path.write_bytes(content[: position + 5])
    with pytest.warns(UserWarning, match=r"v\.mp4: truncated: \d+ frames that the file's header promises"):
        table = detect(path, network, two_people(0, 1, 2, 3))
    assert sorted(set(table.time_s)) == [0, 1, 2, 3]
    assert table.frame.max() == 90


@pytest.mark.slow
def test_times_that_cannot_be_decoded_are_left_out(whole_video, network):
    path, content, position = whole_video
    content[position:] = bytes(len(content) - position)
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=r"v\.mp4: 2 times left out, frames .* can't be decoded: 3, 4 s"):
        table = detect(path, network, two_people(0, 1, 2, 3, 4))
    assert table.attrs["skipped_s"] == [3, 4]
    assert sorted(set(table.time_s)) == [0, 1, 2]
    assert 33 <= len(list(draw.render_frames(path, table))) <= 34


def test_a_file_with_audio_only_is_refused(tmp_path, network):
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        track = container.add_stream("aac", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        silence.rate = 8000
        container.mux(track.encode(silence))
        container.mux(track.encode(None))
    with pytest.raises(VideoError, match=r"sound\.mp4: .*no video in it, only audio"):
        detect(tmp_path / "sound.mp4", network, None)


def test_a_file_that_is_no_video_is_refused(tmp_path, network):
    (tmp_path / "text.mp4").write_text("not a video", encoding="utf-8")
    with pytest.raises(VideoError, match=r"text\.mp4: .*not readable"):
        detect(tmp_path / "text.mp4", network, None)


@pytest.mark.slow
def test_a_video_by_its_address_with_a_detector_by_its_address(weights, server, network, tmp_path, monkeypatch):
    monkeypatch.setenv("AVALIB_CACHE", str(tmp_path / "cache"))
    write_numbered_video(weights.parent, "remote.mp4", 25, n=50)
    table = detect(
        f"{server}/remote.mp4",
        network,
        None,
        detector="ssdlite",
        detector_weights=f"{server}/ssdlite.pth",
        person_score=0.18,
    )
    assert table.attrs["video"] == "remote.mp4"
    assert sorted(set(table.time_s)) == [0, 1]


def test_best_needs_the_file_of_a_run(calm_video):
    with pytest.raises(ValueError, match="checkpoint='best': which run of notebook 03 is unknown; give its file"):
        detect(calm_video, "slowonly_r50", two_people(1), checkpoint="best")
