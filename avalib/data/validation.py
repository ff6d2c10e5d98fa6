"""The data doctor: is a data set all there and right? One table, one verdict, a json.

    avalib.check("ava2.1")          or of a Layout; also a section of notebook 01

Every video is opened and some of its frames (or all) are decoded, every annotation is looked at, person boxes are held
against the ground truth, counts against the official ones. Nothing is changed or downloaded.
"""

import os
from dataclasses import dataclass

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from avalib.data.ava_csv import read_ava_csv
from avalib.data.catalog import find_dataset
from avalib.data.exclusions import read_exclusions
from avalib.data.label_map import read_label_map
from avalib.data.labels import get_action_names, get_evaluated_actions
from avalib.data.lint import lint_csv
from avalib.data.proposals import read_proposals
from avalib.utils.files import write_json
from avalib.utils.workers import run_parallel
from avalib.video.frame_numbers import to_frame_number
from avalib.video.frame_source import open_video
from avalib.video.video_error import VideoError

KEY, BOX = ["video_id", "timestamp"], ["x1", "y1", "x2", "y2"]
FIRST, LAST = 902, 1798  # the seconds that AVA annotates
FRAMES, NEEDED = 27030, 26941  # of a cut; up to the last keyframe
# videos, keyframes at most, rows; (AVA v2.1's; v2.2 has the same videos and more rows). None: not known here
OFFICIAL_COUNTS = {"train": (235, 235 * 897, {"v2.1": 837_318}), "val": (64, 64 * 897, {})}
REAL = ("v2.1", "v2.2")
FROZEN = 8  # numbers that one frame may fill before it is said; at 5 frames a second it fills six
MAX_LOST_SHARE = 0.01  # the share of keyframes that training goes on without


@dataclass
class DatasetReport:
    """What the doctor found. table: check, split, found, expected, status ("ok", "note", "wrong"); videos: a row each;
    findings: the odd rows of the csv files, as lint_csv lists them; verdict: one sentence; ok: nothing is wrong.
    """

    table: pd.DataFrame
    videos: pd.DataFrame
    findings: pd.DataFrame
    verdict: str

    @property
    def ok(self):
        return not (self.table.status == "wrong").any()

    def save(self, path):
        """Write all of it as json; returns the path."""
        tables = {name: getattr(self, name).to_dict("records") for name in ("table", "videos", "findings")}
        return write_json(path, {"verdict": self.verdict, "ok": self.ok, **tables}, default=str)

    def __repr__(self):
        return f"{self.table.to_string(index=False, max_colwidth=70)}\n\n{self.verdict}"

    def _repr_html_(self):
        return f"{self.table.to_html(index=False)}<p><b>{self.verdict}</b></p>"


def check(dataset, root=None, decode="some", workers=None, progress=True):
    """Look a data set through. -> Checkup.

    dataset: a name (see sources.prepare) or a Layout; root: its folder, where that isn't the usual one. decode: "some"
    (five frames of every video, first and last among them) or "all" (every AVA-numbered frame: an hour and more of one
    core for ten videos of AVA). Raises FileNotFoundError without annotations.
    """
    if decode not in ("some", "all"):
        raise ValueError(f'decode {decode!r}: expected "some" or "all"')
    layout = find_dataset(dataset, root) if isinstance(dataset, str) else dataset
    for split in ("train", "val"):
        if not layout.get_csv_path(split).is_file():
            raise FileNotFoundError(
                f"{layout.get_csv_path(split)}: no annotations; prepare or import the data set first"
            )
    truth = {split: read_ava_csv(layout.get_csv_path(split), "ground_truth") for split in ("train", "val")}
    videos = inspect_videos(layout, truth, decode, workers, progress)
    rows, findings = list(_video_rows(layout, videos)), []
    for split, table in truth.items():
        odd = _odd_rows(layout, split)
        findings.append(odd.assign(split=split))
        rows += _count_rows(layout, split, table)
        rows += _annotation_rows(layout, split, table, odd)
        rows += _proposal_rows(layout, split, table)
    rows += _map_rows(layout)
    rows += _both_rows(layout, truth)
    if layout.version in REAL:
        there = layout.get_proposals_path("test").is_file()
        found = "person boxes are there" if there else "no person boxes"
        rows.append(("test", "test", found, "its labels were never published", "note"))
    table = pd.DataFrame(rows, columns=["check", "split", "found", "expected", "status"])
    return DatasetReport(table, videos, pd.concat(findings, ignore_index=True), _verdict(table, videos))


def _verdict(table, videos):
    wrong = table[table.status == "wrong"]
    lost, every = int(videos.lost.sum()), int(videos.keyframes.sum())
    if not len(wrong):
        return f"All right: {len(videos)} videos, {every:,} keyframes." + (
            f" {lost} keyframes are lost with their frames; training goes on without them." if lost else ""
        )
    named = "; ".join(f"{row.check} ({row.split}): {row.found}" for row in wrong.itertuples())
    return f"Not right, {len(wrong)} of {len(table)} checks: {named}"


# --- videos -----------------------------------------------------------------------------------------------------------


VIDEO_COLUMNS = [
    "split", "video_id", "file", "fps", "width", "height", "seconds", "frames", "keyframes", "lost", "decode_errors",
    "misnumbered", "problem",
]  # fmt: skip


def inspect_videos(layout, truth, decode="some", workers=None, progress=True):
    """A row a video: split, video_id, file, fps, width, height, seconds, frames (AVA numbers), keyframes, lost (of
    them, for want of frames), decode_errors (of the frames that were decoded), misnumbered (a folder with another count
    of jpgs than the recipe's extraction makes), problem (in words, or "").
    """
    jobs = {
        (split, video_id): (layout, video_id, split, rows.timestamp.unique(), decode)
        for split, table in truth.items()
        for video_id, rows in table.groupby("video_id", sort=False)
    }
    workers = workers or (1 if len(jobs) < 50 else os.cpu_count())
    found = {}
    with tqdm(total=len(jobs), desc="looking at videos", unit="video", disable=not progress) as bar:
        for key, outcome in run_parallel(inspect_video, workers, jobs):
            found[key] = outcome()
            bar.update()
    return pd.DataFrame([found[key] for key in jobs], columns=VIDEO_COLUMNS)


def inspect_video(layout, video_id, split, timestamps, decode="some"):
    """One row of `look_at_videos`, as a dict."""
    row = {"split": split, "video_id": video_id, "file": "", "fps": np.nan, "width": 0, "height": 0, "seconds": 0.0}
    row |= {"frames": 0, "keyframes": len(timestamps), "lost": len(timestamps), "decode_errors": 0}
    row |= {"misnumbered": False, "problem": ""}
    try:
        with open_video(layout, video_id) as opened:
            n = opened.n_ava_frames
            row |= {"file": opened.path.name, "width": opened.width, "height": opened.height, "frames": n}
            row |= {"fps": round(getattr(opened, "fps", 30.0), 3)}
            row |= {"seconds": round(getattr(opened, "duration_s", n / 30), 2)}
            bad = _undecodable(opened, decode)
            late = to_frame_number(timestamps, layout.start_s)
            row |= {"lost": int(((late > n) | np.isin(late, bad)).sum()), "decode_errors": len(bad)}
            row["misnumbered"] = layout.version in REAL and opened.path.is_dir() and abs(n - FRAMES) > 30
            row["problem"] = _problem(layout, opened, bad)
    except OSError as error:
        row["problem"] = str(error)
    row["problem"] = row["problem"].replace(f"{layout.root}{os.sep}", "")  # the report names no place of this machine
    return row


def _problem(layout, opened, bad):
    n, words = opened.n_ava_frames, []
    if torn := getattr(opened, "missing_frames", 0):
        words.append(f"truncated: {torn} frames less than its header promises")
    if bad:
        words.append(f"frame {bad[0]} can't be decoded" + (f", nor {len(bad) - 1} others" if bad[1:] else ""))
    if hasattr(opened, "ava_index"):
        starts = np.flatnonzero(np.diff(opened.ava_index, prepend=-1))
        runs = np.diff(starts, append=n)
        if (longest := runs.max()) >= FROZEN:
            at = starts[runs.argmax()] + 1
            words.append(f"one frame fills the numbers {at} to {at + longest - 1}: are there frames missing?")
    if layout.version in REAL and abs(n - FRAMES) > 30:
        how = (
            " (not numbered as ffmpeg numbers them? OpenCV leaves out repeated frames)" if opened.path.is_dir() else ""
        )
        words.append(f"{n:,} frames, {FRAMES:,} belong there{how}")
    return "; ".join(words)


def _undecodable(opened, decode):
    """The AVA numbers, of all or of five, whose frames can't be decoded."""
    if decode == "some":
        return [n for n in np.unique(np.linspace(1, opened.n_ava_frames, 5).astype(int)).tolist() if _fails(opened, n)]
    try:
        for _ in opened.iter_ava_frames():  # in order, each once
            pass
        return []
    except VideoError:
        return [n for n in range(1, opened.n_ava_frames + 1) if _fails(opened, n)]


def _fails(opened, n):
    try:
        opened.read_ava_frames([n])
        return False
    except VideoError:
        return True


def _video_rows(layout, videos):
    for split, rows in videos.groupby("split", sort=False):
        broken, lost = rows[rows.problem != ""], int(rows.lost.sum())
        n = f"{len(rows) - (rows.frames == 0).sum()} of {len(rows)}"
        yield "videos that can be read", split, n, len(rows), "ok" if (rows.frames > 0).all() else "note"
        listed = "; ".join(f"{r.video_id}: {r.problem}" for r in broken[:5].itertuples())
        listed += f"; and {len(broken) - 5} more" if len(broken) > 5 else ""
        status = "wrong" if rows.misnumbered.any() else "note" if len(broken) else "ok"
        yield "videos with a problem", split, listed or "none", "none", status
        share = lost / max(rows.keyframes.sum(), 1)
        status = "wrong" if share > MAX_LOST_SHARE else "note" if lost else "ok"
        yield "keyframes without frames", split, f"{lost} ({share:.2%})", f"at most {MAX_LOST_SHARE:.0%}", status
        shapes = rows[rows.frames > 0]
        rates = ", ".join(f"{fps:g}" for fps in sorted(shapes.fps.unique())[:8])
        sides = shapes[["width", "height"]].min(axis=1)
        size = f"short side {sides.min()} to {sides.max()}, {rates} fps" if len(shapes) else "-"
        yield "size and rate", split, size, "", "ok"


# --- annotations ------------------------------------------------------------------------------------------------------


def _count_rows(layout, split, table):
    videos, keyframes, rows = OFFICIAL_COUNTS[split] if layout.version in REAL else (None, None, {})
    found = table.video_id.nunique()
    yield "videos", split, found, videos or "", "ok" if found == (videos or found) else "wrong"
    found = len(table[KEY].drop_duplicates())
    most = f"at most {keyframes:,}" if keyframes else ""
    yield "keyframes", split, f"{found:,}", most, "ok" if found <= (keyframes or found) else "wrong"
    yield "boxes (people)", split, f"{len(table[KEY + BOX].drop_duplicates()):,}", "", "ok"
    expected = rows.get(layout.version)
    said = f"{expected:,}" if expected else ""
    yield "labels (rows)", split, f"{len(table):,}", said, "ok" if len(table) == (expected or len(table)) else "wrong"


def _odd_rows(layout, split):
    """What the linter finds, by the data set's own classes and seconds."""
    if layout.version != "own":
        return lint_csv(layout.get_csv_path(split), "ground_truth")
    seconds = (layout.start_s, float("inf"))  # ends differ from video to video: see "keyframes without frames"
    odd = lint_csv(layout.get_csv_path(split), "ground_truth", label_map=layout.load_label_map(), seconds=seconds)
    return odd[~odd.problem.str.startswith("timestamp isn't spelt")].reset_index(drop=True)  # keyframes at any time


def _both_rows(layout, truth):
    """Videos, and keyframes, that are in both splits. Of one's own data, a video may be divided in time."""
    both = sorted(set(truth["train"].video_id) & set(truth["val"].video_id))
    divided = "note" if layout.version == "own" else "wrong"
    yield "videos in train and in val", "", ", ".join(both) or "none", "none", divided if both else "ok"
    if layout.version == "own":
        keyframes = [truth[split][KEY].drop_duplicates() for split in ("train", "val")]
        twice = len(keyframes[0].merge(keyframes[1], on=KEY))
        yield "keyframes in train and in val", "", twice, 0, "wrong" if twice else "ok"
        for split, table in zip(("train", "val"), keyframes, strict=True):
            if not len(table):
                yield "keyframes at all", split, 0, "some", "wrong"


def _annotation_rows(layout, split, table, odd):
    for finding in odd.itertuples():
        serious = "can't be read" in finding.problem or "action_id" in finding.problem or "x2 < x1" in finding.problem
        found = f"{finding.rows} rows, first at line {finding.lines[0]} ({finding.example})"
        yield finding.problem, split, found, "none", "wrong" if serious else "note"
    yield "odd rows in all", split, int(odd.rows.sum()), 0, "note" if len(odd) else "ok"
    if not table.x1.notna().any():
        yield "keyframes with boxes", split, 0, "at least 1", "wrong"
    known = set(read_label_map(layout.label_map_path))
    strange = sorted(set(table.action_id) - known - {0})
    yield "actions not in the label map", split, strange or "none", "none", "wrong" if strange else "ok"
    if layout.version in REAL:
        out = int(((table.timestamp < FIRST) | (table.timestamp > LAST)).sum())
        yield "rows outside 902..1798 s", split, out, 0, "wrong" if out else "ok"
    excluded = read_exclusions(layout.get_exclusions_path(split))
    both = len(excluded.merge(table[KEY].drop_duplicates(), on=KEY))
    strangers = sorted(set(excluded.video_id) - set(table.video_id))
    found = f"{len(excluded)}, {both} of them annotated" + (f"; unknown videos {strangers[:3]}" if strangers else "")
    yield "excluded seconds", split, found, "", "note" if strangers else "ok"


def _map_rows(layout):
    found, names = read_label_map(layout.label_map_path), get_action_names()
    if layout.version == "own":
        yield "label map", "", f"{len(found)} actions", "", "ok"
        return
    other = [i for i, name in found.items() if names.get(i) != name]
    said = f"{len(found)} actions" + (f", other names for {other[:5]}" if other else "")
    same = found.keys() == names.keys()
    yield "label map", "", said, "80 actions", "note" if other and same else "ok" if same else "wrong"
    counted = read_label_map(layout.evaluated_label_map_path)
    expected = get_evaluated_actions() if layout.version in REAL else counted
    wrong = counted.keys() != expected.keys() or not counted.keys() <= found.keys()
    yield "evaluated actions", "", len(counted), len(expected), "wrong" if wrong else "ok"


# --- person boxes -----------------------------------------------------------------------------------------------------


def _proposal_rows(layout, split, table):
    path = layout.get_proposals_path(split)
    if not path.is_file():
        yield "person boxes", split, f"{path.name} is missing", "a file", "wrong"
        return
    try:
        proposals = read_proposals(path)
    except ValueError as error:
        yield "person boxes", split, str(error).replace(str(path), path.name), "a table of boxes", "wrong"
        return
    numbers = proposals[[*BOX, "score"]].to_numpy()
    outside = int(((numbers < 0) | (numbers > 1)).any(axis=1).sum())
    yield "person boxes outside 0..1", split, outside, 0, "wrong" if outside > len(numbers) / 100 else "ok"
    people, keyframes = table[KEY + BOX].drop_duplicates(ignore_index=True), table[KEY].drop_duplicates()
    covered = len(keyframes.merge(proposals[KEY].drop_duplicates(), on=KEY))
    without = len(keyframes) - covered
    strange = sorted(set(proposals.video_id) - set(table.video_id))
    if layout.version == "own" and strange:
        yield "person boxes of other videos", split, ", ".join(strange[:5]), "none", "note"
    said = f"{without:,} of {len(keyframes):,}"
    poor = "note" if layout.version == "own" and split == "train" else "wrong"  # training needs none
    yield "keyframes without person boxes", split, said, "few", poor if without > len(keyframes) / 10 else "ok"
    every, sure = (
        compute_proposal_recall(people, proposals),
        compute_proposal_recall(people, proposals[proposals.score >= 0.9]),
    )
    low = poor if every < 0.5 and len(people) else "ok"
    published = "0.939 published" if layout.version in REAL else ""
    yield "people found, IoU 0.5", split, f"{every:.3f} (score 0.9: {sure:.3f})", published, low


def compute_proposal_recall(people, proposals, iou=0.5):
    """The share of people (table with video_id, timestamp, x1..y2) that some proposal of their keyframe overlaps."""
    frame = people.groupby(KEY, sort=False).ngroup().to_numpy()
    keys = people.loc[np.unique(frame, return_index=True)[1], KEY].assign(frame=np.arange(frame.max(initial=-1) + 1))
    known = proposals.merge(keys, on=KEY).sort_values("frame", kind="stable")
    start = np.searchsorted(known.frame, np.arange(len(keys) + 1))
    count = np.diff(start)[frame]
    person = np.repeat(np.arange(len(people)), count)
    row = np.arange(len(person)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(start[frame], count)
    a, b = people[BOX].to_numpy()[person], known[BOX].to_numpy()[row]
    inter = (np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])).clip(0).prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - inter
    hit = person[inter >= iou * np.maximum(union, 1e-12)]
    return len(np.unique(hit)) / max(len(people), 1)
