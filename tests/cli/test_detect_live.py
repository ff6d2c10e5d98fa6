"""`avalib detect --live`: files, streams, Ctrl-C as in a terminal, errors in one line."""

import json
import os
import socket
import sys
import urllib.request

import pandas as pd
import process_groups
import pytest
import torch
from detection_inputs import LABEL_MAP, two_people, write_calm_video
from stream_server import Play, serve_stream

from avalib import zoo
from avalib.cli import main
from avalib.detection.detections_table import COLUMNS
from avalib.detection.torchvision_detectors import PERSON, build_torchvision_detector
from avalib.models.build import build_model
from avalib.models.checkpoint import save_checkpoint
from avalib.video.reader import Video


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint with small pictures."""
    path = tmp_path_factory.mktemp("checkpoint") / "own.pth"
    model = build_model("slowonly_r50")
    recipe = zoo.update_recipe(zoo.build_mini_recipe(model.entry), short_side=32)
    return save_checkpoint(model, path, recipe=recipe, label_map=LABEL_MAP) or path


@pytest.fixture(scope="module")
def detector_weights(tmp_path_factory):
    """Weights of a small person detector, random."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "ssdlite.pth"
    state = build_torchvision_detector("ssdlite", weights=None).state_dict()
    for name, value in state.items():
        if "classification_head" in name and name.endswith("1.bias"):
            value[PERSON::91] += 3
    torch.save(state, path)
    return path


@pytest.mark.slow
def test_a_file_is_watched_to_its_end(checkpoint, tmp_path, capsys):
    video = write_calm_video(tmp_path / "v.mp4", n=75)
    two_people(0, 1, 2, 3).to_csv(tmp_path / "boxes.csv", index=False)
    arguments = ["detect", "--live", str(video), "--checkpoint", str(checkpoint), "--device", "cpu"]
    arguments += ["--boxes", str(tmp_path / "boxes.csv"), "--csv", str(tmp_path / "d.csv")]
    assert main([*arguments, "--out", str(tmp_path / "o.mp4"), "--serve", "0"]) == 0
    output = capsys.readouterr().out
    assert "in a browser on this machine: http://127.0.0.1:" in output
    assert "o.mp4" in output
    assert "frames dropped" in output
    table = pd.read_csv(tmp_path / "d.csv")
    assert list(table.columns) == COLUMNS
    assert len(table) >= 2 * len(LABEL_MAP)
    with Video(tmp_path / "o.mp4") as overlay:
        assert overlay.n_frames > 0


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="process groups are POSIX's")
def test_ctrl_c_in_a_terminal_keeps_what_was_written(checkpoint, detector_weights, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with serve_stream(Play(120), credentials="me:s3cr3t") as server:
        source = server.url.replace("://", "://me:s3cr3t@")
        process = process_groups.start(
            [sys.executable, "-m", "avalib", "detect", "--live", source, "--checkpoint", str(checkpoint)]
            + ["--device", "cpu", "--detector", "ssdlite", "--detector-weights", str(detector_weights)]
            + ["--person-score", "0.05", "--csv", "d.csv", "--out", "o.mp4", "--serve", str(port)],
            cwd=tmp_path,
        )
        process_groups.wait_until(lambda: count_frames(port) >= 5, process)
        output = process_groups.interrupt(process)
    assert process.returncode == 130
    assert output.strip().splitlines()[-1] == "stopped; o.mp4 is complete"
    assert "Traceback" not in output
    assert "s3cr3t" not in output
    assert f"http://127.0.0.1:{server.server_port}/live.ts: " in output
    with Video(tmp_path / "o.mp4") as overlay:
        assert overlay.n_frames > 0
    assert list(pd.read_csv(tmp_path / "d.csv").columns) == COLUMNS
    assert {path.name for path in tmp_path.iterdir()} == {"d.csv", "o.mp4"}
    process_groups.wait_until(lambda: process_groups.list_members(process.pid) == [])


def count_frames(port):
    """How many frames a running detection has dropped so far, by its page in a browser."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=5) as answer:
            status = json.load(answer)["status"]
    except OSError:
        return 0
    return int(status.partition(" frames dropped")[0].rpartition(" ")[2]) if "dropped" in status else 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--live", "0", "film.mp4"], "error: expected --live 0 or videos, not both"),
        (["--live", "0", "--smooth", "2"], "error: --smooth is not possible with a live source (--live)"),
        (["--live", "0", "--start", "2"], "error: --start is not possible with a live source (--live)"),
        (["--live", "0", "--detector-step", "1"], "error: --detector-step is not possible with a live source"),
        (["--live", "0", "--engine", "ray"], "error: --engine is not possible with a live source"),
        (["--live", "97"], "error: camera 97: this machine has no such camera"),
        (["--live", "0", "--out", "o.gif"], "o.gif: expected a name that ends in .mp4 or .mkv"),
        (["--live", "nowhere.mp4"], "nowhere.mp4: no such video file"),
        (["--live", "rtsp://me:s3cr3t@127.0.0.1:1/a"], "error: rtsp://127.0.0.1:1/a: cannot be opened: Connection"),
        (["--live", "0", "--step", "0"], "error: --step 0.0: expected seconds above 0"),
        (
            ["--serve", "8080", "film.mp4"],
            "error: --serve is not possible with one video; it goes with a live source (--live)",
        ),
        ([], "error: expected one video; many need --out-dir FOLDER, a camera --live 0"),
    ],
)
def test_a_wrong_option_is_one_line(options, message, tmp_path, capsys):
    (tmp_path / "own.pth").write_bytes(b"x")
    assert main(["detect", *options, "--checkpoint", str(tmp_path / "own.pth")]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "s3cr3t" not in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("options", [["--out", "film.mp4"], ["--boxes", "b.csv", "--csv", "b.csv"]])
def test_no_output_replaces_what_is_read(options, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("film.mp4", "b.csv", "own.pth"):
        (tmp_path / name).write_bytes(b"x")
    assert main(["detect", "--live", "film.mp4", *options, "--checkpoint", "own.pth"]) == 1
    assert f"{options[-1]}: this call reads that file" in capsys.readouterr().err


def test_a_port_in_use_is_an_error_before_the_work(tmp_path, capsys):
    (tmp_path / "own.pth").write_bytes(b"x")
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        arguments = ["--live", "0", "--serve", str(port), "--checkpoint", str(tmp_path / "own.pth")]
        assert main(["detect", *arguments]) == 1
    assert f"error: port {port} is in use by another program" in capsys.readouterr().err
