"""A data set of one video in which a bright square moves: what is drawn can be compared with the pixels."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from avalib.data.layout import DatasetLayout
from avalib.data.row_checks import BOX_COLUMNS
from avalib.video.writer import write_mp4

VIDEO_ID = "AAAAAAAAAAA"
WIDTH, HEIGHT = 160, 120
STAND, WALK, WATCH = 12, 14, 80  # AVA's action_ids


@dataclass(frozen=True)
class SquareDataset:
    """Seconds 900 to 906 with keyframes at 901 to 905: the square stands and watches, person_id 7."""

    layout: DatasetLayout
    truth: pd.DataFrame
    detections: pd.DataFrame  # boxes 0.01 to the right and down


def square_at(time_s):
    """The square's box (fractions of the frame) at AVA's second `time_s`: it moves right and down."""
    x = 0.1 + 0.1 * (time_s - 900)
    y = 0.2 + 0.05 * (time_s - 900)
    return np.array([x, y, x + 0.25, y + 0.4])


def list_rows(video_id, timestamp, box, actions, **columns):
    """Lines of an AVA table: one box with several actions; columns: {name: a value for each action}."""
    base = {"video_id": video_id, "timestamp": float(timestamp), **dict(zip(BOX_COLUMNS, box, strict=True))}
    return [
        base | {"action_id": action} | {name: values[i] for name, values in columns.items()}
        for i, action in enumerate(actions)
    ]


def find_square(frame):
    """The box (fractions) of the bright square on a frame."""
    y, x = np.nonzero(frame[..., 0] > 130)
    return np.array([x.min(), y.min(), x.max() + 1, y.max() + 1]) / [WIDTH, HEIGHT, WIDTH, HEIGHT]


def write_square_dataset(folder):
    """Write the video and build the tables -> SquareDataset."""
    layout = DatasetLayout(folder, "mini")
    frames = []
    for n in range(180):
        frame = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
        x1, y1, x2, y2 = (square_at(900 + n / 30) * [WIDTH, HEIGHT, WIDTH, HEIGHT]).round().astype(int)
        frame[y1:y2, x1:x2] = 230
        frames.append(frame)
    write_mp4(layout.videos / f"{VIDEO_ID}.mp4", frames, 30)
    truth, detections = [], []
    for second in range(901, 906):
        box = square_at(second)
        truth += list_rows(VIDEO_ID, second, box, [STAND, WATCH], person_id=[7, 7])
        detections += list_rows(VIDEO_ID, second, box + 0.01, [STAND, WATCH, WALK], score=[0.9, 0.4, 0.05])
    return SquareDataset(layout, pd.DataFrame(truth), pd.DataFrame(detections))
