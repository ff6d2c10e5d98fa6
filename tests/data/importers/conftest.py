"""Fixtures for the tests of importing: small gray videos, and importing a text or a file."""

import numpy as np
import pytest
from PIL import Image

import avalib
from avalib.video.writer import write_mp4


def write_gray_video(path, fps, levels, crf):
    write_mp4(path, (np.full((48, 64, 3), level, np.uint8) for level in levels), fps, crf=crf)


@pytest.fixture(scope="session")
def walk_videos(tmp_path_factory):
    """A folder with walkA, walkB, walkC: 64x48, 30 frames a second, 4 s; frame k is of gray 2 * k."""
    folder = tmp_path_factory.mktemp("walk_videos")
    for name in ("walkA", "walkB", "walkC"):
        write_gray_video(folder / f"{name}.mp4", 30, range(0, 240, 2), crf=10)
    return folder


@pytest.fixture(scope="session")
def rate_videos(tmp_path_factory):
    """A folder with four videos of 50 frames at 10, 25, 29.97 and 60 a second; frame k is of gray 20 + 4 * k."""
    folder = tmp_path_factory.mktemp("rate_videos")
    for name, fps in (("ten", 10), ("pal", 25), ("ntsc", 30000 / 1001), ("sixty", 60)):
        write_gray_video(folder / f"{name}.mp4", fps, range(20, 220, 4), crf=4)
    return folder


@pytest.fixture
def import_source(walk_videos, tmp_path, monkeypatch):
    """import_source(text, bytes or path, format, **options) -> the DatasetLayout of a new data set."""
    monkeypatch.setenv("AVALIB_DATA", str(tmp_path / "data"))

    def run(source, format="csv", name="gym", suffix=".csv", **options):
        path = source
        if isinstance(source, (str, bytes)):
            path = tmp_path / f"source{suffix}"
            path.write_bytes(source if isinstance(source, bytes) else source.encode())
        return avalib.import_data(path, format, name, **{"videos": walk_videos} | options)

    return run


@pytest.fixture
def write_pictures(tmp_path):
    """write_pictures(name, numbers, spelling): a folder of pictures, that of number n of gray 2 * n -> its parent."""

    def write(name, numbers, spelling):
        folder = tmp_path / "frames" / name
        folder.mkdir(parents=True)
        for number in numbers:
            picture = Image.fromarray(np.full((48, 64, 3), 2 * number, np.uint8))
            picture.save(folder / spelling.format(number))
        return folder.parent

    return write
