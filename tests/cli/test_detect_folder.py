"""`avalib detect VIDEOS… --out-dir DIR`: many videos; wrong options are one line, failed videos an exit status."""

import pytest
import torch
from detection_inputs import write_calm_video

from avalib import zoo
from avalib.cli import main
from avalib.detection.torchvision_detectors import build_torchvision_detector
from avalib.models.build import build_model
from avalib.models.checkpoint import save_checkpoint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["v.mp4", "--csv", "a.csv", "--out-dir", "out"], "--csv is not possible with many videos (--out-dir)"),
        (["empty", "--out-dir", "out"], "empty: no videos in this folder"),
        (["none.mp4", "--out-dir", "out"], "none.mp4: no such video, folder or list file"),
        (["v.mp4", "v.mp4"], "expected one video; many need --out-dir FOLDER"),
        (["empty"], "empty: no such video; folders, globs and lists need --out-dir"),
        (["v.mp4", "--out-dir", "out", "--shard", "3"], "--shard '3': expected NUMBER/COUNT"),
        (["v.mp4", "--out-dir", "out", "--checkpoint", "no.pth"], "no.pth: no such file"),
    ],
)
def test_a_wrong_option_is_one_line(options, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    write_calm_video(tmp_path / "v.mp4", n=5)
    assert main(["detect", *options]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_failed_videos_are_listed_and_are_the_exit_status(tmp_path, capsys):
    weights = tmp_path / "ssdlite.pth"
    torch.save(build_torchvision_detector("ssdlite", weights=None).state_dict(), weights)
    model = build_model("slowonly_r50")
    recipe = zoo.update_recipe(zoo.build_mini_recipe(model.entry), short_side=32)
    save_checkpoint(model, tmp_path / "own.pth", recipe=recipe)
    (tmp_path / "videos").mkdir()
    write_calm_video(tmp_path / "videos" / "v.mp4", n=25)
    (tmp_path / "videos" / "broken.mp4").write_bytes(b"no video")
    options = ["--checkpoint", tmp_path / "own.pth", "--detector", "ssdlite", "--detector-weights", weights]
    options += ["--out-dir", tmp_path / "out", "--device", "cpu", "--overlay", "gif", "--format", "csv"]
    assert main(["detect", str(tmp_path / "videos"), *map(str, options)]) == 1
    output = capsys.readouterr().out
    assert "1 of 2 videos, 0.00 hours; 1 failed" in output and "broken.mp4: not readable as a video" in output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "v.csv",
        "v.overlay.gif",
        "manifest.jsonl",
        "settings.json",
    }
