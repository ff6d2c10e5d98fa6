"""The GIF of all models: the tool draws those that have detections, and records which."""

import json

import draw_zoo_gif
import fake_predictions
import numpy as np
import pytest
from PIL import Image

from avalib import draw
from avalib.data.ava_csv import read_ava_csv, write_ava_csv

MODELS = list(draw.MODEL_COLORS)


def test_without_detections_the_tool_names_the_notebooks_to_run(tmp_path):
    with pytest.raises(SystemExit, match="Run notebooks 03 and 04 first"):
        draw_zoo_gif.main(["--dataset", "tiny", "--output-dir", str(tmp_path)])


@pytest.mark.slow
def test_all_models_with_detections_are_side_by_side_in_one_gif(tmp_path, tiny, monkeypatch, capsys):
    truth = read_ava_csv(tiny.get_csv_path("val"), "ground_truth")
    for seed in (2, 3, 4):
        path = tmp_path / "tiny" / MODELS[seed] / "evaluate" / "detections.csv"
        path.parent.mkdir(parents=True)
        write_ava_csv(fake_predictions.detections(truth, seed), path)
    monkeypatch.setattr(draw_zoo_gif, "prepare", lambda name, seed: tiny)
    draw_zoo_gif.main(["--dataset", "tiny", "--output-dir", str(tmp_path), "--seconds", "2", "--width", "200"])
    assert f"models have detections: {', '.join(MODELS[2:5])}\n" in capsys.readouterr().out
    out = tmp_path / "tiny" / "grid" / "zoo.gif"
    record = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    assert record["models"] == MODELS[2:5]
    assert len(record["hashes"]) == 3
    with Image.open(out) as opened:
        assert opened.n_frames == 6
        assert opened.width == 4 * 204 - 4  # the annotation and three models
        picture = np.asarray(opened.convert("RGB"))
    assert (picture == draw.BLUE.line).all(-1).any(), "the annotated boxes"
    assert out.with_suffix(".mp4").stat().st_size < out.stat().st_size
