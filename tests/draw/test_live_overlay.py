"""Live detections drawn: labels, an mp4 with every frame's time, a widget with a picture that stays."""

import io

import numpy as np
import pytest
from detection_inputs import LABEL_MAP, build_network, two_people, write_calm_video
from PIL import Image
from stream_server import Play, Stall, serve_stream

import avalib
from avalib import draw
from avalib.detection.detected_people import DetectedPeople
from avalib.detection.live_detector import LiveResult
from avalib.draw.live_overlay import get_live_path
from avalib.utils.interrupts import Stopped
from avalib.video.reader import Video


def make_result(scores):
    """A result with one person in the middle who has these scores {action_id: score}."""
    table = np.zeros((1, 81), np.float32)
    for action, score in scores.items():
        table[0, action] = score
    return LiveResult(
        time_s=1.0,
        frame=30,
        person_ids=np.array([4]),
        boxes=np.array([[0.2, 0.2, 0.6, 0.9]]),
        scores=table,
        picture=np.zeros((96, 128, 3), np.uint8),
        captured_s=0.0,
    )


def test_the_highest_scores_of_the_label_map_are_the_labels():
    annotator = draw.LiveAnnotator(LABEL_MAP, score_threshold=0.3, top_k=2)
    (person,) = annotator.list_people(make_result({3: 0.5, 12: 0.9, 80: 0.7, 40: 1.0}))
    assert [(action, round(score, 2)) for action, score in person.labels] == [(12, 0.9), (80, 0.7)]


def test_a_person_without_scores_still_has_a_box():
    annotator = draw.LiveAnnotator(LABEL_MAP)
    result = make_result({})
    (person,) = annotator.list_people(result)
    assert person.labels == ()
    frame = annotator.annotate(result)
    assert frame.shape == (96, 128, 3)
    assert frame[20:90].any()


def test_drawn_pictures_have_the_width():
    assert draw.LiveAnnotator(LABEL_MAP, width=256).annotate(make_result({3: 0.9})).shape == (192, 256, 3)


@pytest.mark.parametrize("name", ["a.gif", "a.avi", "a"])
def test_another_suffix_is_refused(name):
    with pytest.raises(ValueError, match=r"expected a name that ends in \.mp4 or \.mkv"):
        get_live_path(name)


def watch_film(folder, **options):
    """A live detection of two seconds of film."""
    film = write_calm_video(folder / "film.mp4", fps=25, n=50)
    boxes = two_people(0, 1, 2)
    return avalib.watch_live(film, build_network(), boxes=boxes, device="cpu", progress=False, **options)


@pytest.mark.slow
def test_an_mp4_has_the_times_of_its_frames(tmp_path):
    seen = []
    stats = draw.play_live(
        watch_film(tmp_path), tmp_path / "out.mp4", [lambda result, frame: seen.append(result.time_s)], width=256
    )
    assert stats.processed == len(seen)
    with Video(tmp_path / "out.mp4") as video:
        assert (video.width, video.height) == (256, 128)
        assert np.allclose(video.times_s, np.array(seen) - seen[0], atol=1e-3)


@pytest.mark.slow
def test_pictures_of_another_size_fit_into_the_first(tmp_path):
    def find_nobody(pictures):
        return [DetectedPeople(np.zeros((0, 4)), np.zeros(0, np.float32)) for _ in pictures]

    sizes = []
    with serve_stream(Play(2, (128, 96)), Play(2, (160, 80)), Stall(60)) as server:
        live = avalib.watch_live(
            server.url, build_network(), detector=find_nobody, device="cpu", stall_s=30, progress=False
        )

        def stop_after_both(result, frame):
            sizes.append(frame.shape[:2])
            if len(set(sizes)) == 2 and sizes[-5:].count((80, 160)) == 5:
                live.stop()

        draw.play_live(live, tmp_path / "out.mkv", [stop_after_both])
    with Video(tmp_path / "out.mkv") as video:
        assert (video.width, video.height) == (128, 96)
        (last,) = video.iter_native_frames([video.n_frames - 1])
    assert last[:10].max() < 40  # a black bar above
    assert last[48].mean() > 40


@pytest.mark.slow
def test_a_notebook_shows_the_newest_frame_and_keeps_a_picture(tmp_path, capsys):
    picture = draw.show_live(watch_film(tmp_path), tmp_path / "out.mp4", port=0, width=160)
    assert isinstance(picture, Image.Image)
    assert picture.size == (160, 80)
    assert "in a browser on this machine: http://127.0.0.1:" in capsys.readouterr().out
    assert (tmp_path / "out.mp4").is_file()


@pytest.mark.slow
def test_the_widget_has_the_same_picture_and_the_measured_delay(tmp_path):
    live = watch_film(tmp_path)
    view = draw.LiveView(live)
    draw.play_live(live, viewers=[view.show])
    snapshot = view.static_snapshot()
    shown = Image.open(io.BytesIO(view.picture.value))
    assert shown.size == snapshot.size
    assert np.abs(np.asarray(shown, int) - np.asarray(snapshot, int)).mean() < 12
    assert "frames/s" in view.status.value


@pytest.mark.slow
def test_ctrl_c_ends_it_with_a_complete_file(tmp_path):
    import os
    import signal

    handler = signal.getsignal(signal.SIGINT)
    live = watch_film(tmp_path)

    def interrupt(result, frame):
        if result.frame > 20:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Stopped, match=r"stopped; .*out.mp4 is complete"):
        draw.play_live(live, tmp_path / "out.mp4", [interrupt])
    with Video(tmp_path / "out.mp4") as video:
        assert 0 < video.n_frames < 50
    assert signal.getsignal(signal.SIGINT) is handler
