"""A reader of live sources against real streams: stalls, cuts, changes of size, slow decoding, files at their speed."""

import gc
import socket
import threading
import time

import av
import numpy as np
import pytest
import torch  # noqa: F401 - its import takes seconds, in which frames would be dropped
from numbered_videos import draw_number, make_shot, read_number, write_numbered_video
from stream_server import FPS, Cut, Play, Stall, send_transport_stream, serve_stream

from avalib.video import live_buffer
from avalib.video.live_reader import LiveReader
from avalib.video.live_source import StreamRefusedError
from avalib.video.resize import resize_frame
from avalib.video.writer import write_mp4

pytestmark = pytest.mark.slow  # streams take their time
TIMEOUT_S = 60


def draw(number, width, height):
    return draw_number(number)


def play(seconds):
    """Numbered pictures."""
    return Play(seconds, (128, 64), draw)


@pytest.fixture
def start_reader():
    """A function that opens and starts a LiveReader, which is closed at the end."""
    readers = []

    def start(source, **options):
        readers.append(LiveReader(source, **options))
        readers[-1].start(short_side=32, span_s=2.0)
        return readers[-1]

    yield start
    for reader in readers:
        reader.close()


def collect(reader, is_enough):
    """Take frames, each the newest, until is_enough(frames) or the end."""
    frames = []
    deadline_s = time.monotonic() + TIMEOUT_S
    while not is_enough(frames):
        assert time.monotonic() < deadline_s, reader.counts
        frame = reader.buffer.wait_for_newer(frames[-1].number if frames else -1, 0.1)
        if frame is not None:
            frames.append(frame)
        elif reader.buffer.is_finished(frames[-1].number if frames else -1):
            break
    return frames


def test_a_streams_frames_come_in_order_and_fresh(start_reader):
    with serve_stream(play(5)) as server:
        reader = start_reader(server.url)
        frames = collect(reader, lambda frames: len(frames) == 50)
        numbers = [read_number(frame.picture) for frame in frames]
        ages = [server.sent_at_s(number) for number in numbers]
    assert np.all(np.diff(numbers) > 0)
    # the times are those of the source
    times = np.array([frame.time_s for frame in frames])
    assert np.allclose(times - times[0], (np.array(numbers) - numbers[0]) / FPS, atol=0.02)
    # when the frames left the source, up to the constant way; the first second comes in a burst at the opening
    lags = np.array([frame.captured_s for frame in frames]) - ages
    assert np.ptp(lags[-20:]) < 0.2


def test_a_stall_and_a_cut_lead_to_new_connections_and_the_time_goes_on(start_reader):
    with serve_stream(play(2), Stall(2.0), play(2), Cut(), play(3), Stall(30)) as server:
        reader = start_reader(server.url, stall_s=1.0)
        frames = collect(reader, lambda frames: reader.counts.reconnects >= 2 and server.script == [Stall(30)])
    times = np.array([frame.time_s for frame in frames])
    assert np.all(np.diff(times) > 0)
    assert np.diff(times).max() > 1.0  # the gap is in the times
    assert server.connections >= 3
    assert reader.buffer.get_range_s()[0] >= frames[-1].time_s - 0.5  # nothing from before the gap is in clips


def test_the_log_says_why_and_waits_grow(start_reader, capsys):
    with serve_stream(play(1.5), Cut(), Cut(), Cut(), play(1.5)) as server:
        reader = start_reader(server.url.replace("://", "://me:s3cr3t@"), stall_s=1.0)
        collect(reader, lambda frames: reader.counts.reconnects)
    lines = [line for line in capsys.readouterr().out.splitlines() if "connecting again" in line]
    assert "the connection was cut" in lines[0]
    assert [line.rpartition("again in ")[2] for line in lines[:3]] == ["0.5 s", "1 s", "2 s"]
    assert "s3cr3t" not in "".join(lines)


def test_another_size_in_the_same_connection_is_a_new_shot(start_reader):
    with serve_stream(Play(2, (128, 96)), Play(2, (160, 80))) as server:
        reader = start_reader(server.url)
        frames = collect(reader, lambda frames: bool(frames) and frames[-1].picture.shape[:2] == (80, 160))
    assert reader.counts.reconnects == 0
    assert reader.counts.size_changes == 1
    assert frames[-1].shot > frames[0].shot


def test_udp_is_read(start_reader):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"udp://127.0.0.1:{port}"
    sender = threading.Thread(target=send_transport_stream, args=(f"{address}?pkt_size=1316", play(6), 0), daemon=True)
    sender.start()
    reader = start_reader(address, stall_s=1.0)
    frames = collect(reader, lambda frames: len(frames) == 40)
    assert len({read_number(frame.picture) for frame in frames}) == 40
    sender.join()


def test_late_frames_are_dropped_and_the_newest_comes_next(start_reader, monkeypatch):
    """A reader that is held up: what has piled up meanwhile is not worked off frame by frame."""
    with serve_stream(play(8)) as server:
        reader = start_reader(server.url, max_delay_s=0.3)
        first = collect(reader, lambda frames: len(frames) == 20)

        def hold_up(frame, short_side):
            time.sleep(2)
            return resize_frame(frame, short_side)

        with monkeypatch.context() as patch:
            patch.setattr(live_buffer, "resize_frame", hold_up)  # the thread is busy
            time.sleep(1)
        after = collect(reader, lambda frames: bool(frames) and frames[-1].number > first[-1].number + 5)
        newest = read_number(after[-1].picture)
        assert server.sent - newest < FPS
    assert after[-1].number > first[-1].number + FPS  # they are counted all the same


def test_a_file_is_played_at_its_own_speed_and_ends(start_reader, tmp_path):
    path = write_numbered_video(tmp_path, "v.mp4", 25, n=50)
    started_s = time.monotonic()
    reader = start_reader(path)
    frames = collect(reader, lambda frames: False)
    seconds = time.monotonic() - started_s
    assert 49 / 25 <= seconds
    assert read_number(frames[-1].picture) == 49
    assert frames[-1].time_s == pytest.approx(49 / 25, abs=0.01)
    assert reader.buffer.is_finished(49)


def test_a_cut_in_the_picture_is_a_new_shot(start_reader, tmp_path):
    path = write_mp4(tmp_path / "v.mp4", make_shot(40, 20) + make_shot(150, 20), 30)
    reader = start_reader(path)
    frames = collect(reader, lambda frames: False)
    assert [frame.shot for frame in (frames[0], frames[-1])] == [1, 2]


def test_a_stream_that_refuses_later_ends_with_that_error(start_reader):
    with serve_stream(play(1.5), Cut(), play(5), credentials="me:first") as server:
        reader = start_reader(server.url.replace("://", "://me:first@"))
        collect(reader, lambda frames: len(frames) > 3)
        server.credentials = "me:second"
        with pytest.raises(StreamRefusedError, match="the password is wrong"):
            collect(reader, lambda frames: False)


def test_closing_ends_the_thread(start_reader):
    with serve_stream(play(3)) as server:
        reader = start_reader(server.url)
        collect(reader, lambda frames: len(frames) > 3)
        reader.close()
        assert "avalib live reader" not in [thread.name for thread in threading.enumerate()]


def test_decoded_frames_need_no_garbage_collector(start_reader, tmp_path):
    """PyAV's frames and their side data refer to each other; in a large process they would stay for minutes."""
    path = write_numbered_video(tmp_path, "v.mp4", fps=60, n=60)
    gc.collect()
    before = count_decoded_frames()
    gc.disable()
    try:
        reader = start_reader(path)
        collect(reader, lambda frames: False)
        assert reader.counts.received == 60
        assert count_decoded_frames() - before < 6
    finally:
        gc.enable()


def count_decoded_frames():
    return sum(isinstance(thing, av.VideoFrame) for thing in gc.get_objects())
