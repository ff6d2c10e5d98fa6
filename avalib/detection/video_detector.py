"""Who does what in a video: any file or URL, of any length, to a table. A function, a module and a command in one.

detections = avalib.detect("video.mp4", checkpoint="published")
python -m avalib.detection.video_detector video.mp4 --model slowfast_r50 --checkpoint published --out overlay.mp4 --csv detections.csv
"""

import argparse
import itertools
import math
import re
import sys
import time
import warnings
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from avalib import zoo
from avalib.data.row_checks import BOX_COLUMNS
from avalib.detection.given_boxes import PERSON_SCORE, read_given_boxes
from avalib.detection.person_detector import DETECTORS, PersonDetector
from avalib.detection.video_location import locate_video
from avalib.draw.video_overlay import get_overlay_path, write_overlay_video
from avalib.evaluation.inference import build_non_finite_error, score_batch
from avalib.models.build import build_model
from avalib.models.checkpoint import CheckpointMeta
from avalib.models.cpu.shared_frames import StreamingDetector
from avalib.models.detector import Detector
from avalib.utils.boxes import build_rois, to_pixels
from avalib.utils.console import allow_any_text
from avalib.utils.device import choose_device, choose_precision
from avalib.utils.errors import AvalibError
from avalib.utils.files import write_table
from avalib.utils.tracker import Tracker
from avalib.utils.workers import disable_malloc_trim
from avalib.video.clip_stream import ClipStream
from avalib.video.reader import Video

COLUMNS = ["time_s", "frame", "person_id", *BOX_COLUMNS, "action_id", "action", "score"]


def detect(
    video, model="slowonly_r50", checkpoint="published", boxes=None, *, step=None, start=0.0, stop=None,
    detector="fasterrcnn", detector_weights="coco", person_score=PERSON_SCORE, smooth=0.0, score_threshold=0.0,
    batch_size=None, device="auto", precision="auto", mirror=None, progress=True, boxes_start=None,
):  # fmt: skip
    """Find people and their actions in a video. -> DataFrame, one row per (time, person, action): time_s, frame,
    person_id, x1, y1, x2, y2 (0..1), action_id, action, score (0..1), in this order of columns and rows.

    video: a file or a URL (downloaded once). model, checkpoint: as build_model's; model may be a Detector, or None
    where the checkpoint carries its entry; actions' names and the pictures' size are those inside the checkpoint.
    boxes: None, people are found by `detector` with `detector_weights` (persons.build_detector); or a table, a csv, a
    parquet or AVA's proposals (given_boxes.read_boxes). boxes_start: their timestamp at the video's first frame, AVA's
    900 or 0 in data of one's own; None: told by the file, or by the timestamps. person_score: people with a lower score
    of their own are left out.
    step: seconds from one time to the next: None is 1, or every time of the given boxes. start, stop: seconds.
    smooth: scores are averaged along a person's track over so many seconds. score_threshold: lower rows are left out.
    batch_size: clips, and pictures to find people in, at once; None is 8 on a GPU, else 1, which keeps memory low.

    time_s counts from the video's first frame, frame (native, from 0) is shown then. person_id lasts while a person can
    be followed; it ends at cuts. table.attrs: video, fps, duration_s, cuts_s, skipped_s (times whose clip can't be
    decoded), label_map, notes. Interrupted, it gives what it has and says with which start to go on.
    Raises VideoError, FetchError, CheckpointError, KeyError, ValueError.
    """
    _check_numbers(
        step=(step, "seconds above 0, at least 0.001", lambda v: v >= 0.001),
        start=(start, "seconds", lambda v: True),
        stop=(stop, "seconds", lambda v: True),
        smooth=(smooth, "seconds, 0 or more", lambda v: v >= 0),
        person_score=(person_score, "a number", lambda v: True),
        score_threshold=(score_threshold, "a number", lambda v: True),
        batch_size=(batch_size, "a whole number from 1", lambda v: v >= 1 and v == int(v)),
    )
    with Video(locate_video(video, mirror=mirror, progress=progress)) as reader:
        given = None if boxes is None else read_given_boxes(boxes, reader, person_score, boxes_start)
        times = choose_times(reader, given, step, start, stop)
        job = VideoDetector(*load_detector(model, checkpoint, device, precision, mirror, progress), given, smooth)
        job.batch_size = batch_size or (8 if job.device.type == "cuda" else 1)
        if given is None:
            options = dict(device=job.device, mirror=mirror, progress=progress)
            job.find = PersonDetector(detector, detector_weights, person_score, **options)
        job.run(reader, times, progress)
        if progress:
            print(job.notes[-1])
        return job.table(reader, score_threshold)


def _check_numbers(**options):
    """Raise ValueError for an option that isn't None and not the number that is expected: name=(value, words, test)."""
    for name, (value, expected, fits) in options.items():
        number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if value is not None and not (number and math.isfinite(value) and fits(value)):
            raise ValueError(f"{name}={value!r}: expected {expected}")


def load_detector(model, checkpoint, device="auto", precision="auto", mirror=None, progress=True):
    """(Detector on its device, short side, {action_id: name}, device, dtype), by what the checkpoint says of itself."""
    if checkpoint in ("best", "final") and not Path(checkpoint).exists():
        name = getattr(model, "alias", model)
        raise ValueError(
            f"checkpoint={checkpoint!r}: notebook 03's run can't be told from the word alone; give its file, as in "
            f"outputs/runs/mini/{name}/train/{checkpoint}.pth"
        )
    device = choose_device(device)
    disable_malloc_trim()
    if not isinstance(model, Detector):
        model = build_model(model, checkpoint, mirror=mirror, progress=progress, verbose=progress)
    meta = model.meta or CheckpointMeta()
    recipe = meta.recipe or zoo.build_published_recipe(model.entry)
    short_side = meta.preprocessing.get("short_side", recipe.test_short_side)
    return model.to(device).eval(), short_side, meta.label_map, device, choose_precision(precision, device)


def choose_times(reader, given, step, start, stop):
    """The times (M,) to look at: every `step` seconds, or those of the given boxes, at least `step` apart."""
    stop = reader.duration_s if stop is None else min(stop, reader.duration_s)
    if not 0 <= start < stop:
        raise ValueError(f"start={start}, stop={stop:g}: {reader.path} has the seconds 0 to {reader.duration_s:.2f}")
    if given is None:
        return start + np.arange(int(np.ceil((stop - start) / (step or 1) - 1e-9))) * (step or 1)
    chosen = []
    for t in np.unique(given["time_s"]):
        if start <= t <= stop and (not chosen or t >= chosen[-1] + (step or 0) - 1e-6):
            chosen.append(t)
    return np.array(chosen)


@dataclass
class VideoDetector:
    """One video on its way through a model. `find`: pictures -> people, where their boxes aren't given."""

    model: Detector
    short_side: int
    label_map: dict
    device: torch.device
    dtype: torch.dtype
    given: pd.DataFrame | None
    smooth: float
    batch_size: int = 1
    find: object = None
    network: StreamingDetector | None = None
    found: list = field(default_factory=list)  # (time_s, frame, ids (n,), boxes (n,4), scores (n,C)) of each time
    skipped: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    cuts_s: list = field(default_factory=list)

    def run(self, reader, times, progress):
        """Fill `found` and `notes`, in batches, in order of time."""
        began, entry, shot = time.time(), self.model.entry, 0
        self.network = StreamingDetector(self.model, self.dtype)
        step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
        tracker, done = Tracker(2.5 * max(step, 1)), 0  # somebody hidden once is still known
        bar = tqdm(unit="frame", desc=f"watching {reader.path.name}", disable=not progress)
        clips = ClipStream(reader, times, entry.clip_len, entry.frame_interval, self.short_side, bar.update)
        bar.total, moments = clips.n_frames, iter(clips)
        try:
            while batch := list(itertools.islice(moments, self.batch_size)):
                for moment, (ids, people), scores in zip(batch, *self._batch(batch), strict=True):
                    if moment.shot != shot:
                        tracker.reset()
                        shot = moment.shot
                    ids = tracker.update(moment.time_s, people) if ids is None else ids
                    self.found.append((moment.time_s, moment.frame, ids, people, scores))
                done += len(batch)
        except KeyboardInterrupt:
            self.notes.append(f"interrupted; start={round(float(times[done]), 6):.12g} goes on from here")
        bar.close()
        self.cuts_s = clips.cuts_s
        self._describe(reader, clips.n_read, time.time() - began)

    def _batch(self, batch):
        """[(ids or None, boxes (n,4))] and [scores (n,C)] of some Moments; none for a time that can't be decoded."""
        self.skipped += [m.time_s for m in batch if m.clip is None]
        whole = [m for m in batch if m.clip is not None]
        people = dict(zip([m.time_s for m in whole], self._people(whole), strict=True))
        whole = [m for m in whole if len(people[m.time_s][1])]
        scores = {}
        if whole:
            clips = torch.from_numpy(np.stack([m.clip for m in whole]))
            height, width = clips.shape[2:4]
            rois = build_rois([to_pixels(people[m.time_s][1], width, height) for m in whole])
            network = partial(self.network, numbers=np.stack([m.clip_frames for m in whole]))
            every = score_batch(network, clips, torch.from_numpy(rois), self.device)
            if np.isnan(every).any():
                raise build_non_finite_error(self.model, f"the clips at {', '.join(f'{m.time_s:g}' for m in whole)} s")
            scores = {m.time_s: every[rois[:, 0] == i] for i, m in enumerate(whole)}
        nobody = None, np.zeros((0, 4))
        return [people.get(m.time_s, nobody) for m in batch], [scores.get(m.time_s, ()) for m in batch]

    def _people(self, moments):
        if self.given is None:
            return [(None, people) for people, _ in self.find([m.picture for m in moments])]
        rows = [self.given[self.given["time_s"] == m.time_s] for m in moments]
        known = "person_id" in self.given
        return [(r["person_id"].to_numpy() if known else None, r[BOX_COLUMNS].to_numpy()) for r in rows]

    def _describe(self, reader, frames, seconds):
        """Notes on what is missing, as warnings too, and how fast it went."""
        if reader.missing_frames:
            self.notes.append(f"truncated: {reader.missing_frames} frames that the file's header promises aren't there")
        if self.skipped:
            some = ", ".join(f"{t:g}" for t in self.skipped[:8]) + (" …" if len(self.skipped) > 8 else "")
            self.notes.append(f"{len(self.skipped)} times left out, frames around them can't be decoded: {some} s")
        for note in self.notes:
            warnings.warn(f"{reader.path.name}: {note}", stacklevel=4)
        count = sum(len(found[2]) for found in self.found)
        people = len(set().union(*(found[2].tolist() for found in self.found)))
        self.notes.append(
            f"{frames} frames in {seconds:.1f} s, {frames / max(seconds, 1e-9):.0f} frames/s; {len(self.found)} times, "
            f"{people} people, {count} boxes, {len(self.cuts_s)} cuts"
        )

    def table(self, reader, score_threshold):
        """The DataFrame that `detect` gives."""
        found = [f for f in self.found if len(f[2])]
        count = [len(f[2]) for f in found]
        time_s = np.repeat([f[0] for f in found], count).astype(float)
        frame = np.repeat([f[1] for f in found], count).astype(np.int64)
        ids = np.concatenate([f[2] for f in found] or [np.zeros(0)]).astype(np.int64)
        people = np.concatenate([f[3] for f in found] or [np.zeros((0, 4))])
        actions = np.array(sorted(self.label_map), np.int64)
        scores = np.concatenate([f[4][:, actions] for f in found] or [np.zeros((0, len(actions)), np.float32)])
        if self.smooth:
            scores = smooth_scores(scores, time_s, ids, self.smooth)
        person, action = np.nonzero(scores >= score_threshold)
        columns = [time_s[person], frame[person], ids[person], *people[person].T, actions[action]]
        names = np.array([self.label_map[a] for a in actions.tolist()], object)[action]
        table = pd.DataFrame(dict(zip(COLUMNS, [*columns, names, scores[person, action].astype(float)], strict=True)))
        table.attrs = {
            "video": reader.path.name, "fps": reader.fps, "duration_s": reader.duration_s, "cuts_s": list(self.cuts_s),
            "skipped_s": list(self.skipped), "label_map": dict(self.label_map), "notes": list(self.notes),
        }  # fmt: skip
        return table


def smooth_scores(scores, time_s, person_ids, seconds):
    """scores (P,C) averaged over each person's rows within `seconds`/2 before and after."""
    out = np.empty_like(scores)
    for person in np.unique(person_ids):
        rows = np.flatnonzero(person_ids == person)
        rows = rows[np.argsort(time_s[rows], kind="stable")]
        times, half = time_s[rows], seconds / 2 + 1e-6
        sums = np.concatenate([np.zeros((1, scores.shape[1])), np.cumsum(scores[rows], axis=0, dtype=np.float64)])
        low, high = np.searchsorted(times, times - half), np.searchsorted(times, times + half, side="right")
        out[rows] = (sums[high] - sums[low]) / (high - low)[:, None]
    return out


def write_detections(table, path):
    """Write `detect`'s table as csv: times to the millisecond, the other numbers to five digits. Returns the path."""
    rounded = {"time_s": table["time_s"].map("{:.3f}".format)}
    rounded |= {c: table[c].map("{:.5g}".format) for c in (*BOX_COLUMNS, "score")}
    return write_table(table.assign(**rounded), path)


# --- the command ------------------------------------------------------------------------------------------------------


def build_arguments(words):
    parser = argparse.ArgumentParser(
        "python -m avalib.detection.video_detector", description="Who does what in a video."
    )
    parser.add_argument("video", help="a file or a URL")
    parser.add_argument("--model", default="slowonly_r50", help="a row of the zoo")
    parser.add_argument("--checkpoint", default="published", help="published, a path or a URL")
    parser.add_argument("--boxes", help="person boxes: a csv, or AVA's proposals; default: found by --detector")
    parser.add_argument("--detector", default="fasterrcnn", help=", ".join(DETECTORS))
    parser.add_argument("--detector-weights", default="coco", help="coco, a path or a URL")
    parser.add_argument("--out", help="the video with boxes and labels: .mp4 or .gif")
    parser.add_argument("--csv", help="the table")
    parser.add_argument("--top-k", type=int, default=3, help="actions of a person drawn on --out")
    parser.add_argument("--draw-threshold", type=float, default=0.3, help="scores below it aren't drawn on --out")
    parser.add_argument("--width", type=int, help="of --out, pixels")
    for name, kind, default, text in (
        ("step", float, None, "seconds from one time to the next (1, or the times of --boxes)"),
        ("start", float, 0.0, "second to begin at"),
        ("stop", float, None, "second to end at"),
        ("person-score", float, PERSON_SCORE, "people with a lower score are left out"),
        ("smooth", float, 0.0, "average scores along a track over so many seconds"),
        ("score-threshold", float, 0.0, "rows with a lower score are left out of the table"),
        ("boxes-start", float, None, "timestamp of --boxes at the video's first frame: AVA's 900, or 0"),
        ("batch-size", int, None, "clips at once; 8 on a GPU, else 1"),
        ("device", str, "auto", "cpu, cuda, mps"),
        ("precision", str, "auto", "float32, bfloat16, float16"),
    ):
        parser.add_argument(f"--{name}", type=kind, default=default, help=text)
    return vars(parser.parse_args(words))


def main(words=None):
    """The command; -> its exit status."""
    given = build_arguments(words)
    out, csv = (given.pop(name) for name in ("out", "csv"))
    drawn = {name: given.pop(name) for name in ("top_k", "width")} | {"score_threshold": given.pop("draw_threshold")}
    try:
        out = out and get_overlay_path(out)
        table = detect(**given)
        if csv:
            write_detections(table, csv)
        if out:
            write_overlay_video(out, given["video"], table, start=given["start"], stop=given["stop"], **drawn)
    except (OSError, ValueError, KeyError, AvalibError) as error:
        message = str(error.args[0] if isinstance(error, KeyError) else error)
        print(f"error: {_as_options(message, given)}", file=sys.stderr)
        return 1
    best = table.sort_values("score", ascending=False).drop_duplicates(["time_s", "person_id"]).sort_values("time_s")
    print(best.head(20).to_string(index=False, float_format="%.2f"))
    for file in filter(None, (csv, out)):
        print(f"written: {Path(file)}")
    return 0


def _as_options(message, names):
    """A message with the function's parameters (`step=0`) as the command spells them (`--step 0`)."""
    found = rf"(?<![\w-])({'|'.join(names)})=(?=\S)"
    return re.sub(found, lambda match: f"--{match[1].replace('_', '-')} ", message)


if __name__ == "__main__":
    allow_any_text()
    raise SystemExit(main())
