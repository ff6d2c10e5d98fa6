"""A disk that is full (a limit on a file's size stands for it): each writer says what it needs and leaves nothing."""

import os
import signal

import numpy as np
import pandas as pd
import pytest
import torch
from forks import fork
from PIL import Image

from avalib import draw
from avalib.data.ava_csv import write_ava_csv
from avalib.data.check_report import CheckReport, Finding
from avalib.data.exclusions import write_exclusions
from avalib.data.label_map import write_label_map
from avalib.data.proposals import write_proposals
from avalib.draw.figure_style import create_figure
from avalib.models.checkpoint_file import write_checkpoint_file
from avalib.utils.files import atomic_path, copy_file, write_text
from avalib.video.frame_cache import write_frame_cache
from avalib.video.writer import write_gif, write_mp4

resource = pytest.importorskip("resource")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a process with a limit of its own")
LIMIT = 20_000
NOISE = np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3), dtype=np.uint8)
TABLE = pd.DataFrame(np.random.default_rng(0).random((3000, 5)), columns=["x1", "y1", "x2", "y2", "score"]).assign(
    video_id="a", timestamp=np.arange(3000.0), action_id=1
)
WEIGHTS = {"conv.weight": torch.rand(100, 100)}


class Reader:
    """What write_frame_cache reads from."""

    path, width, height = "a.mp4", 64, 64

    def iter_ava_frames(self):
        return iter(NOISE)


def figure():
    drawn, axis = create_figure(1, (8, 8))
    axis.imshow(NOISE[0])
    return drawn


WRITERS = {
    "net.pth": lambda path: write_checkpoint_file(path, WEIGHTS, {}),
    "net.safetensors": lambda path: write_checkpoint_file(path, WEIGHTS, {}),
    "a.mp4": lambda path: write_mp4(path, NOISE, 30, crf=1),
    "a.mkv": lambda path: write_mp4(path, NOISE, 30, crf=1),
    "a.gif": lambda path: write_gif(path, NOISE, 30),
    "a.frames": lambda path: write_frame_cache(Reader(), path, 64),
    "boxes.pkl": lambda path: write_proposals(TABLE, path),
    "boxes.csv": lambda path: write_proposals(TABLE, path),
    "boxes.parquet": lambda path: write_proposals(TABLE, path),
    "detections.csv": lambda path: write_ava_csv(TABLE, path),
    "seconds.csv": lambda path: write_exclusions(TABLE, path),
    "map.pbtxt": lambda path: write_label_map({i: f"action {i}" for i in range(1, 2000)}, path),
    "sheet.png": lambda path: draw.save_figure(
        Image.fromarray(NOISE[0].repeat(4, 0).repeat(4, 1)), path, compress_level=0
    ),
    "sheet.jpg": lambda path: draw.save_figure(Image.fromarray(np.concatenate([*NOISE], 1)), path, quality=100),
    "figure.png": lambda path: draw.save_figure(figure(), path, dpi=200),
    "check.json": lambda path: CheckReport([Finding("x" * LIMIT)], "", TABLE).save(path),
    "index.npz": lambda path: save_index(path),
    "copy.bin": lambda path: copy_file(pd.core.frame.__file__, path),  # some large file
    "text.txt": lambda path: write_text(path, "x" * 3 * LIMIT),
    "table.csv.gz": lambda path: write_ava_csv(TABLE, path),
}


def save_index(path):
    with atomic_path(path) as part:
        np.savez(part, pts=np.zeros(10_000))


def error_of(write, path):
    """What `write` raises in a process whose files may have 20 kB, as text."""
    reading, writing = os.pipe()
    process = fork()
    if process == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))
        try:
            write(path)
            message = "written"
        except BaseException as error:
            message = f"{type(error).__name__}: {error}"
        os.write(writing, message.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(process, 0)
    with os.fdopen(reading, "rb") as pipe:
        return pipe.read().decode()


@pytest.fixture
def one_thread():
    """A forked process hangs where torch would use its parent's threads. The number is others' too: put back."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_what_is_needed_and_free_is_said_and_nothing_is_left(name, one_thread, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"old")
    message = error_of(WRITERS[name], path)
    assert message.startswith(f"DiskFullError: {path}: ") and "MB are needed" in message and "MB are free" in message
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    WRITERS[name](path)
    assert path.stat().st_size > LIMIT, "the case is large enough"
