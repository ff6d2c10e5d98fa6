"""A small network, person boxes and videos for tests of the video detector."""

import numpy as np
import pandas as pd
import tiny_model
import torch

import avalib
from avalib.data.row_checks import BOX_COLUMNS
from avalib.models.build import build_model
from avalib.models.checkpoint_meta import CheckpointMeta
from avalib.video.writer import write_mp4

LABEL_MAP = {3: "dribble", 12: "stand around", 80: "cheer"}
LEFT = (0.1, 0.2, 0.3, 0.9)
RIGHT = (0.6, 0.2, 0.8, 0.9)


def build_network():
    """A small network with random weights, for pictures of 32 pixels and the actions of LABEL_MAP."""
    torch.manual_seed(0)
    network = build_model(tiny_model.ENTRY)
    network.meta = CheckpointMeta(network.entry, tiny_model.RECIPE, LABEL_MAP)
    return network


def two_people(*times_s, **columns):
    """Person boxes of two people at some times."""
    rows = [(time_s, *box) for time_s in times_s for box in (LEFT, RIGHT)]
    return pd.DataFrame(rows, columns=["time_s", *BOX_COLUMNS]).assign(**columns)


def write_calm_video(path, fps=25, n=100):
    """Write a video of n frames 128x64 without cuts: a gradient that moves to and fro. Returns the path."""
    ramp = np.tile(np.linspace(40, 200, 160, dtype=np.uint8)[None, :, None], (64, 1, 3))
    offsets = [abs(32 - i % 64) for i in range(n)]
    return write_mp4(path, (ramp[:, offset : offset + 128] for offset in offsets), fps)


def detect(path, network, boxes, **options):
    """avalib.detect on the CPU, without progress bars."""
    return avalib.detect(path, network, boxes=boxes, device="cpu", precision="float32", progress=False, **options)
