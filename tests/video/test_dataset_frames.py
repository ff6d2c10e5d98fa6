"""Videos that are missing or can't be read are named and counted."""

import shutil
from dataclasses import replace

import pytest

from avalib import zoo
from avalib.data.keyframe_table import load_keyframes
from avalib.data.layout import DatasetLayout
from avalib.video.dataset_frames import open_frames
from avalib.video.frame_cache_builder import build_frame_caches
from avalib.video.video_error import VideoError

ENTRY = zoo.get("slowonly_r50")
RECIPE = replace(
    zoo.update_recipe(zoo.build_mini_recipe(ENTRY), short_side=48, cache_short_side=None), cache_short_side=None
)


def test_missing_and_unreadable_videos_are_named_and_counted(tiny, tmp_path):
    layout = DatasetLayout(tmp_path, tiny.version)
    shutil.copytree(tiny.root, tmp_path, dirs_exist_ok=True)
    keyframes = [load_keyframes(layout, "train")]
    names = list(dict.fromkeys(keyframes[0].video_ids))
    layout.find_video(names[0]).unlink()
    with pytest.raises(VideoError, match=f"1 of 2 videos are missing.*keyframes .*more than the 1%.*{names[0]}"):
        open_frames(layout, RECIPE, keyframes)
    layout.find_video(names[1]).write_bytes(b"not a video")
    with pytest.raises(OSError, match=f"1 of 1 videos can't be read.*{names[1]}"):
        build_frame_caches(layout, [names[1]], 48, workers=1, progress=False)
