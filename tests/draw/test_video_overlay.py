"""A video with boxes and labels: where it may be written."""

import pytest
from detection_inputs import two_people, write_calm_video

from avalib import draw


def test_the_video_itself_is_not_replaced(tmp_path):
    video = write_calm_video(tmp_path / "v.mp4", n=5)
    before = video.read_bytes()
    with pytest.raises(ValueError, match="v.mp4: this call reads that file, and writing would replace it"):
        draw.write_overlay_video(video, video, two_people(0))
    assert video.read_bytes() == before


def test_another_suffix_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"o.txt: expected a name that ends in .mp4, .mkv or .gif"):
        draw.write_overlay_video(tmp_path / "o.txt", "v.mp4", two_people(0))
