"""An executed notebook is compacted for publishing."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from compact_notebook import GIF, WIDGET, compact_notebook, redact_paths
from PIL import Image


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("written: {cwd}/outputs/runs/a.csv", "written: ./outputs/runs/a.csv"),
        ("in {home}/.cache/avalib/x.pth", "in ~/.cache/avalib/x.pth"),
        ('File "/mnt/disk/someone/run.py", line 3', 'File "…/run.py", line 3'),
        ("/home/someone/data/ava", "…/ava"),
        ("https://example.org/home/someone/data", "https://example.org/home/someone/data"),
        ("mp4/mkv and data/mini-seed0/videos", "mp4/mkv and data/mini-seed0/videos"),
        ("1 / 2 and a/b", "1 / 2 and a/b"),
    ],
)
def test_paths_of_this_machine_go(text, clean, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/of somebody"))
    assert redact_paths(text.format(cwd=tmp_path, home=Path.home())) == clean


def encoded(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return base64.b64encode(out.getvalue()).decode()


@pytest.mark.slow
def test_a_notebook_gets_small_and_keeps_its_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    noise = [Image.fromarray(rng.integers(0, 255, (150, 200, 3), dtype=np.uint8)) for _ in range(8)]
    png, gif = encoded(noise[0], "PNG"), encoded(noise[0], "GIF", save_all=True, append_images=noise[1:], duration=100)
    page = f'<img src="data:image/gif;base64,{gif}" alt="x.gif"><video src="data:video/mp4;base64,AAAA" loop></video>'
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": [f"written: {tmp_path}/x.png\n"]},
        {"output_type": "display_data", "metadata": {}, "data": {"image/png": png, "text/plain": ["<Figure>"]}},
        {"output_type": "display_data", "metadata": {}, "data": {"text/html": [page], WIDGET: {"model_id": "1"}}},
    ]
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# 1"]},
        {"cell_type": "code", "execution_count": 1, "metadata": {}, "source": ["x = 1"], "outputs": outputs},
    ]
    papermill = {"input_path": "notebooks/a.ipynb", "output_path": f"{tmp_path}/a.ipynb"}
    content = {"cells": cells, "metadata": {"papermill": papermill, "widgets": {}}, "nbformat": 4, "nbformat_minor": 5}
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(content), encoding="utf-8")
    limit = 150_000
    assert path.stat().st_size > 2 * limit
    text = compact_notebook(path, limit)
    made = json.loads(text)["cells"][1]["outputs"]
    assert len(text.encode()) < limit and str(tmp_path) not in text and WIDGET not in text
    assert made[0]["text"] == ["written: ./x.png\n"] and made[1]["data"]["text/plain"] == ["<Figure>"]
    picture = Image.open(io.BytesIO(base64.b64decode(made[1]["data"]["image/jpeg"])))
    assert picture.size == (200, 150)
    page = made[2]["data"]["text/html"]
    assert "video/mp4" not in page and "movie is in a file" in page
    movie = Image.open(io.BytesIO(base64.b64decode(GIF.search(page)[1])))
    assert 1 < movie.n_frames < 8
    with pytest.raises(ValueError, match="a.ipynb: .* bytes after compression, 1,000 are allowed"):
        compact_notebook(path, 1000)
