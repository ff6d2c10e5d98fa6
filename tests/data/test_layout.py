"""The files of a data set, by version."""

import pytest

from avalib.data.layout import DatasetLayout


def test_the_minis_files(tmp_path):
    layout = DatasetLayout(tmp_path, "mini")
    assert layout.get_csv_path("val") == tmp_path / "annotations/ava_val_mini.csv"
    assert layout.get_exclusions_path("train").name == "ava_train_excluded_timestamps_mini.csv"
    assert layout.get_proposals_path("val") == tmp_path / "proposals/ava_dense_proposals_val.mini.pkl"


@pytest.mark.parametrize(("version", "year"), [("v2.1", 2018), ("v2.2", 2019)])
def test_the_real_avas_files(tmp_path, version, year):
    layout = DatasetLayout(str(tmp_path), version)
    assert layout.get_proposals_path("val").name == "ava_dense_proposals_val.FAIR.recall_93.9.pkl"
    assert layout.label_map_path.name == f"ava_action_list_{version}.pbtxt"
    assert layout.evaluated_label_map_path.name == f"ava_action_list_{version}_for_activitynet_{year}.pbtxt"


def test_a_video_is_found_by_its_id_with_any_suffix(tmp_path):
    layout = DatasetLayout(tmp_path, "mini")
    layout.videos.mkdir()
    (layout.videos / "a.b.mkv").touch()
    assert layout.find_video("a.b").name == "a.b.mkv"


def test_a_missing_video_is_named_with_its_place(tmp_path):
    with pytest.raises(FileNotFoundError, match="videos.c"):
        DatasetLayout(tmp_path, "mini").find_video("c")


def test_only_uncut_videos_of_the_real_ava_are_cut(tmp_path):
    layout = DatasetLayout(tmp_path, "v2.1")
    assert layout.get_cut_range(layout.videos / "a.mp4") == (900, 901)
    assert layout.get_cut_range(layout.cuts / "a.mp4") is None
    assert DatasetLayout(tmp_path, "mini").get_cut_range(layout.videos / "a.mp4") is None


def test_unknown_versions_are_rejected(tmp_path):
    with pytest.raises(ValueError, match="v2.3"):
        DatasetLayout(tmp_path, "v2.3")
