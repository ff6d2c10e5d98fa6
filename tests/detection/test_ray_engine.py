"""Many videos on a Ray cluster of two nodes: the tables of one process to the bit, also if a node dies."""

import copy
import threading
import time
from dataclasses import replace

import pandas as pd
import pytest
import torch
from detection_inputs import build_network
from many_videos import get_options, write_videos

import avalib
from avalib.detection.detect_settings import DetectSettings
from avalib.detection.detect_video import build_detections, describe_video, load_video_detector
from avalib.detection.detection_times import choose_times
from avalib.detection.manifest import read_manifest
from avalib.models.checkpoint_file import CheckpointError
from avalib.video.reader import Video

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'avalib[ray]'")
pytestmark = pytest.mark.slow

TIMEOUT_S = 300
STRETCH_LEN = 2  # of up to six times: long videos are of three stretches
NODE = {"num_cpus": 1, "include_dashboard": False, "include_log_monitor": False}


@pytest.fixture(scope="module")
def cluster():
    """A cluster of two nodes with one core each, to which this process is connected."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_raylet_start_wait_time_s", "60")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        cluster = try_again(lambda: Cluster(initialize_head=True, head_node_args={**NODE, "no_monitor": True}))
        cluster.second_node = try_again(lambda: cluster.add_node(**NODE))
        ray.init(address=cluster.address, log_to_driver=False)
        yield cluster
        ray.shutdown()
        cluster.shutdown()


def try_again(start):
    """Call up to three times: Ray gives the helpers of a node fifteen seconds to start, too few on a busy machine."""
    for _ in range(2):
        try:
            return start()
        except Exception as error:
            if "timed out during startup" not in str(error):
                raise
    return start()


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """The actors have one core each, and the last digits depend on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def network():
    return build_network()


def make_options(weights):
    """(options of detect_many, DetectSettings of the same)."""
    options = {**get_options(weights), "stretch_len": STRETCH_LEN}
    return options, {name: value for name, value in options.items() if name != "progress"}


def assert_equal_to_one_process(folder, out, network, weights):
    """Compare the tables of all videos with those that this process computes."""
    settings = DetectSettings(model=network, **make_options(weights)[1])
    detector = load_video_detector(settings, progress=False)
    for path in sorted(folder.glob("v*.mp4")):
        with Video(path) as reader:
            times_s = choose_times(reader, None, settings.step, 0, None)
            result = detector.run(reader, times_s, progress=False)
            expected = build_detections(result, describe_video(reader), detector.loaded.label_map, settings)
        table = avalib.read_detections(out / f"{path.stem}.parquet")
        pd.testing.assert_frame_equal(table, expected, check_exact=True)


def test_tables_are_those_of_one_process_and_a_broken_video_stops_no_other(cluster, tmp_path, network, weights):
    folder = write_videos(tmp_path / "videos", 3)
    (folder / "broken.mp4").write_bytes(b"no video")
    out = tmp_path / "out"
    manifest = avalib.detect_many(folder, out, network, engine="ray", cores=1, **make_options(weights)[0])
    assert manifest["state"].tolist() == ["failed", "done", "done", "done"]
    assert "broken.mp4: not readable as a video" in manifest["error"][0]
    assert_equal_to_one_process(folder, out, network, weights)


def test_weights_of_rendered_people_say_so(cluster, tmp_path, network, weights, capsys):
    folder = write_videos(tmp_path / "videos", 1)
    rendered = copy.copy(network)
    rendered.meta = replace(network.meta, extra={"dataset_version": "mini"})
    avalib.detect_many(folder, tmp_path / "out", rendered, engine="ray", cores=1, **make_options(weights)[0])
    assert "the model was trained on rendered people" in capsys.readouterr().out


def test_a_wrong_checkpoint_is_the_error_of_one_process(cluster, tmp_path, weights):
    folder = write_videos(tmp_path / "videos", 1)
    (tmp_path / "own.pth").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="own.pth"):
        avalib.detect_many(
            folder, tmp_path / "out", checkpoint=tmp_path / "own.pth", engine="ray", **make_options(weights)[0]
        )
    assert list((tmp_path / "out").iterdir()) == []


def test_a_node_that_dies_in_the_middle_changes_nothing(cluster, tmp_path, network, weights):
    folder = write_videos(tmp_path / "videos", 8)
    out = tmp_path / "out"

    def kill_second_node():
        deadline_s = time.monotonic() + TIMEOUT_S
        while "done" not in {row.state for row in read_manifest(out / "manifest.jsonl").values()}:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        killed.append(len(list(out.glob("*.parquet"))))
        cluster.remove_node(cluster.second_node, allow_graceful=False)

    killed = []
    thread = threading.Thread(target=kill_second_node)
    thread.start()
    manifest = avalib.detect_many(folder, out, network, engine="ray", cores=1, **make_options(weights)[0])
    thread.join()
    assert killed[0] < 8
    assert manifest["state"].tolist() == ["done"] * 8
    assert_equal_to_one_process(folder, out, network, weights)
