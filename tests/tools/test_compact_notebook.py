"""An executed notebook is compacted for publishing: small, without paths of the machine."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from compact_notebook import GIF, WIDGET, compact_notebook, redact_paths
from PIL import Image

MAX_BYTES = 150_000
SIZE = (200, 150)


@pytest.mark.parametrize(
    ("text", "redacted"),
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
def test_paths_of_the_machine_are_redacted(text, redacted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/of somebody"))
    assert redact_paths(text.format(cwd=tmp_path, home=Path.home())) == redacted


def encode(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return base64.b64encode(buffer.getvalue()).decode()


def decode(text):
    return Image.open(io.BytesIO(base64.b64decode(text)))


@pytest.fixture(scope="module")
def outputs():
    """Outputs of a cell: text, a large picture, HTML with a GIF and a movie beside a widget."""
    rng = np.random.default_rng(0)
    noise = [Image.fromarray(rng.integers(0, 255, (*SIZE[::-1], 3), dtype=np.uint8)) for _ in range(8)]
    png = encode(noise[0], "PNG")
    gif = encode(noise[0], "GIF", save_all=True, append_images=noise[1:], duration=100)
    html = f'<img src="data:image/gif;base64,{gif}" alt="x.gif">'
    html += '<video src="data:video/mp4;base64,AAAA" title="x.mp4" loop></video>'
    return [
        {"output_type": "stream", "name": "stdout", "text": ["written: {folder}/x.png\n"]},
        {"output_type": "display_data", "metadata": {}, "data": {"image/png": png, "text/plain": ["<Figure>"]}},
        {"output_type": "display_data", "metadata": {}, "data": {"text/html": [html], WIDGET: {"model_id": "1"}}},
    ]


@pytest.fixture
def executed(outputs, tmp_path, monkeypatch):
    """An executed notebook in the current folder, more than twice as large as it may be."""
    monkeypatch.chdir(tmp_path)
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# 1"]},
        {"cell_type": "code", "execution_count": 1, "metadata": {}, "source": ["x = 1"], "outputs": outputs},
    ]
    papermill = {"input_path": "notebooks/a.ipynb", "output_path": "{folder}/a.ipynb"}
    content = {"cells": cells, "metadata": {"papermill": papermill, "widgets": {}}, "nbformat": 4, "nbformat_minor": 5}
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(content).replace("{folder}", str(tmp_path)), encoding="utf-8")
    assert path.stat().st_size > 2 * MAX_BYTES
    return path


def compact_outputs(path):
    """The outputs of the code cell of the compacted notebook."""
    return json.loads(compact_notebook(path, MAX_BYTES))["cells"][1]["outputs"]


def test_the_copy_is_small_enough(executed):
    assert len(compact_notebook(executed, MAX_BYTES).encode()) < MAX_BYTES


def test_the_copy_has_no_path_of_the_machine(executed):
    text = compact_notebook(executed, MAX_BYTES)
    assert str(executed.parent) not in text
    assert json.loads(text)["cells"][1]["outputs"][0]["text"] == ["written: ./x.png\n"]


def test_widgets_are_left_out(executed):
    assert WIDGET not in compact_notebook(executed, MAX_BYTES)


def test_pictures_become_jpeg_and_texts_beside_them_stay(executed):
    data = compact_outputs(executed)[1]["data"]
    assert decode(data["image/jpeg"]).size == SIZE
    assert data["text/plain"] == ["<Figure>"]


def test_movies_become_links_to_their_files(executed):
    html = compact_outputs(executed)[2]["data"]["text/html"]
    assert "video/mp4" not in html
    assert '<a href="x.mp4">x.mp4</a>' in html


@pytest.mark.parametrize(
    ("text", "stays"),
    [
        ("scoring:   0%|          | 0/51 [00:00<?, ?batch/s]", False),
        ("scoring: 100%|##########| 51/51 [00:20<00:00, 2.5batch/s]", True),
        ("VBox(children=(HBox(children=(Dropdown(description='video', index=11", False),
        ("<Report: mAP@0.5 = 0.2437>", True),
    ],
)
def test_what_stands_for_a_widget_is_left_out(executed, text, stays):
    content = json.loads(executed.read_text(encoding="utf-8"))
    output = {"output_type": "display_data", "metadata": {}, "data": {"text/plain": [text]}}
    content["cells"][1]["outputs"] = [output]
    executed.write_text(json.dumps(content), encoding="utf-8")
    assert (len(compact_outputs(executed)) == 1) == stays


def test_gifs_have_fewer_frames(executed):
    html = compact_outputs(executed)[2]["data"]["text/html"]
    assert 1 < decode(GIF.search(html)[1]).n_frames < 8


def test_a_notebook_that_stays_too_large_is_refused(executed):
    with pytest.raises(ValueError, match="a.ipynb: .* bytes after compression, 1,000 are allowed"):
        compact_notebook(executed, 1000)
