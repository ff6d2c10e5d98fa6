"""Finding the videos that annotations name."""

import pytest
from annotation_files import CSV_ROWS, build_csv, read_imported_rows

from avalib.data.importers.source_videos import SourceVideos


@pytest.mark.parametrize("name", ["walkA", "walkA.avi", "/data/vids/walkA.mp4"])
def test_a_name_may_have_another_folder_or_suffix(name, walk_videos):
    assert SourceVideos(walk_videos).find(name) == walk_videos / "walkA.mp4"


def test_a_longer_name_is_another_video(walk_videos):
    assert SourceVideos(walk_videos).find("walkA.2") is None


@pytest.fixture
def nested_videos(tmp_path):
    """A SourceVideos of the one file b/clip.mp4."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "clip.mp4").write_bytes(b"")
    return SourceVideos(tmp_path)


def test_a_name_may_have_fewer_folders_than_the_file(nested_videos):
    assert nested_videos.find("b/clip") == nested_videos.find("clip") == nested_videos.folder / "b" / "clip.mp4"


def test_a_video_of_another_folder_is_not_taken(nested_videos):
    assert nested_videos.find("a/clip") is None


def test_imported_data_sets_in_the_folder_are_no_videos_of_it(import_source, walk_videos, tmp_path):
    """An import whose videos folder holds data/ finds each video once, at every call."""
    for path in walk_videos.iterdir():
        (tmp_path / path.name).symlink_to(path)
    for _ in range(2):
        assert len(read_imported_rows(import_source(build_csv(*CSV_ROWS), videos=tmp_path))) == 4
