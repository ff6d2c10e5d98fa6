"""Live detection end to end: people followed, actions scored as `detect` does, bounded delay, errors."""

import time

import numpy as np
import pandas as pd
import pytest
from detection_inputs import LABEL_MAP, LEFT, RIGHT, build_network, detect, two_people, write_calm_video
from stream_server import Cut, Play, Stall, serve_stream

import avalib
from avalib.data.row_checks import BOX_COLUMNS
from avalib.detection.live_people import GivenFollower
from avalib.detection.live_table import LiveTable
from avalib.detection.person_detector import DetectedPeople
from avalib.evaluation.inference import LogitsNotFiniteError
from avalib.video.live_buffer import LiveFrame
from avalib.video.live_source import StreamError


@pytest.fixture(scope="module")
def network():
    return build_network()


def watch(source, network, boxes=None, **options):
    """avalib.watch_live on the CPU, without progress bars."""
    return avalib.watch_live(source, network, boxes=boxes, device="cpu", precision="float32", progress=False, **options)


def find_two_people(pictures):
    """A person detector of one's own: two people who don't move."""
    return [DetectedPeople(np.array([LEFT, RIGHT]), np.ones(2, np.float32)) for _ in pictures]


# --- a file -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Five seconds at 30 frames a second."""
    return write_calm_video(tmp_path_factory.mktemp("film") / "v.mp4", fps=30, n=150)


@pytest.fixture(scope="module")
def watched(film, network):
    """(results of the film with given boxes, its LiveStats, the seconds it took)."""
    started_s = time.monotonic()
    with watch(film, network, two_people(0, 1, 2, 3, 4, 5, person_id=[7, 9] * 6)) as live:
        results = list(live)
        return results, live.measure(), time.monotonic() - started_s


@pytest.mark.slow
def test_the_scores_are_those_of_detect(watched, film, network):
    results, _, _ = watched
    scored = [result.scored for result in results if result.scored is not None]
    assert len(scored) >= 3
    rows = [(one.time_s, *box) for one in scored for box in (LEFT, RIGHT)]
    table = detect(film, network, pd.DataFrame(rows, columns=["time_s", *BOX_COLUMNS]))
    expected = table.score.to_numpy().reshape(len(scored), 2, len(LABEL_MAP))
    for one, scores in zip(scored, expected, strict=True):
        assert np.allclose(one.scores[:, list(LABEL_MAP)], scores, atol=1e-5)


@pytest.mark.slow
def test_moments_are_a_step_apart(watched):
    results, _, _ = watched
    times_s = [result.scored.time_s for result in results if result.scored is not None]
    assert np.all(np.diff(times_s) >= 1 - 1e-6)


@pytest.mark.slow
def test_every_frame_is_a_frame_result_with_its_picture(watched):
    results, _, _ = watched
    assert all(result.person_ids.tolist() == [7, 9] for result in results)
    assert all(np.allclose(result.boxes, [LEFT, RIGHT]) for result in results)
    assert all(result.picture.shape == (64, 128, 3) for result in results)
    frames = [result.frame for result in results]
    assert frames == sorted(set(frames))
    assert results[-1].frame == 149


@pytest.mark.slow
def test_scores_stay_with_their_people_and_are_zero_before_the_first(watched):
    results, _, _ = watched
    first = next(i for i, result in enumerate(results) if result.scored is not None)
    assert all((result.scores == 0).all() for result in results[:first])
    assert (results[first].scores[:, list(LABEL_MAP)] > 0).all()
    assert np.array_equal(results[first].scores, results[first].scored.scores)


@pytest.mark.slow
def test_a_file_takes_its_own_time_and_every_frame_is_counted(watched):
    results, stats, seconds = watched
    assert seconds >= 149 / 30
    assert stats.processed == len(results)
    assert stats.processed + stats.dropped == 150


@pytest.mark.slow
def test_the_table_has_the_rows_of_each_moment(watched, tmp_path):
    results, _, _ = watched
    with LiveTable(tmp_path / "live.csv", LABEL_MAP) as table:
        for result in results:
            table.add(result)
    rows = pd.read_csv(tmp_path / "live.csv")
    scored = [result.scored for result in results if result.scored is not None]
    assert len(rows) == len(scored) * 2 * len(LABEL_MAP)
    assert sorted(set(rows.action)) == sorted(LABEL_MAP.values())
    assert rows.score.iloc[0] == pytest.approx(scored[0].scores[0, 3], rel=1e-4)


@pytest.mark.slow
def test_seconds_end_it_early(film, network):
    with watch(film, network, two_people(0, 1, 2), seconds=1.0) as live:
        results = list(live)
    assert results[-1].time_s < 2


# --- boxes between their times ----------------------------------------------------------------------------------------


def make_frame(time_s):
    return LiveFrame(0, time_s, 0.0, 0, np.zeros((2, 2, 3), np.uint8))


def test_between_two_times_a_box_lies_on_the_straight_line():
    moved = two_people(0).assign(time_s=1.0)
    moved[["x1", "x2"]] += 0.1
    follow = GivenFollower(pd.concat([two_people(0), moved]))
    people = follow(make_frame(0.25))
    assert people.person_ids.tolist() == [0, 1]
    assert np.allclose(people.boxes, np.array([LEFT, RIGHT]) + [0.025, 0, 0.025, 0])


@pytest.mark.parametrize(("time_s", "count"), [(0.4, 2), (0.6, 0), (1.4, 0), (1.6, 1), (2.0, 1), (2.4, 1), (9.0, 0)])
def test_people_at_one_time_alone_stay_for_half_a_second(time_s, count):
    follow = GivenFollower(pd.concat([two_people(0), two_people(2).iloc[:1]]))
    assert len(follow(make_frame(time_s)).boxes) == count


# --- streams ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_stream_with_every_fault_is_watched_to_its_end(network, capsys):
    script = [Play(3), Stall(2), Play(2.5), Cut(), Play(1.5), Play(3, (160, 96)), Stall(60)]
    results = []
    with serve_stream(*script) as server, watch(server.url, network, detector=find_two_people, stall_s=1.0) as live:
        live.log_step_s = 0.5
        for result in live:
            results.append(result)
            if live.measure().size_changes and result.scored is not None and result.picture.shape[1] == 160:
                break
        stats = live.measure()
    assert stats.reconnects >= 2
    assert stats.size_changes >= 1
    # people before a gap are others than after it
    assert results[0].person_ids.tolist() == [0, 1]
    assert results[-1].person_ids.min() > 1
    output = capsys.readouterr().out
    assert f"{live.name}: " in output
    assert "frames/s, delay " in output
    assert "frames dropped, 2 reconnects" in output


@pytest.mark.slow
def test_a_slow_consumer_gets_new_frames_and_the_others_are_counted(network):
    ages_s = []
    with serve_stream(Play(8)) as server, watch(server.url, network, detector=find_two_people) as live:
        for result in live:
            ages_s.append(result.measure_delay_s())
            time.sleep(0.4)
            if len(ages_s) == 12:
                break
        stats = live.measure()
    assert stats.dropped > stats.processed
    # the delay doesn't grow from frame to frame, as in a queue (here to over 4 s), and is measured from end to end
    assert np.median(ages_s) < 2
    assert stats.delay_s >= 0.4


@pytest.mark.slow
def test_detected_people_keep_their_ids(film, network):
    with watch(film, network, detector=find_two_people) as live:
        assert {tuple(result.person_ids) for result in live} == {(0, 1)}


@pytest.mark.slow
def test_a_real_person_detector_is_run_on_the_frames(film, network, weights):
    options = {"detector": "ssdlite", "detector_weights": weights, "person_score": 0.05, "seconds": 4}
    with watch(film, network, **options) as live:
        results = list(live)
    assert any(len(result.boxes) for result in results)


# --- errors -----------------------------------------------------------------------------------------------------------


def test_an_unreachable_stream_is_an_error_before_the_model_is_loaded():
    with pytest.raises(StreamError, match=r"rtsp://127.0.0.1:1/live: cannot be opened: Connection refused"):
        avalib.watch_live("rtsp://me:s3cr3t@127.0.0.1:1/live", checkpoint="no/such/file.pth")


@pytest.mark.parametrize("name", ["step", "seconds", "stall_s", "max_delay_s"])
@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_a_number_out_of_range_is_named(name, value, network):
    with pytest.raises(ValueError, match=f"{name}=.*: expected seconds above 0"):
        watch(0, network, **{name: value})


def test_boxes_of_a_stream_are_refused(network):
    with serve_stream(Play(3)) as server, pytest.raises(ValueError, match="is live, so its people are not known"):
        watch(server.url, network, two_people(0))


@pytest.mark.slow
def test_scores_that_are_no_numbers_end_it_with_an_error(film):
    broken = build_network()
    broken.roi_head.bbox_head.fc_cls.weight.data.fill_(float("nan"))
    with pytest.raises(LogitsNotFiniteError, match="NaN or infinite for the clip at"):
        with watch(film, broken, two_people(0, 1, 2)) as live:
            list(live)


def test_a_live_table_is_a_csv(tmp_path):
    with pytest.raises(ValueError, match=r"live.parquet: expected a name that ends in \.csv"):
        LiveTable(tmp_path / "live.parquet", LABEL_MAP)
