"""A video with a moving box and a table of detections that lies on it, for tests of pages and exports."""

import numpy as np
import pandas as pd

from avalib.detection.detections_table import COLUMNS
from avalib.video.writer import write_mp4

WIDTH, HEIGHT, FPS, SECONDS = 320, 180, 25, 8
NAMES = {12: "stand", 64: "fight/hit (a person)", 80: "watch (a person)", 14: "<img src=x onerror=alert(1)>"}


def compute_box(time_s):
    """The box of person 1 at a time, in fractions of the frame."""
    left = 0.1 + 0.06 * time_s
    return (left, 0.3, left + 0.2, 0.9)


def write_box_video(path):
    """Write a gray film in which a bright box moves to the right. Returns the path."""
    frames = []
    for n in range(FPS * SECONDS):
        frame = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
        x1, y1, x2, y2 = (np.array(compute_box(n / FPS)) * [WIDTH, HEIGHT, WIDTH, HEIGHT]).round().astype(int)
        frame[y1:y2, x1:x2] = (200, 190, 170)
        frames.append(frame)
    return write_mp4(path, frames, FPS)


def build_detections():
    """The table: person 1 stands, and fights at seconds 4 and 5; person 2 watches throughout."""
    rows = []
    for time_s in range(SECONDS):
        fights = 0.8123 if time_s in (4, 5) else 0.1
        people = {
            1: (compute_box(time_s), {12: 0.9, 64: fights, 14: 0.35}),
            2: ((0.75, 0.2, 0.9, 0.8), {80: 0.66 + time_s / 100, 12: 0.5}),
        }
        for person_id, (box, scores) in people.items():
            for action_id, score in sorted(scores.items()):
                rows.append((float(time_s), time_s * FPS, person_id, *box, action_id, NAMES[action_id], score))
    table = pd.DataFrame(rows, columns=COLUMNS)
    table.attrs = {"cuts_s": [], "label_map": dict(NAMES)}
    return table
