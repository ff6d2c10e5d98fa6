"""`detect` with its person detector: the finder, the action network, and the whole, beside the most accurate finder.

    python benchmarks/bench_detect.py [--repeats 3] [--seconds 8] [--model slowonly_r50] [--device auto]

A 640x360 film, one keyframe a second. All networks have random weights, which cost what trained ones cost. Random
weights detect odd boxes or none, so the finder runs on every keyframe and its boxes are then replaced by three given
ones: the action network's work is that of a usual scene. The baseline of the whole is fasterrcnn_resnet50_fpn_v2 as
torchvision runs it, the only finder before: its seconds a picture, measured in the same run, are added to those of the
action network.
"""

import logging
import tempfile
from functools import partial
from pathlib import Path

import film
import numpy as np
import torch
from common import build_parser, compare, record, time_alternately

import avalib
from avalib.detection.torchvision_detectors import (
    DETECTORS,
    STRONG_DETECTOR,
    TorchvisionDetector,
    build_torchvision_detector,
    choose_detector,
)
from avalib.models.build import build_model
from avalib.utils.device import choose_device, choose_precision
from avalib.video.reader import Video

PEOPLE = np.array([[0.1, 0.2, 0.3, 0.9], [0.4, 0.2, 0.6, 0.9], [0.7, 0.3, 0.9, 0.95]])
WHOLE_AIM_S = {"cpu": 1.0, "cuda": 0.1}  # seconds of work per second of video, at most


class GivenBoxesAfter:
    """A person detector that runs a network, and returns PEOPLE instead of its boxes."""

    def __init__(self, network):
        self.network = network

    def __call__(self, frames):
        self.network(frames)
        return [(PEOPLE, np.full(len(PEOPLE), 0.9))] * len(frames)


def main():
    parser = build_parser("detect", __doc__, repeats=3)
    parser.add_argument("--seconds", type=int, default=8, help="of film")
    parser.add_argument("--model", default="slowonly_r50", help="of the actions")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    logging.getLogger("avalib").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        path = film.write_film(Path(folder, "film.mp4"), options.seconds)
        rows, details = measure(path, options)
    record("detect", rows, options, **details)


def measure(path, options):
    """The rows, and which networks were measured."""
    device = choose_device(options.device)
    dtype = choose_precision("auto", device)
    torch.manual_seed(0)
    entry = choose_detector("auto", device)
    with Video(path) as reader:
        frame = reader.read_frames([15])  # (1,H,W,3)

    # The finder alone, a picture a call: its inference form, torchvision's own, and the most accurate one.
    finder = TorchvisionDetector(entry.name, None, device, dtype)
    finders = {
        "ours": partial(finder, frame),
        "plain": partial(run_plain, build_torchvision_detector(entry.name, None, device), frame),
        "strong": partial(run_plain, build_torchvision_detector(STRONG_DETECTOR, None, device), frame),
    }
    seconds = time_alternately(finders, options.repeats)
    names = f"{entry.torchvision_name}, {DETECTORS[STRONG_DETECTOR].torchvision_name}"
    rows = [
        compare(
            "person detector, inference form, torchvision's own forward", seconds["ours"], seconds["plain"], "s/picture"
        ),
        compare(f"person detector, {names}", seconds["ours"], seconds["strong"], "s/picture"),
    ]

    # The whole, and the same without the finder: the difference between the two is the finder's.
    model = build_model(options.model, None)
    settings = {"device": str(device), "progress": False}
    wholes = {
        "whole": partial(avalib.detect, path, model, detector=GivenBoxesAfter(finder), **settings),
        "actions": partial(avalib.detect, path, model, detector=give_boxes, **settings),
    }
    per_second = {name: s / options.seconds for name, s in time_alternately(wholes, options.repeats).items()}
    before = per_second["actions"] + seconds["strong"]
    aim = WHOLE_AIM_S.get(device.type)
    rows += [
        compare(f"decoding and {options.model}, boxes given", per_second["actions"], None, "s/s of video"),
        compare("person detector inside detect", per_second["whole"] - per_second["actions"], None, "s/s of video"),
        compare("detect with person detector", per_second["whole"], None, "s/s of video", aim),
        compare("detect with person detector, with the strong one plain", per_second["whole"], before, "s/s of video"),
    ]
    return rows, {"finder": finder.description, "model": options.model, "film_s": options.seconds}


def give_boxes(frames):
    """A person detector that costs nothing."""
    return [(PEOPLE, np.full(len(PEOPLE), 0.9))] * len(frames)


@torch.inference_mode()
def run_plain(network, frames):
    """torchvision's own forward on frames (n,H,W,3) uint8, with its people on the CPU."""
    device = next(network.parameters()).device
    pictures = torch.from_numpy(frames).to(device).permute(0, 3, 1, 2) / 255
    return [(output["boxes"].cpu(), output["scores"].cpu()) for output in network(list(pictures))]


if __name__ == "__main__":
    main()
