"""Folders of a video's frames as pictures: which series is read, and what is refused."""

import pytest
from numbered_videos import draw_number, read_number
from PIL import Image

from avalib.video.jpeg_folder import JpegFolder
from avalib.video.video_error import VideoError


def folder_of(path, names):
    """A folder of pictures; each shows the number that `names` ({name: number}) gives it."""
    path.mkdir(exist_ok=True)
    for name, n in names.items():
        Image.fromarray(draw_number(n)).save(path / name)
    return path


@pytest.mark.parametrize(
    "pattern", ["img_{:05d}.jpg", "clip_{:06d}.jpg", "frame{}.jpg", "{}.jpeg", "a7_{:03d}.JPG", "frame_{:06d}_l.png"]
)
@pytest.mark.parametrize("first", [0, 1])
def test_the_number_in_a_pictures_name_counts(tmp_path, pattern, first):
    folder = folder_of(tmp_path / "clip", {pattern.format(n): n for n in range(first, 23)})
    with JpegFolder(folder) as opened:
        assert (opened.n_ava_frames, opened.width, opened.height) == (23 - first, 128, 64)
        assert [read_number(f) for f in opened.iter_ava_frames()] == list(range(first, 23))
        assert [read_number(f) for f in opened.read_ava_frames([12, 3])] == [first + 11, first + 2]


def test_folders_may_mix_suffixes_and_hold_optical_flow(tmp_path):
    names = {"f1.jpg": 1, "f2.jpeg": 2, "f3.JPG": 3, "f4.png": 4, "flow_x_00001.jpg": 9, "cover.jpg": 9}
    opened = JpegFolder(folder_of(tmp_path / "clip", names))
    assert [read_number(f) for f in opened.iter_ava_frames()] == [1, 2, 3, 4]
    names = {"img_00001.jpg": 1, "img_00002.jpg": 2, "thumb_1.jpg": 7}
    opened = JpegFolder(folder_of(tmp_path / "other", names))
    assert [read_number(f) for f in opened.iter_ava_frames()] == [1, 2]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({f"frame_{n:06d}.jpg": n for n in range(0, 40, 5)}, r"8 pictures with the numbers 0, 5, 10, 15 … 35; .*1, 2"),
        ({"img_00001.jpg": 1, "img_00003.jpg": 3}, "2 … missing"),
        ({"img_00002.jpg": 2, "img_00003.jpg": 3}, "1 … missing"),
        ({"img_00001.jpg": 1, "img_999999999.jpg": 3}, "2 … missing"),
        ({"frame1.jpg": 1, "frame01.jpg": 1}, r"frame01.jpg and frame1.jpg have the same number"),
        ({"frame1.jpg": 1, "frame1.png": 1}, r"frame1.jpg and frame1.png have the same number"),
        ({"a1.jpg": 1, "b1.jpg": 1}, r"2 series \(a1.jpg, b1.jpg\)"),
        ({"cover.jpg": 1}, "no folder with frames named"),
    ],
    ids=str,
)
def test_folders_that_are_no_videos_frames_are_refused(tmp_path, names, words):
    with pytest.raises(VideoError, match=f"clip.*{words}"):
        JpegFolder(folder_of(tmp_path / "clip", names))
