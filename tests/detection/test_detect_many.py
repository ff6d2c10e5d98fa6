"""Many videos: the tables of detect, a manifest, and runs that go on wherever they were stopped."""

import http.server
import os
import signal
import threading

import many_videos
import pandas as pd
import process_groups
import pytest
import torch
from detection_inputs import build_network, write_calm_video
from many_videos import get_options, kill_in_v1, write_videos

import avalib
from avalib.data.parquet_table import read_parquet_metadata
from avalib.detection.detections_file import UNITS
from avalib.detection.manifest import read_manifest
from avalib.detection.run_settings import SettingsError
from avalib.draw.video_overlay import write_overlay_video
from avalib.utils.locks import LockedError
from avalib.video.reader import Video

is_posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="process groups and limits of POSIX")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """The last digits depend on the number of threads; processes of a pool have one here."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def network():
    return build_network()


@pytest.fixture(scope="module")
def run(tmp_path_factory, network, weights):
    """(folder of videos, folder of results, manifest) of a run over two videos and a broken one."""
    folder = write_videos(tmp_path_factory.mktemp("many") / "videos", 2)
    (folder / "broken.mp4").write_bytes(b"no video")
    out = folder / "out"
    return folder, out, avalib.detect_many(folder, out, network, **get_options(weights))


def assert_equal_to_detect(path, table_path, network, weights):
    expected = avalib.detect(path, network, **get_options(weights))
    table = avalib.read_detections(table_path)
    pd.testing.assert_frame_equal(table, expected, check_exact=True)
    for name in ("video", "fps", "duration_s", "cuts_s", "skipped_s", "label_map"):
        assert table.attrs[name] == expected.attrs[name]


# --- tables and manifest ----------------------------------------------------------------------------------------------


def test_tables_are_those_of_detect_to_the_bit(run, network, weights):
    folder, out, _ = run
    for name in ("v0", "v1"):
        assert_equal_to_detect(folder / f"{name}.mp4", out / f"{name}.parquet", network, weights)


def test_the_manifest_says_what_has_become_of_each_video(run):
    folder, out, manifest = run
    assert manifest["video"].tolist() == [str(folder / name) for name in ("broken.mp4", "v0.mp4", "v1.mp4")]
    assert manifest["state"].tolist() == ["failed", "done", "done"]
    assert "broken.mp4: not readable as a video" in manifest["error"][0]
    assert manifest["video_s"][1:].tolist() == [1, 2]
    assert list(read_manifest(out / "manifest.jsonl")) == manifest["video"].tolist()


def test_the_files_metadata_has_units_label_map_settings_and_versions(run):
    from pyarrow import parquet

    _, out, _ = run
    path = out / "v0.parquet"
    schema = parquet.read_schema(path)
    assert {field.name: field.metadata[b"unit"].decode() for field in schema} == UNITS
    metadata = read_parquet_metadata(path)
    assert metadata["label_map"]["12"] == "stand around"
    assert metadata["versions"]["torch"] and metadata["settings"]["detector"] == "ssdlite"
    assert len(metadata["settings"]["checkpoint_sha256"]) == 64


def test_a_second_call_repeats_only_the_failed(run, network, weights):
    folder, out, manifest = run
    times = [(out / f"{name}.parquet").stat().st_mtime_ns for name in ("v0", "v1")]
    again = avalib.detect_many(folder, out, network, **get_options(weights))
    assert [(out / f"{name}.parquet").stat().st_mtime_ns for name in ("v0", "v1")] == times
    pd.testing.assert_frame_equal(again.drop(columns="work_s"), manifest.drop(columns="work_s"))


def test_other_settings_stop_and_are_named(run, network, weights):
    folder, out, _ = run
    with pytest.raises(SettingsError, match="score_threshold is 0.5, was 0.0"):
        avalib.detect_many(folder, out, network, score_threshold=0.5, **get_options(weights))


def test_other_weights_stop(run, weights):
    folder, out, _ = run
    other = build_network()
    next(other.parameters()).data += 1
    with pytest.raises(SettingsError, match="checkpoint_sha256 is"):
        avalib.detect_many(folder, out, other, **get_options(weights))


def test_wrong_options_are_errors_before_anything_is_written(tmp_path):
    for options in ({"format": "xls"}, {"engine": "spark"}, {"workers": 0}, {"shard": "5/4"}, {"step": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(options))}="):
            avalib.detect_many(tmp_path, tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_another_file_under_the_same_name_is_detected_anew(tmp_path, network, weights):
    folder = write_videos(tmp_path / "videos", 1)
    avalib.detect_many(folder, tmp_path / "out", network, **get_options(weights))
    write_calm_video(folder / "v0.mp4", n=50)
    avalib.detect_many(folder, tmp_path / "out", network, **get_options(weights))
    assert_equal_to_detect(folder / "v0.mp4", tmp_path / "out" / "v0.parquet", network, weights)


@pytest.mark.slow
def test_equal_names_in_two_folders_and_shares_of_the_list(tmp_path, network, weights):
    folders = [write_videos(tmp_path / name, 1) for name in ("a", "b")]
    out = tmp_path / "out"
    for shard in ("1/2", "2/2"):
        avalib.detect_many(folders, out, network, shard=shard, format="csv", **get_options(weights))
    assert len(list(out.glob("v0-*.csv"))) == 2
    whole = avalib.detect_many(folders[::-1], out, network, format="csv", **get_options(weights))
    assert whole["state"].tolist() == ["done", "done"]
    assert whole["work_s"].tolist() == [
        row.work_s for n in (1, 2) for row in read_manifest(out / f"manifest-{n}-of-2.jsonl").values()
    ]


@pytest.mark.slow
def test_overlays_are_beside_the_tables(tmp_path, network, weights):
    folder = write_videos(tmp_path / "videos", 1)
    for _ in range(2):  # the second call takes no overlay for a video, though they are in one folder
        manifest = avalib.detect_many(
            folder, folder, network, write_overlay=write_overlay_video, overlay_suffix=".gif", **get_options(weights)
        )
    assert len(manifest) == 1
    assert (folder / "v0.overlay.gif").read_bytes().startswith(b"GIF8")


# --- processes --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_tables_of_several_processes_are_those_of_detect(tmp_path, network, weights):
    folder = write_videos(tmp_path / "videos", 3)
    manifest = avalib.detect_many(folder, tmp_path / "out", network, workers=2, **get_options(weights))
    assert manifest["state"].tolist() == ["done"] * 3
    for name in ("v0", "v1", "v2"):
        assert_equal_to_detect(folder / f"{name}.mp4", tmp_path / "out" / f"{name}.parquet", network, weights)


@is_posix
@pytest.mark.slow
def test_a_video_that_kills_its_process_stops_no_other(tmp_path, network, weights):
    folder = write_videos(tmp_path / "videos", 4)
    manifest = avalib.detect_many(
        folder, tmp_path / "out", network, workers=2, write_overlay=kill_in_v1, **get_options(weights)
    )
    assert manifest["state"].tolist() == ["done", "failed", "done", "done"]
    assert "v1.mp4: its process died twice" in manifest["error"][1]


@is_posix
@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_run_goes_on_and_repeats_only_what_was_in_work(workers, tmp_path, network, weights):
    folder = write_videos(tmp_path / "videos", 8)
    out = tmp_path / "out"
    process = process_groups.start_python(many_videos.__file__, folder, out, weights, workers)
    process_groups.wait_until(lambda: len(list(out.glob("*.parquet"))) >= 2, process)
    process_groups.interrupt(process, signal.SIGKILL)
    times = {path: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    assert len(times) < 8
    manifest = avalib.detect_many(folder, out, network, **get_options(weights))
    assert manifest["state"].tolist() == ["done"] * 8
    assert {path: path.stat().st_mtime_ns for path in times} == times
    for number in range(8):
        assert_equal_to_detect(folder / f"v{number}.mp4", out / f"v{number}.parquet", network, weights)
    leftovers = [path.name for path in out.iterdir() if path.suffix not in (".parquet", ".json", ".jsonl")]
    assert [name for name in leftovers if name.endswith(".lock")] == []


@is_posix
@pytest.mark.slow
def test_processes_end_with_the_main_process_alone_killed(tmp_path, weights):
    folder = write_videos(tmp_path / "videos", 8)
    out = tmp_path / "out"
    process = process_groups.start_python(many_videos.__file__, folder, out, weights, 2)
    process_groups.wait_until(lambda: len(list(out.glob("*.parquet"))) >= 1, process)
    process.kill()
    process.wait()
    process_groups.wait_until(lambda: process_groups.list_members(process.pid) == [])


@is_posix
@pytest.mark.slow
def test_a_second_run_in_the_folder_names_the_first(tmp_path, network, weights):
    folder = write_videos(tmp_path / "videos", 6)
    out = tmp_path / "out"
    process = process_groups.start_python(many_videos.__file__, folder, out, weights)
    process_groups.wait_until(lambda: (out / "settings.json").exists(), process)
    with pytest.raises(LockedError, match=f"detection in many videos, process {process.pid} "):
        avalib.detect_many(folder, out, network, **get_options(weights))
    process_groups.interrupt(process, signal.SIGKILL)


@is_posix
@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_run_goes_on_later(tmp_path, network, weights):
    folder = write_videos(tmp_path / "videos", 2)
    out = tmp_path / "out"
    process = process_groups.start_python(many_videos.__file__, folder, out, weights, 1, 4000)
    output = process.communicate(timeout=process_groups.TIMEOUT_S)[0].strip()
    assert process.returncode == 1
    assert output.splitlines()[-1].startswith("avalib.utils.disk_space.DiskFullError: ")
    assert "v0.parquet: " in output and "run it again" in output
    assert list(out.glob("*.parquet")) == []
    manifest = avalib.detect_many(folder, out, network, **get_options(weights))
    assert manifest["state"].tolist() == ["done", "done"]


# --- sources ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def film_server(tmp_path):
    """The host of a server that has /film.mp4 for ann:s3cret alone, and nothing else."""
    body = write_calm_video(tmp_path / "film.mp4", n=25).read_bytes()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            is_allowed = self.headers.get("Authorization") == "Basic YW5uOnMzY3JldA=="
            status = 404 if not self.path.startswith("/film.mp4") else 200 if is_allowed else 401
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if status == 200 else 0))
            self.end_headers()
            if status == 200:
                self.wfile.write(body)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.slow
def test_urls_are_downloaded_and_removed_and_passwords_are_nowhere(film_server, tmp_path, network, weights, capsys):
    urls = [
        f"http://ann:s3cret@{film_server}/film.mp4",
        f"http://ann:wr0ng@{film_server}/film.mp4?token=t0ken",
        f"http://ann:s3cret@{film_server}/none.mp4",
    ]
    out = tmp_path / "out"
    manifest = avalib.detect_many(urls, out, network, **get_options(weights) | {"progress": True})
    states = dict(zip(manifest["video"], manifest["state"], strict=True))
    assert states == {
        f"http://...@{film_server}/film.mp4": "done",
        f"http://...@{film_server}/film.mp4?token=...": "failed",
        f"http://...@{film_server}/none.mp4": "failed",
    }
    assert sorted(error[:3] for error in manifest["error"]) == ["", "htt", "htt"]
    output = "".join(capsys.readouterr())
    contents = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
    for secret in ("s3cret", "wr0ng", "t0ken"):
        assert secret not in output and secret.encode() not in contents
    assert not list(out.rglob("film*.mp4"))


@pytest.mark.slow
def test_a_codec_that_no_decoder_is_for_is_named(tmp_path, network, weights):
    folder = write_videos(tmp_path / "videos", 1)
    path = folder / "v0.mp4"
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzz1"))
    with pytest.raises(Exception, match="zzz1|codec|decoder"):
        Video(path)
    manifest = avalib.detect_many(folder, tmp_path / "out", network, **get_options(weights))
    assert manifest["state"][0] == "failed" and "v0.mp4: " in manifest["error"][0]
