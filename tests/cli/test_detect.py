"""`avalib detect`: a video to a csv and a video with boxes."""

from pathlib import Path

import pandas as pd
import pytest
from detection_inputs import LABEL_MAP, two_people, write_calm_video

from avalib import zoo
from avalib.cli import main
from avalib.cli.app import spell_as_options
from avalib.data.importers import read_annotations
from avalib.detection.detections_file import read_detections
from avalib.detection.detections_table import COLUMNS
from avalib.models.build import build_model
from avalib.models.checkpoint import save_checkpoint
from avalib.video.reader import Video


@pytest.fixture
def arguments(tmp_path):
    """The options of a call with a checkpoint and boxes of one's own, and the folder's name for more."""
    checkpoint = tmp_path / "own.pth"
    model = build_model("slowonly_r50")
    recipe = zoo.update_recipe(zoo.build_mini_recipe(model.entry), short_side=32)
    save_checkpoint(model, checkpoint, recipe=recipe, label_map=LABEL_MAP)
    two_people(0, 1, 2).to_csv(tmp_path / "boxes.csv", index=False)
    video = write_calm_video(tmp_path / "v.mp4", n=75)
    return ["detect", str(video), "--checkpoint", str(checkpoint), "--boxes", str(tmp_path / "boxes.csv")]


@pytest.mark.slow
def test_the_table_and_the_video_are_written(arguments, tmp_path, capsys):
    files = ["--csv", str(tmp_path / "d.csv"), "--out", str(tmp_path / "o.mp4")]
    assert main([*arguments, *files, "--width", "256", "--device", "cpu"]) == 0
    output = capsys.readouterr().out
    assert "o.mp4" in output
    assert "2 people, 6 boxes" in output
    assert any(name in output for name in LABEL_MAP.values())
    table = pd.read_csv(tmp_path / "d.csv")
    assert list(table.columns) == COLUMNS
    assert len(table) == 18
    with Video(tmp_path / "o.mp4") as overlay:
        assert (overlay.width, overlay.height, overlay.n_frames, round(overlay.fps)) == (256, 128, 75, 25)


@pytest.mark.slow
def test_files_for_other_tools_have_the_same_rows(arguments, tmp_path):
    names = ("d.parquet", "page.html", "people.json", "people.xml")
    parquet, page, coco, cvat = (str(tmp_path / name) for name in names)
    files = ["--csv", parquet, "--html", page, "--export", coco, cvat]
    assert main([*arguments, *files, "--draw-threshold", "0", "--device", "cpu"]) == 0
    table = read_detections(parquet)
    assert len(table) == 18
    assert "data:video/mp4;base64," in Path(page).read_text(encoding="utf-8")
    for path, format in ((coco, "coco"), (cvat, "cvat")):
        read = read_annotations(path, format, videos=tmp_path).table
        assert sorted(read["score"].round(4)) == pytest.approx(sorted(table["score"]), abs=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "slowonly"], "error: no model 'slowonly' in the zoo. Did you mean"),
        (["--step", "0"], "error: --step 0.0: expected seconds above 0"),
        (["--out", "o.txt"], "o.txt: expected a name that ends in .mp4, .mkv or .gif"),
        (["--html", "page.txt"], "page.txt: expected a name that ends in .html"),
        (["--export", "people.yaml"], "people.yaml: expected a name that ends in .json (COCO) or .xml (CVAT)"),
        (["--checkpoint", "no.pth"], "no.pth: no such file"),
        (["--overlay", "mp4"], "error: --overlay is not possible with one video; it goes with many videos (--out-dir)"),
        (["--format", "csv"], "error: --format is not possible with one video"),
        (["--shard", "1/2"], "error: --shard is not possible with one video"),
    ],
)
def test_a_wrong_option_is_one_line(options, message, tmp_path, capsys):
    video = write_calm_video(tmp_path / "v.mp4", n=5)
    checkpoint = tmp_path / "own.pth"
    checkpoint.write_bytes(b"x")
    assert main(["detect", str(video), "--checkpoint", str(checkpoint), *options]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "v.mp4"], "v.mp4: this call reads that file, and writing would replace it"),
        (["--csv", "boxes.csv"], "boxes.csv: this call reads that file, and writing would replace it"),
        (["--csv", "v.mp4"], "v.mp4: expected a name that ends in .csv or .parquet"),
        (["--csv", "d.xlsx"], "d.xlsx: expected a name that ends in .csv or .parquet"),
        (["--export", "a.json", "a.json"], "a.json: two outputs have this name"),
    ],
)
def test_no_output_replaces_what_is_read(options, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_calm_video(tmp_path / "v.mp4", n=5)
    two_people(0, 1, 2).to_csv("boxes.csv", index=False)
    Path("own.pth").write_bytes(b"x")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(["detect", "v.mp4", "--checkpoint", "own.pth", "--boxes", "boxes.csv", *options]) == 1
    assert message in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_messages_spell_parameters_as_options():
    message = "give boxes_start=0 or x_start=1"
    assert spell_as_options(message, "detect") == "give --boxes-start 0 or x_start=1"
