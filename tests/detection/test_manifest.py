"""The manifest, the names of outputs and the settings of a folder: what a second run finds there."""

import os
import signal

import pytest
from forks import fork

from avalib.detection.manifest import (
    DONE,
    FAILED,
    Manifest,
    ManifestRow,
    check_other_runs,
    get_lock_path,
    get_manifest_path,
    read_manifest,
    read_manifests,
)
from avalib.detection.run_settings import SettingsError, write_or_compare_settings
from avalib.detection.video_item import choose_outputs
from avalib.utils.disk_space import DiskFullError
from avalib.utils.locks import LockedError, hold_lock

ROWS = [ManifestRow("/v/a.mp4", DONE, "a.parquet", 10, 1.5, 0.5, 80), ManifestRow("/v/b.mp4")]


def outputs(videos, rows=()):
    return [item.output for item in choose_outputs(videos, ".parquet", {row.video: row for row in rows})]


# --- the manifest -----------------------------------------------------------------------------------------------------


def test_the_last_line_of_a_video_counts(tmp_path):
    manifest = Manifest(tmp_path / "manifest.jsonl", ROWS)
    manifest.set(ManifestRow("/v/b.mp4", FAILED, error="/v/b.mp4: é"))
    rows = read_manifest(manifest.path)
    assert rows["/v/a.mp4"] == ROWS[0]
    assert rows["/v/b.mp4"].error == "/v/b.mp4: é"
    assert manifest.to_table()["state"].tolist() == ["done", "failed"]


def test_a_line_that_was_cut_off_is_left_out(tmp_path):
    manifest = Manifest(tmp_path / "manifest.jsonl", ROWS)
    whole = manifest.path.read_bytes()
    for size in range(len(whole)):
        manifest.path.write_bytes(whole[:size])
        rows = read_manifest(manifest.path)
        assert all(row in ROWS for row in rows.values())
        assert len(rows) >= whole[:size].count(b"\n")


def test_what_one_share_has_done_is_done_for_the_others(tmp_path):
    Manifest(get_manifest_path(tmp_path, (1, 2)), [ROWS[0]])
    Manifest(get_manifest_path(tmp_path), [ManifestRow("/v/a.mp4")])
    assert read_manifests(tmp_path)["/v/a.mp4"].state == DONE


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process with a limit of its own")
def test_a_full_disk_leaves_no_part_of_a_line(tmp_path):
    import resource

    manifest = Manifest(tmp_path / "manifest.jsonl", ROWS)
    size = manifest.path.stat().st_size
    process = fork()
    if process == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, size + 20))
        try:
            manifest.set(ManifestRow("/v/b.mp4", DONE))
        except DiskFullError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 7
    assert manifest.path.stat().st_size == size


# --- names ------------------------------------------------------------------------------------------------------------


def test_a_table_has_its_videos_name():
    assert outputs(["/v/a.mp4", "https://host/b c.webm?part=1"]) == ["a.parquet", "b c.parquet"]


def test_equal_names_get_a_hash_of_the_path_each():
    first, second, other = outputs(["/v/a.mp4", "/w/A.mkv", "/w/b.mp4"])
    assert first.startswith("a-") and second.startswith("A-") and first[2:] != second[2:]
    assert other == "b.parquet"
    assert outputs(["/w/A.mkv", "/v/a.mp4"]) == [second, first]


def test_a_name_that_an_earlier_run_has_given_stays_and_is_not_given_again():
    rows = [ManifestRow("/v/a.mp4", DONE, "a.parquet")]
    first, second = outputs(["/v/a.mp4", "/w/a.mp4"], rows)
    assert first == "a.parquet" and second.startswith("a-")
    assert outputs(["/w/a.mp4"], rows) == [second]


# --- settings and locks -----------------------------------------------------------------------------------------------


def test_other_settings_are_named_with_both_values(tmp_path):
    write_or_compare_settings(tmp_path, {"model": "a", "step": None, "checkpoint": "best"})
    # the hash of the weights counts, not the checkpoint's name
    write_or_compare_settings(tmp_path, {"model": "a", "step": None, "checkpoint": "best.pth"})
    with pytest.raises(SettingsError, match="step is 0.5, was None. Use those, or another folder"):
        write_or_compare_settings(tmp_path, {"model": "a", "step": 0.5, "checkpoint": "best"})


def test_damaged_settings_name_the_file(tmp_path):
    (tmp_path / "settings.json").write_text("{", encoding="utf-8")
    with pytest.raises(SettingsError, match="settings.json: not the settings of a run"):
        write_or_compare_settings(tmp_path, {})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="another process with the same modules")
def test_shares_of_one_count_run_at_once_and_nothing_else_does(tmp_path):
    process = fork()
    if process == 0:
        with hold_lock(get_lock_path(tmp_path, (1, 4)), "detection"):
            (tmp_path / "held").touch()
            signal.pause()
    try:
        while not (tmp_path / "held").exists():
            pass
        check_other_runs(tmp_path, (2, 4))
        for share in (None, (1, 2)):
            with pytest.raises(LockedError, match=f"process {process} "):
                check_other_runs(tmp_path, share)
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    check_other_runs(tmp_path, None)
