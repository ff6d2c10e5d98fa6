"""Clips out of video: ours beside OpenCV, TorchCodec and folders of jpgs; passes in order beside random access.

    python benchmarks/bench_video.py [--repeats 5] [--seconds 60] [--count 12] [--keep folder]

Clips per core-second (of processor time, one thread each) for windows of 4x16, 8x8 and 32x2 around random seconds of a
640x360 film, H.264 with a keyframe every 250 frames, read and scaled to short side 256 (from jpgs and the training
cache: to 288, the middle of the recipe's range). Every frame carries its number: wrong ones are counted. Peers
that aren't installed are left out, and named: pip install opencv-python-headless torchcodec (which needs FFmpeg's
libraries on the system). `detect` is timed whole, with SlowOnly R50 at random weights.
"""

import importlib
import tempfile
import time
from functools import partial
from pathlib import Path

import film
import numpy as np
import pandas as pd
import torch
from common import build_parser, compare, record, run_apart, time_alternately
from PIL import Image

import avalib
from avalib import zoo
from avalib.evaluation.inference import score_batch
from avalib.models.build import build_model
from avalib.models.fused import FusedDetector
from avalib.utils.workers import init_worker
from avalib.video.clip_stream import iter_scaled, iter_windows
from avalib.video.frame_cache import FrameCache, write_frame_cache
from avalib.video.frame_numbers import compute_clip_frames
from avalib.video.reader import Video
from avalib.video.resize import resize_frames_and_boxes

WINDOWS = {"4x16": 1.4, "8x8": None, "32x2": 1.1}  # aims, against the best peer
IN_ORDER_AIM, CACHE_AIM, OVERLAP_AIM = 4, 1.3, 1.5
TEST_SIDE, TRAIN_SIDE, CACHE_SIDE = 256, 288, 320


def main():
    parser = build_parser("video", __doc__)
    parser.add_argument("--seconds", type=int, default=60, help="of film")
    parser.add_argument("--count", type=int, default=12, help="windows of each kind")
    parser.add_argument("--clips", type=int, default=24, help="that `detect` looks at")
    parser.add_argument("--keep", help="folder for the film (reused if it is there)")
    options = parser.parse_args()
    init_worker()  # for all readers, as the loader's workers do: one thread, memory kept
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(options.keep or scratch)
        folder.mkdir(parents=True, exist_ok=True)
        path = film.write_film(folder / f"film_{options.seconds}.mp4", options.seconds)
        readers, missing = open_peers(path)
        with Video(path) as ours:
            readers = {"avalib": lambda n: ours.read_frames(n - 1)} | readers
            rows = measure_mp4(readers, options)
            rows += run_apart(init_worker, measure_in_order, path, options)
            rows += measure_jpgs(ours, folder, options)
        rows += run_apart(init_worker, measure_overlapping, path, options)
    for name, why in missing.items():
        print(f"{name} is not measured: {why}")
    record("video", rows, options, peers=[name for name in readers if name != "avalib"], missing=missing)


def choose_windows(kind, count, seconds, seed=0):
    """AVA numbers (count,T) around seconds drawn at random."""
    length, interval = map(int, kind.split("x"))
    at = np.random.default_rng(seed).permutation(np.arange(2, seconds - 2))[:count]
    return np.stack([compute_clip_frames(900 + s, length, interval, 30 * seconds, first=1) for s in at])


def resize_frames(frames, side=TEST_SIDE):
    return resize_frames_and_boxes(frames, np.zeros((0, 4)), side)[0]


def read_all(read, chosen, side=TEST_SIDE):
    """Every window read and scaled, none kept."""
    for numbers in chosen:
        resize_frames(read(numbers), side)


def measure_per_core_second(work, count, repeats):
    """{name: clips per second of processor time}, median."""
    return {name: count / s for name, s in time_alternately(work, repeats, clock=time.process_time).items()}


# --- other readers: numbers (T,) from 1 -> frames (T,H,W,3) uint8 RGB -------------------------------------------------


def open_peers(path):
    """({name: read}, {name: why it isn't here})."""
    found, missing = {}, {}
    for name, make in (("OpenCV", open_opencv), ("TorchCodec", open_torchcodec)):
        try:
            found[name] = make(path)
        except (ImportError, RuntimeError, OSError) as error:
            missing[name] = f"{type(error).__name__}, {str(error).strip().splitlines()[0]}"
    return found, missing


def open_opencv(path):
    cv2 = importlib.import_module("cv2")
    cv2.setNumThreads(1)
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])

    def read(numbers):
        capture.set(cv2.CAP_PROP_POS_FRAMES, int(numbers[0]) - 1)
        out, at = [], int(numbers[0]) - 1
        for wanted in numbers - 1:
            while at <= wanted:
                capture.grab()
                at += 1
            out.append(cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB))
        return np.stack(out)

    return read


def open_torchcodec(path):
    decoders = importlib.import_module("torchcodec.decoders")
    decoder = decoders.VideoDecoder(str(path), num_ffmpeg_threads=1, dimension_order="NHWC")
    return lambda numbers: decoder.get_frames_at(indices=(numbers - 1).tolist()).data.numpy()


def build_jpg_reader(folder):
    """Read by OpenCV where it is installed, else by Pillow."""
    try:
        cv2 = importlib.import_module("cv2")
    except ImportError:
        return lambda n: np.stack([np.asarray(Image.open(folder / f"img_{i:05d}.jpg")) for i in n])
    return lambda n: np.stack(
        [cv2.cvtColor(cv2.imread(str(folder / f"img_{i:05d}.jpg")), cv2.COLOR_BGR2RGB) for i in n]
    )


# --- what is measured -------------------------------------------------------------------------------------------------


def measure_mp4(readers, options):
    rows = []
    for kind, aim in WINDOWS.items():
        chosen = choose_windows(kind, options.count, options.seconds)
        wrong = {name: count_mistakes(read, chosen) for name, read in readers.items()}
        if wrong["avalib"]:
            raise SystemExit(f"{kind}: {wrong['avalib']} of our frames are not those asked for")
        work = {name: partial(read_all, read, chosen) for name, read in readers.items()}
        rates = measure_per_core_second(work, len(chosen), options.repeats)
        ours = rates.pop("avalib")
        best = max(rates, key=rates.get, default=None)
        peers = ", ".join(f"{name} {rate:.1f}, {wrong[name]} frames wrong" for name, rate in rates.items())
        row = compare(f"clips {kind} from mp4, best peer", ours, rates.get(best), "clips/s", aim, more=True, note=peers)
        rows.append(row)
    return rows


def count_mistakes(read, chosen):
    """Frames that carry another number than the one asked for, in the first windows."""
    return sum(film.read_number(frame) != n - 1 for numbers in chosen[:4] for n, frame in zip(numbers, read(numbers)))  # noqa: B905


def measure_in_order(path, options):
    """Rows: every second of the film in order, as the evaluation reads it, beside the same windows one by one."""
    with Video(path) as ours:
        return [measure_kind_in_order(ours, kind, options) for kind in WINDOWS]


def measure_kind_in_order(ours, kind, options):
    length, interval = map(int, kind.split("x"))
    seconds = range(2, options.seconds - 2)
    last = ours.n_ava_frames
    chosen = np.stack([compute_clip_frames(900 + s, length, interval, last, first=1) for s in seconds])
    some = chosen[np.random.default_rng(0).permutation(len(chosen))[: options.count]]

    def ordered():
        frames = iter_scaled(ours.iter_numbered_frames(chosen), TEST_SIDE)
        return (np.stack(window) for window in iter_windows(frames, chosen))

    if not np.array_equal(next(ordered()), resize_frames(ours.read_ava_frames(chosen[0]))):
        raise SystemExit(f"{kind}: a pass in order gives other frames than random access")
    work = {"ordered": lambda: all(map(len, ordered())), "random": partial(read_all, ours.read_ava_frames, some)}
    took = time_alternately(work, options.repeats, clock=time.process_time)
    a, b = len(chosen) / took["ordered"], len(some) / took["random"]
    return compare(f"clips {kind} from mp4 in order, random access", a, b, "clips/s", IN_ORDER_AIM, more=True)


def measure_jpgs(ours, folder, options):
    """Rows: the training cache beside a folder of jpgs of the film's own size."""
    cache, jpgs = folder / f"film_{options.seconds}.frames", folder / f"jpgs_{options.seconds}"
    if not jpgs.exists():
        write_frame_cache(ours, cache, CACHE_SIDE)
        jpgs.mkdir()
        for n, frame in enumerate(ours.iter_ava_frames(), 1):
            Image.fromarray(frame).save(jpgs / f"img_{n:05d}.jpg", quality=95)
    rows = []
    with FrameCache(cache) as kept:
        read = build_jpg_reader(jpgs)
        for kind in WINDOWS:
            chosen = choose_windows(kind, options.count, options.seconds)
            work = {
                "cache": partial(read_all, kept.read_ava_frames, chosen, TRAIN_SIDE),
                "jpgs": partial(read_all, read, chosen, TRAIN_SIDE),
            }
            rates = measure_per_core_second(work, len(chosen), options.repeats)
            what = f"clips {kind} from the cache (short side {CACHE_SIDE}), jpg folder"
            rows.append(compare(what, rates["cache"], rates["jpgs"], "clips/s", CACHE_AIM, more=True))
    return rows


def measure_overlapping(path, options):
    """A row: `detect` where neighbouring clips share three of four frames, beside each clip read and scored alone."""
    torch.manual_seed(0)
    model = build_model("slowonly_r50", None)
    recipe = zoo.build_published_recipe(model.entry)
    times = (2 + np.arange(options.clips) * model.entry.frame_interval / 30).round(6)
    boxes = pd.DataFrame([[t, 0.2, 0.2, 0.5, 0.9] for t in times], columns=["time_s", "x1", "y1", "x2", "y2"])
    fixed = dict(device="cpu", precision="float32", progress=False)

    def together():
        return avalib.detect(path, model, boxes=boxes, **fixed).score.to_numpy()

    def alone():
        form, found = FusedDetector(model, torch.float32), []
        with Video(path) as reader, torch.inference_mode():
            for t in times:
                numbers = compute_clip_frames(900 + t, 4, 16, reader.n_ava_frames, first=1)
                clip, box = resize_frames_and_boxes(
                    reader.read_ava_frames(numbers),
                    np.float32([[0.2, 0.2, 0.5, 0.9]]) * np.float32([reader.width, reader.height] * 2),
                    recipe.test_short_side,
                )
                rois = torch.tensor([[0, *box[0]]])
                clips = torch.from_numpy(clip)[None]  # (1,T,H,W,3)
                found.append(score_batch(form, model.entry, clips, rois, torch.device("cpu"))[:, 1:])
        return np.concatenate(found).ravel()

    far = np.abs(together() - alone()).max()
    seconds = time_alternately({"together": together, "alone": alone}, options.repeats, warm=0)
    what = "detect, slowonly_r50, clips that share 3 of 4 frames, each alone"
    note = f"{options.clips} clips, scores within {far:.0e}"
    return [compare(what, seconds["together"], seconds["alone"], "s", OVERLAP_AIM, note=note)]


if __name__ == "__main__":
    main()
