"""Frame caches: the videos' frames, built anew when a video changes, announced with size and duration."""

import shutil

import numpy as np

from avalib.data.keyframe_table import load_keyframes
from avalib.data.layout import DatasetLayout
from avalib.video.frame_cache_builder import build_frame_caches, estimate_frame_caches
from avalib.video.frame_source import FrameSource, get_cache_path
from avalib.video.resize import resize_frames_and_boxes


def test_cached_frames_are_the_videos(tiny, tmp_path):
    layout = DatasetLayout(tmp_path, tiny.version)
    shutil.copytree(tiny.videos, layout.videos)
    name = load_keyframes(tiny, "val").video_ids[0]
    size = build_frame_caches(layout, [name], 48, workers=1, progress=False)
    assert size == get_cache_path(layout, name, 48).stat().st_size
    numbers = [9, 10, 11, 12, 60]
    cached = FrameSource(layout, 48).get_reader(name).read_ava_frames(numbers)
    direct = FrameSource(layout).get_reader(name).read_ava_frames(numbers)
    exact, _ = resize_frames_and_boxes(direct, np.zeros((0, 4), np.float32), 48)
    assert cached.shape == exact.shape
    luma = np.array([0.299, 0.587, 0.114])  # what a JPEG keeps at full resolution
    apart = np.abs((cached @ luma)[:, None] - (exact @ luma)[None]).mean(axis=(2, 3))  # (cached, exact) grey levels
    assert (apart.argmin(axis=1) == np.arange(len(numbers))).all(), "each is its own frame, not a neighbour"
    assert apart.diagonal().max() < 3


def test_a_video_that_changed_is_cached_anew(tiny, tmp_path):
    layout = DatasetLayout(tmp_path, tiny.version)
    shutil.copytree(tiny.videos, layout.videos)
    first, other = dict.fromkeys(load_keyframes(tiny, "train").video_ids)
    build_frame_caches(layout, [first], 48, workers=1, progress=False)
    before = FrameSource(layout, 48).get_reader(first).read_ava_frames([20])
    layout.find_video(first).write_bytes(layout.find_video(other).read_bytes())
    build_frame_caches(layout, [first], 48, workers=1, progress=False)
    assert not np.array_equal(before, FrameSource(layout, 48).get_reader(first).read_ava_frames([20]))


def test_the_cache_says_its_size_and_speed_before(tiny, tmp_path, capsys):
    layout = DatasetLayout(tmp_path, tiny.version)
    shutil.copytree(tiny.videos, layout.videos)
    names = list(dict.fromkeys(load_keyframes(tiny, "val").video_ids))
    plan = estimate_frame_caches(layout, names, 48)
    size = build_frame_caches(layout, names, 48, workers=1, progress=False)
    assert 0.5 < plan.size_GB * 1e9 / size < 2 and plan.frames_per_s > 0
    assert "building frame caches of 1 video at short side 48: about 0.00 GB" in capsys.readouterr().out
