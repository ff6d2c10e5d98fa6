"""The list of videos: what files, folders, globs, list files and URLs stand for, and its shares."""

import pytest

from avalib.detection.video_list import list_videos, parse_shard, select_shard
from avalib.video.video_error import VideoError


@pytest.fixture
def films(tmp_path):
    """A folder with three videos, one of them in a folder inside, and files that are none."""
    folder = tmp_path / "films"
    for name in ("b.mp4", "a.MKV", "inside/a.mp4", "notes.txt", ".hidden.mp4", "picture.jpg"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def names(videos, folder):
    return [video.removeprefix(f"{folder}/") for video in videos]


def test_a_folder_stands_for_the_videos_in_it_and_in_its_folders(films):
    assert names(list_videos(films), films) == ["a.MKV", "b.mp4", "inside/a.mp4"]


def test_the_order_of_the_sources_does_not_matter_and_each_video_counts_once(films):
    sources = [films / "b.mp4", films, "https://host/c.mp4", str(films / "*.mp4")]
    assert list_videos(sources) == list_videos(sources[::-1])
    assert len(list_videos(sources)) == 4


def test_a_glob_stands_for_the_files_that_fit(films):
    assert names(list_videos(str(films / "**/a.*")), films) == ["a.MKV", "inside/a.mp4"]


def test_a_list_file_has_paths_from_its_folder_and_urls(films):
    path = films / "list.txt"
    path.write_text("# mine\n\nb.mp4\ninside\nhttps://host/c.mp4\n", encoding="utf-8")
    assert names(list_videos(path), films) == ["b.mp4", "inside/a.mp4", "https://host/c.mp4"]


def test_what_a_run_has_written_into_the_folder_of_videos_is_left_out(films):
    for name in ("b.overlay.mp4", "downloads/1a/c.mp4"):
        path = films / "out" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    sources = [films, f"{films}/**/*.mp4"]
    assert len(list_videos(sources, out_dir=films / "out")) == 3
    (films / "out" / "b.overlay.mp4").rename(films / "b.overlay.mp4")
    (films / "out" / "downloads").rename(films / "downloads")
    assert len(list_videos(sources, out_dir=films)) == 3


def test_errors_name_the_source(films, tmp_path):
    (tmp_path / "empty").mkdir()
    (films / "list.txt").write_text("b.mp4\nno.mp4\n", encoding="utf-8")
    (films / "nothing.txt").write_text("# later\n", encoding="utf-8")
    cases = {
        tmp_path / "empty": "empty: no videos in this folder",
        films / "c.mp4": "c.mp4: no such video, folder or list file",
        f"{films}/*.avi": r"\*.avi: no file fits this pattern",
        films / "list.txt": "list.txt, line 2: no.mp4: no such video",
        films / "nothing.txt": "nothing.txt: no videos in this list",
        "ftp://ann:s3cret@host/a.mp4": r"ftp://\.\.\.@host/a.mp4: no such video",
    }
    for source, message in cases.items():
        with pytest.raises(VideoError, match=message):
            list_videos([source])
    with pytest.raises(VideoError, match="no videos: give files"):
        list_videos([])


def test_shares_are_equal_and_together_everything():
    videos = [f"{number:02}.mp4" for number in range(35)]
    shares = [select_shard(videos, number, 16) for number in range(1, 17)]
    assert sorted(sum(shares, [])) == videos
    assert {len(share) for share in shares} == {2, 3}


@pytest.mark.parametrize("shard", ["0/4", "5/4", "1", "a/b", "1/0", (0, 2), 3])
def test_a_share_that_is_none_is_an_error(shard):
    with pytest.raises(ValueError, match="expected NUMBER/COUNT"):
        parse_shard(shard)
