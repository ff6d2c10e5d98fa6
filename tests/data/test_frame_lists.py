"""PySlowFast's frame lists: position p has to be the frame with number p + 1."""

import shutil

import pytest

from avalib.data.frame_lists import read_frame_list
from avalib.data.layout import DatasetLayout
from avalib.data.validation import check

HEADER = "original_vido_id video_id frame_id path labels"


def write_list(path, frames, header=HEADER):
    """Write a list of (video, number) pairs; frame ids count from 0 in each video."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seen = {}
    lines = [header]
    for video, number in frames:
        seen[video] = seen.get(video, -1) + 1
        lines.append(f'{video} {sorted(seen).index(video)} {seen[video]} {video}/{video}_{number:06d}.jpg ""')
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_every_frame_in_order(tmp_path):
    frames = [("a-1_2", number) for number in range(1, 6)] + [("b", number) for number in range(3)]
    table = read_frame_list(write_list(tmp_path / "val.csv", frames))
    assert table.to_numpy().tolist() == [["a-1_2", 5, 1], ["b", 3, 0]]


@pytest.mark.parametrize(
    ("numbers", "fault"),
    [
        ([1, 2, 4], r"line 4, value 'a/a_000004.jpg': expected the frame with number 3"),
        ([1, 1], r"line 3, value 'a/a_000001.jpg': expected the frame with number 2"),
        ([31, 32], r"line 2, value 'a/a_000031.jpg': expected the frame with number 1"),
    ],
)
def test_gaps_are_named_with_line_and_value(tmp_path, numbers, fault):
    path = write_list(tmp_path / "val.csv", [("a", number) for number in numbers])
    with pytest.raises(ValueError, match=rf"val.csv, {fault}"):
        read_frame_list(path)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("video,frame\n", r"line 1, value 'video,frame': expected original_vido_id video_id"),
        (f"{HEADER}\na 0 0 a/a_000001.jpg\n", r"line 2: 4 columns, expected 5"),
        (f"{HEADER}\na 0 0 a/frame.jpg x\n", r"line 2, value 'a/frame.jpg': expected a file's name with a number"),
    ],
)
def test_other_files_are_named(tmp_path, text, fault):
    (tmp_path / "val.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"val.csv, {fault}"):
        read_frame_list(tmp_path / "val.csv")


def test_the_check_compares_the_list_with_the_frames(tiny, tmp_path):
    layout = DatasetLayout(tmp_path, "mini")
    shutil.copytree(tiny.root, tmp_path, dirs_exist_ok=True)
    videos = check(layout, progress=False).videos
    video = videos[videos.split == "val"].iloc[0]
    path = layout.get_frame_list_path("val")
    found = {}
    for name, last in (("ok", video.frames), ("note", video.frames - 1)):
        write_list(path, [(video.video_id, number) for number in range(1, last + 1)])
        found[name] = check(layout, progress=False).table.set_index(["check", "split"]).loc["frame list", "val"]
        assert found[name].status == name
    assert found["note"].value.endswith(f"has {video.frames:,} frames, {video.frames - 1:,} listed")
    write_list(path, [(video.video_id, 1), (video.video_id, 3)])
    row = check(layout, progress=False).table.set_index(["check", "split"]).loc["frame list", "val"]
    assert row.status == "wrong" and "val.csv, line 3" in row.value
