"""A handful of clips as Kinetics has them, with AVA-Kinetics' annotations and person boxes of them."""

import pickle
import tarfile

import numpy as np
from numbered_videos import write_numbered_video

WHOLE = "o3lCwWyyc_s_000012_000016"  # an id with an underscore in it
IN_CLASS = "abcdefghijk_000100_000104"
SHORT = "shortshort0_000020_000024"  # a second is missing at its end
GONE = "gonegonegon"  # annotated, and in no folder
OUTSIDE = "outsideout0_000000_000004"  # annotated at a second that it doesn't have
UNKNOWN = "my_dog.mp4"
CLIP_FPS = 30
CLIP_S = 4

# YouTube id, second, x1, y1, x2, y2, action: decimals as in the original, 7 columns; the last row has no box
ROWS = (
    ("o3lCwWyyc_s", "14.0", 0.1, 0.1, 0.5, 0.9, 12),
    ("o3lCwWyyc_s", "14.0", 0.1, 0.1, 0.5, 0.9, 80),
    ("o3lCwWyyc_s", "14.0", 0.55, 0.1, 0.95, 0.9, 11),
    ("abcdefghijk", "102.7", 0.2, 0.1, 0.7, 0.9, 12),
    ("shortshort0", "22.0", 0.2, 0.1, 0.7, 0.9, 12),
    ("gonegonegon", "5.0", 0.2, 0.1, 0.7, 0.9, 61),
    ("gonegonegon", "5.0", 0.2, 0.1, 0.7, 0.9, 12),
    ("outsideout0", "9.0", 0.2, 0.1, 0.7, 0.9, 79),
    ("outsideout0", "3.0", "", "", "", "", ""),
)


def write_clips(folder):
    """Write the clips into `folder`: one in a sub-folder of its class, one cut short, one with another name."""
    for place in (folder, folder / "abseiling down"):
        place.mkdir(parents=True, exist_ok=True)
    n_frames = CLIP_S * CLIP_FPS
    write_numbered_video(folder, f"{WHOLE}.mp4", CLIP_FPS, n_frames)
    write_numbered_video(folder / "abseiling down", f"{IN_CLASS}.mp4", CLIP_FPS, n_frames)
    write_numbered_video(folder, f"{SHORT}.mp4", CLIP_FPS, n_frames - CLIP_FPS)
    write_numbered_video(folder, f"{OUTSIDE}.mp4", CLIP_FPS, n_frames)
    write_numbered_video(folder, UNKNOWN, CLIP_FPS, 10)
    return folder


def write_annotations(folder, rows=ROWS):
    """Write kinetics_train_v1.0.csv. Returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "kinetics_train_v1.0.csv"
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
    return path


def write_archive(folder, rows=ROWS):
    """Write ava_kinetics_v1_0.tar.gz, which holds the csv in a folder. Returns its path."""
    path = folder / "ava_kinetics_v1_0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(write_annotations(folder / "unpacked", rows), "ava_kinetics_v1_0/kinetics_train_v1.0.csv")
    return path


def write_proposals(folder):
    """Write kinetics_proposal.pkl as MMAction2's script does: keys of YouTube ids, the seconds beside it too."""
    boxes = {f"o3lCwWyyc_s,{second:04d}": np.array([[0.1, 0.1, 0.5, 0.9, 0.95]]) for second in (13, 14, 15)}
    path = folder / "kinetics_proposal.pkl"
    path.write_bytes(pickle.dumps(boxes))
    return path
