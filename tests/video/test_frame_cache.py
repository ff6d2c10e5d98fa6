"""The frame cache's folder: who may write there, what a killed build leaves, other systems."""

import os
import shutil
import signal
import threading
import time

import numpy as np
import pytest
from forks import fork
from numbered_videos import draw_number, read_number, write_numbered_video

from avalib.data.layout import DatasetLayout
from avalib.video.frame_cache import FrameCache, FrameCachePreview, write_frame_cache
from avalib.video.frame_cache_builder import build_frame_caches
from avalib.video.frame_source import get_cache_path, open_video
from avalib.video.reader import Video
from avalib.video.video_error import VideoError
from avalib.video.writer import write_mp4


@pytest.fixture
def layout(tiny, tmp_path):
    """The tiny data set with a cache folder of this test's own."""
    for name in ("annotations", "proposals", "videos"):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / name).symlink_to(tiny.root / name)
    return DatasetLayout(tmp_path / "data", "mini")


def names_of(layout):
    return sorted(path.stem for path in layout.videos.iterdir())


@pytest.mark.parametrize("kind", ["relative", "absolute"])
def test_no_id_makes_the_cache_write_outside_its_folder(layout, tmp_path, kind):
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.copy(layout.find_video(names_of(layout)[0]), outside / "a.mp4")
    name = str(outside / "a") if kind == "absolute" else f"../../{outside.name}/a"
    before = sorted(tmp_path.rglob("*"))
    for call in (
        lambda: get_cache_path(layout, name, 48),
        lambda: build_frame_caches(layout, [name], 48, workers=1, progress=False),
        lambda: open_video(layout, name),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match="outside/a|plain"):
            call()
    assert sorted(tmp_path.rglob("*")) == before


def stall_after_first_frame(frames, pipe):
    """Yield frames; after the first one tell the pipe's other end, and wait to be killed."""
    yield frames[0]
    os.write(pipe, b"p")
    time.sleep(60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process that is killed while it packs")
def test_what_a_killed_build_left_is_removed_and_logged(layout, capsys):
    first = names_of(layout)[0]
    path, (reading, writing) = get_cache_path(layout, first, 48), os.pipe()
    process = fork()
    if process == 0:
        try:
            with open_video(layout, first) as video:
                video.iter_ava_frames = lambda: stall_after_first_frame(video.read_ava_frames([1]), writing)
                write_frame_cache(video, path, 48)
        finally:
            os._exit(1)  # whatever happens, the copy must not go on with the other tests
    assert os.read(reading, 1) == b"p"
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    assert len(list(path.parent.glob(".*.part.*"))) == 1
    build_frame_caches(layout, [first], 48, workers=1, progress=False)
    assert "removed 1 unfinished file of stopped processes" in capsys.readouterr().out
    assert [left.name for left in path.parent.iterdir()] == [path.name]


def test_frames_are_read_where_there_is_no_pread(layout, monkeypatch):
    """Windows: one position a file, which threads would move under one another."""
    first = names_of(layout)[0]
    build_frame_caches(layout, [first], 48, workers=1, progress=False)
    numbers = np.arange(1, 61)
    with FrameCache(get_cache_path(layout, first, 48)) as reader:
        expected = reader.read_ava_frames(numbers)
    monkeypatch.delattr(os, "pread")
    monkeypatch.setattr(os, "O_BINARY", 0, raising=False)
    found = {}
    with FrameCache(get_cache_path(layout, first, 48)) as reader:
        threads = [
            threading.Thread(target=lambda n=n: found.update({n: reader.read_ava_frames(numbers)})) for n in range(4)
        ]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    assert all(np.array_equal(found[n], expected) for n in range(4))


def write_cache(folder):
    """(path of a video, path of its cache at short side 48)."""
    path = write_numbered_video(folder, "v.mp4", 25)
    with Video(path) as video:
        return path, write_frame_cache(video, folder / "cache" / "v.frames", short_side=48)


def test_cached_frames_are_the_videos(tmp_path):
    path, cache = write_cache(tmp_path)
    with Video(path) as video, FrameCache(cache) as cached:
        for i in (48, 1, 17, 17):
            # any scale that keeps the blocks
            big = np.kron(cached.read_ava_frames([i])[0][::3, ::3], np.ones((4, 4, 1)))
            assert read_number(big) == read_number(video.read_ava_frames([i])[0])


def test_a_cache_knows_its_sizes(tmp_path):
    path, cache = write_cache(tmp_path)
    with Video(path) as video, FrameCache(cache) as cached:
        assert (cached.n_ava_frames, cached.width, cached.height) == (video.n_ava_frames, 96, 48)
        assert cached.original_size == (128, 64)


def test_a_repeated_frame_is_stored_once(tmp_path):
    # the same 36 frames, shown 30 a second and 15 a second
    frames = [draw_number(n) for n in range(36)]
    sizes = []
    for fps in (30, 15):
        with Video(write_mp4(tmp_path / f"{fps}.mp4", frames, fps)) as video:
            sizes.append(write_frame_cache(video, tmp_path / f"{fps}.frames", 48).stat().st_size)
            n_index_bytes = 12 * video.n_ava_frames
            sizes[-1] -= n_index_bytes
    assert abs(sizes[0] - sizes[1]) < 200


def test_a_number_outside_a_cache_is_an_index_error(tmp_path):
    _, cache = write_cache(tmp_path)
    with FrameCache(cache) as cached, pytest.raises(IndexError, match=r"v\.frames: AVA frame number 49 .* 1\.\.48"):
        cached.read_ava_frames([49])


@pytest.mark.parametrize(
    "damage",
    [lambda content: content[:-9], lambda _: b"", lambda _: b"x" * 100],
    ids=["cut short", "empty", "something else"],
)
def test_a_damaged_cache_is_an_error_that_names_it(tmp_path, damage):
    _, cache = write_cache(tmp_path)
    cache.write_bytes(damage(cache.read_bytes()))
    with pytest.raises(VideoError, match=r"v\.frames: not a complete frame cache"):
        FrameCache(cache)


def test_a_preview_reads_the_frames_that_the_cache_will_hold(layout, tmp_path):
    numbers = [40, 3, 3, 17]
    with open_video(layout, names_of(layout)[0]) as video:
        path = write_frame_cache(video, tmp_path / "a.frames", 48)
    with FrameCachePreview(open_video(layout, names_of(layout)[0]), 48) as preview, FrameCache(path) as cache:
        assert preview.n_ava_frames == cache.n_ava_frames
        np.testing.assert_array_equal(preview.read_ava_frames(numbers), cache.read_ava_frames(numbers))
        np.testing.assert_array_equal(preview.read_ava_frames(numbers), cache.read_ava_frames(numbers))
