"""The names of Kinetics' clips, in folders and lists of all the kinds that people have."""

import pytest

from avalib.data.kinetics_clips import KineticsClip, find_clips, parse_clip_name, read_clip_list


def test_a_name_has_the_id_and_the_seconds():
    clip = parse_clip_name("o3lCwWyyc_s_000012_000022")
    assert (clip.youtube_id, clip.start_s, clip.end_s, clip.length_s) == ("o3lCwWyyc_s", 12, 22, 10)
    assert clip.name == "o3lCwWyyc_s_000012_000022"


@pytest.mark.parametrize(
    "name", ["-5KQ66BBWC4", "o3lCwWyyc_s_12_22", "o3lCwWyyc_s_000022_000012", "o3lCwWyyc_s_000012_000022.mp4", "a_b_c"]
)
def test_other_names_are_no_clips(name):
    assert parse_clip_name(name) is None


def test_clips_are_found_in_sub_folders_and_as_folders_of_frames(tmp_path):
    frames = tmp_path / "rawframes" / "abcdefghijk_000003_000007"
    (frames / "more").mkdir(parents=True)
    (frames / "abcdefghijk_000001_000002.mp4").touch()  # what lies among the frames isn't looked at
    (tmp_path / "diving cliff").mkdir()
    for name in ("o3lCwWyyc_s_000012_000022.mp4", "o3lCwWyyc_s_000032_000042.MKV", "holiday.webm", "notes.txt"):
        (tmp_path / "diving cliff" / name).touch()
    index = find_clips(tmp_path)
    assert sorted(file.path for file in index.files) == [
        "diving cliff/o3lCwWyyc_s_000012_000022.mp4",
        "diving cliff/o3lCwWyyc_s_000032_000042.MKV",
        "rawframes/abcdefghijk_000003_000007",
    ]
    assert index.unknown_names == ["diving cliff/holiday.webm"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none.*folder of Kinetics' clips"):
        find_clips(tmp_path / "none")


def test_mmactions_list(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("diving cliff/o3lCwWyyc_s_000012_000022.mp4 602\nclass1/dog.mp4 1\n\n", encoding="utf-8")
    index = read_clip_list(path)
    assert [(file.clip, file.path) for file in index.files] == [
        (KineticsClip("o3lCwWyyc_s", 12, 22), "diving cliff/o3lCwWyyc_s_000012_000022.mp4")
    ]
    assert index.unknown_names == ["class1/dog.mp4"]


def test_kinetics_own_csv(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text('label,youtube_id,time_start,time_end,split\n"a, b",o3lCwWyyc_s,12,22.0,train\n', encoding="utf-8")
    (file,) = read_clip_list(path).files
    assert file.path == "o3lCwWyyc_s_000012_000022.mp4" and file.clip.end_s == 22


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("class/o3lCwWyyc_s_000012_000022.mp4\n", r"line 1, value 'class/o3l.*expected a clip's path and its label"),
        ("youtube_id,time_start,time_end\no3lCwWyyc_s,12\n", r"line 2, value 'o3lCwWyyc_s,12'"),
        ("youtube_id,time_start,time_end\no3lCwWyyc_s,12,twelve\n", r"line 2, value 'o3lCwWyyc_s,12,twelve'"),
        ("youtube_id,time_start,time_end\nshort,12,22\n", r"line 2, value 'short,12,22'"),
    ],
)
def test_a_faulty_list_is_named_with_line_and_value(tmp_path, text, fault):
    (tmp_path / "list.txt").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"list.txt, {fault}"):
        read_clip_list(tmp_path / "list.txt")
