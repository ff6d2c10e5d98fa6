"""A folder of small videos and a run of detect_many over it; as a program, the run in a process of its own.

    python many_videos.py VIDEOS OUT WEIGHTS [WORKERS [BYTES]]

BYTES: the largest file that the process may write, which stands for a full disk.
"""

import os
import signal
import sys
from pathlib import Path

import torch
from detection_inputs import build_network, write_calm_video

import avalib

STEP_S = 0.5


def write_videos(folder, count):
    """Write `count` videos of one to three seconds. Returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        write_calm_video(folder / f"v{number}.mp4", n=25 + 25 * (number % 3))
    return folder


def get_options(weights):
    """The options of `detect` and `detect_many` for a small person detector on the CPU."""
    return {
        "detector": "ssdlite",
        "detector_weights": weights,
        "person_score": 0.1,
        "step": STEP_S,
        "device": "cpu",
        "precision": "float32",
        "progress": False,
    }


def kill_in_v1(path, video, detections):
    """A writer of overlays that kills its process in the video v1.mp4, as a fault in a decoder would."""
    if Path(video).name == "v1.mp4":
        os.kill(os.getpid(), signal.SIGKILL)
    path.write_bytes(b"drawn")


def main(videos, out, weights, workers="1", limit=None):
    if limit is not None:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    torch.set_num_threads(1)
    avalib.detect_many(videos, out, build_network(), workers=int(workers), **get_options(weights))


if __name__ == "__main__":
    main(*sys.argv[1:])
