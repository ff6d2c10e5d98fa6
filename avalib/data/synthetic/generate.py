"""Rendering mini-AVA to disk: videos in parallel, then annotations, with a manifest that lets a broken run go on."""

import hashlib
import itertools
import json
import os
import zlib
from concurrent.futures import as_completed
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from avalib.data.ava_csv import write_ava_csv
from avalib.data.exclusions import write_exclusions
from avalib.data.label_map import write_label_map
from avalib.data.labels import get_action_names
from avalib.data.layout import DatasetLayout
from avalib.data.proposals import write_proposals
from avalib.data.synthetic.camera import Take
from avalib.data.synthetic.ground_truth import build_annotations
from avalib.data.synthetic.motions import ACTIONS
from avalib.data.synthetic.scenes import deal_roles, plan_video
from avalib.utils.disk_space import DiskFullError, check_free_space
from avalib.utils.files import compute_sha256, is_writable, write_json
from avalib.utils.interrupts import WorkerPool
from avalib.utils.temporary_files import clear_abandoned_parts, remove_abandoned_parts
from avalib.video.writer import write_mp4

VERSION = 7
CRF, GOP, PRESET = 24, 48, "superfast"
SPLITS = ("train", "val")
_RATES = (Fraction(30), Fraction(25), Fraction(30000, 1001), *[Fraction(30)] * 5)
_ID_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_BYTES_PER_SECOND = 100_000  # of video, generously; for the check of free space


@dataclass(frozen=True)
class Size:
    """How many videos, how long in seconds (shortest, longest), and of which of scenes.KINDS (none: all)."""

    train: int
    val: int
    seconds: tuple[float, float]
    kinds: tuple[str, ...] = ()


SIZES = {
    "tiny": Size(2, 1, (6.5, 8)),
    "mini": Size(31, 12, (28, 42)),
    "large": Size(240, 60, (40, 60)),
    "falls": Size(16, 6, (28, 42), ("falls",)),  # an experiment: falling and getting up, the same frames backwards
}


@dataclass(frozen=True)
class Spec:
    """One video to be: everything about it follows from `seed`."""

    video_id: str
    split: str
    suffix: str
    fps: Fraction
    n_frames: int
    seed: tuple[int, ...]
    kinds: tuple[str, ...]  # of its shots

    @property
    def file(self):
        return self.video_id + self.suffix


def list_videos(size="mini", seed=0):
    """The Specs of all videos of a size, train first. Raises ValueError for an unknown size."""
    if size not in SIZES:
        raise ValueError(f"size {size!r}: there are {', '.join(SIZES)}")
    found = []
    for s, split in enumerate(SPLITS):
        dealt = deal_roles(np.random.default_rng((seed, zlib.crc32(size.encode()), s)), SIZES[size].kinds)
        for i in range(getattr(SIZES[size], split)):
            key = (seed, zlib.crc32(size.encode()), s, i)
            rng = np.random.default_rng(key)
            name = "".join(_ID_LETTERS[k] for k in rng.integers(0, 64, 11))
            fps = _RATES[(i + 2 * s) % len(_RATES)]
            seconds = rng.uniform(*SIZES[size].seconds)
            kinds = tuple(itertools.islice(dealt, max(2, round(seconds / 5.2))))
            found.append(Spec(name, split, ".mkv" if s and not i else ".mp4", fps, round(seconds * fps), key, kinds))
    return found


def build_takes(spec):
    """The shots of one video, worked out: [(first frame, Take)]."""
    found, first, start = [], 0, 0.0
    for shot in plan_video(np.random.default_rng([*spec.seed, 1]), float(spec.n_frames / spec.fps), spec.kinds):
        last = min(round((start + shot.seconds) * spec.fps), spec.n_frames)
        found.append((first, Take(shot, (np.arange(first, last) / float(spec.fps)) - start)))
        first, start = last, start + shot.seconds
    return found


def iter_frames(spec):
    """Yield one video's frames, (240,320,3) uint8 RGB, as they are before encoding."""
    return _frames(spec, build_takes(spec))


def _frames(spec, shots):
    noise = np.random.default_rng([*spec.seed, 2])
    for _, take in shots:
        for i in range(len(take.times)):
            yield take.draw(i, noise)


def make_video(spec, folder):
    """Write one video; returns its entry in the manifest and its annotations."""
    digest, shots = hashlib.sha256(), build_takes(spec)

    def hashed():
        for frame in _frames(spec, shots):
            digest.update(frame)
            yield frame

    path = write_mp4(folder / spec.file, hashed(), spec.fps, CRF, GOP, preset=PRESET, threads=1)
    entry = {"file": spec.file, "split": spec.split, "fps": str(spec.fps), "frames": spec.n_frames}
    entry |= {"bytes": path.stat().st_size, "pixels_sha256": digest.hexdigest()}
    return entry, annotate_video(spec, shots)


def annotate_video(spec, shots=None):
    """Rows (truth, excluded, proposals) of one video, without drawing it; see annotate.annotate."""
    rng = np.random.default_rng([*spec.seed, 3])
    return build_annotations(shots or build_takes(spec), float(spec.fps), spec.n_frames, rng)


def render_dataset(root, size="mini", seed=0, workers=None, progress=True):
    """Render a mini-AVA of a named size into folder `root`; -> annotations.Layout.

    The same size and seed give the same annotations byte for byte and the same pixels before encoding, however many
    `workers` (processes; None: one a core) make them. A broken run goes on where it was; a finished one returns at
    once.
    Raises ValueError for an unknown size or a folder that holds another one; OSError when there is no space for it.
    """
    specs, layout = list_videos(size, seed), DatasetLayout(Path(root), "mini")
    manifest = _Manifest(layout, size, seed)
    todo = [spec for spec in specs if not manifest.has(spec)]
    if not todo and manifest.complete():
        return layout
    if not is_writable(layout.videos):
        raise PermissionError(
            f"{layout.root} can't be written, and {len(todo)} of {len(specs)} videos are not there yet. "
            "Choose another folder: root, or AVALIB_DATA."
        )
    clear_abandoned_parts(layout.root, layout.videos, layout.annotations, layout.get_proposals_path("train").parent)
    n_frames = sum(spec.n_frames for spec in todo)
    bar = tqdm(total=n_frames, unit=" frames", desc=f"render {size}", disable=not progress)
    seconds = sum(float(spec.n_frames / spec.fps) for spec in todo)
    check_free_space(layout.root, int(seconds * _BYTES_PER_SECOND) + 5_000_000, "for the videos")
    with bar, RenderPool(workers, todo, layout.videos) as jobs:
        made = dict(jobs.each(annotate_video, [spec for spec in specs if spec not in todo]))
        for spec, (entry, rows) in jobs.each(make_video, todo, layout.videos):
            manifest.add(spec, entry)
            made[spec] = rows
            bar.update(spec.n_frames)
        _write_tables(layout, {spec: made[spec] for spec in specs})
        manifest.finish(specs)
    return layout


class RenderPool:
    """Runs jobs in `workers` processes, or right here when the work is small; says which video failed."""

    def __init__(self, workers, specs, folder):
        small = workers is None and sum(spec.n_frames for spec in specs) < 1500
        self.workers = 1 if small else min(workers or os.cpu_count() or 1, max(len(specs), 1))
        self.folder, self.pool = folder, None

    def __enter__(self):
        if self.workers > 1:
            self.pool = WorkerPool(self.workers)
        return self

    def each(self, job, specs, *rest):
        """Yield (spec, job(spec, *rest)) as they are done."""
        if self.pool is None:
            for spec in specs:
                yield spec, _named(spec, lambda spec=spec: job(spec, *rest))
            return
        running = {self.pool.submit(job, spec, *rest): spec for spec in specs}
        for future in as_completed(running):
            yield running[future], _named(running[future], future.result)

    def __exit__(self, kind, error, trace):
        """After an interruption or a failure the videos under way are not waited for, and leave nothing behind."""
        if self.pool is None:
            return
        self.pool.__exit__(kind, error, trace)
        if kind:
            remove_abandoned_parts(self.folder)  # the terminated processes'


def _named(spec, call):
    """call(), its errors with the video's name."""
    try:
        return call()
    except DiskFullError:
        raise  # names the file, and what to do
    except OSError as error:
        raise OSError(error.errno, f"rendering video {spec.file} failed: {error.strerror or error}") from error
    except Exception as error:
        raise RuntimeError(f"rendering video {spec.file} ({spec.split}, seed {spec.seed}) failed: {error}") from error


def _write_tables(layout, made):
    """Write csv's, exclusions, proposals and label maps from {spec: annotate(…)}."""
    layout.annotations.mkdir(parents=True, exist_ok=True)
    layout.get_proposals_path("train").parent.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        columns = {0: ["timestamp", "x1", "y1", "x2", "y2", "action_id", "person_id"], 1: ["timestamp"]}
        columns[2] = ["timestamp", "x1", "y1", "x2", "y2", "score"]
        tables = []
        for part in range(3):
            rows = [(s.video_id, *np.atleast_1d(r)) for s, m in made.items() if s.split == split for r in m[part]]
            table = pd.DataFrame(rows, columns=["video_id", *columns[part]])
            whole = {c: np.int64 for c in ("action_id", "person_id") if c in table}
            tables.append(table.astype({"video_id": str, "timestamp": np.float64} | whole))
        write_ava_csv(tables[0], layout.get_csv_path(split))
        write_exclusions(tables[1], layout.get_exclusions_path(split))
        write_proposals(tables[2], layout.get_proposals_path(split))
    write_label_map(get_action_names(), layout.label_map_path)
    write_label_map({i: get_action_names()[i] for i in ACTIONS}, layout.evaluated_label_map_path)


class _Manifest:
    """manifest.json: what was made from what, with hashes; rewritten after every video."""

    def __init__(self, layout, size, seed):
        self.layout, self.path = layout, layout.root / "manifest.json"
        self.head = {"dataset": "mini-AVA", "size": size, "seed": seed, "version": VERSION}
        self.known = (
            json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {**self.head, "videos": {}}
        )
        for key in ("size", "seed"):
            if self.known.get(key) != self.head[key]:
                raise ValueError(
                    f"{layout.root} holds {key} {self.known.get(key)!r}, {self.head[key]!r} was asked for; "
                    "choose another folder or delete this one"
                )
        if self.known["version"] != VERSION:  # an older renderer's: everything is made anew
            self.known = {**self.head, "videos": {}}

    def has(self, spec):
        entry, path = self.known["videos"].get(spec.video_id), self.layout.videos / spec.file
        return entry is not None and path.is_file() and path.stat().st_size == entry["bytes"]

    def _tables(self):
        files = [
            f(s)
            for s in SPLITS
            for f in (self.layout.get_csv_path, self.layout.get_exclusions_path, self.layout.get_proposals_path)
        ]
        return [*files, self.layout.label_map_path, self.layout.evaluated_label_map_path]

    def complete(self):
        """Whether the annotation files are there as they were written."""
        hashes = self.known.get("files", {})
        return bool(hashes) and all(
            path.is_file() and compute_sha256(path) == hashes.get(path.name) for path in self._tables()
        )

    def add(self, spec, entry):
        self.known["videos"][spec.video_id] = entry
        self._save()

    def finish(self, specs):
        self.known["videos"] = {s.video_id: self.known["videos"][s.video_id] for s in specs}
        self.known["files"] = {path.name: compute_sha256(path) for path in self._tables()}
        self._save()

    def _save(self):
        write_json(self.path, self.known)
