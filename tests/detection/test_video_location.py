"""What stands for a video: files and URLs; anything else is refused by name."""

from pathlib import Path

import pytest

from avalib.detection.video_location import locate_video


@pytest.mark.parametrize(
    ("video", "message"),
    [
        (0, "video='0': expected a file or a URL"),
        (None, "expected a file or a URL"),
        ("", "expected a file or a URL"),
        (Path("https://host/a.mp4"), "a URL that was made into a Path"),
        ("rtsp://camera/1", "rtsp is not supported, only files and http"),
        ("file:///tmp/a.mp4", "file is not supported"),
        ("x" * 300 + ".mp4", "x{50,}.*not a file's name .File name too long"),
        ("a\0.mp4", "not a file's name|no such video"),
        ("{folder}", "is a folder; give one video file"),
        ("{folder}/none.mp4", r"none\.mp4: no such video file"),
        ("{folder}/a.jpg", r"a\.jpg: is a picture"),
    ],
)
def test_what_is_no_video_is_refused_by_name(video, message, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff")
    if isinstance(video, str):
        video = video.format(folder=tmp_path)
    with pytest.raises((ValueError, OSError), match=message):
        locate_video(video, progress=False)


def test_a_file_is_its_own_path(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"x")
    assert locate_video(str(tmp_path / "a.mp4")) == tmp_path / "a.mp4"
