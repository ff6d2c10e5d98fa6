"""Keyframe -> clip + boxes + labels, and the loaders that batch them.

Annotations are kept as flat arrays with offsets, not as objects per row. Every random draw of a sample comes from
(seed, epoch, index), so a run is the same whatever the number of workers, and can be continued in mid-epoch.

Source of the rules: MMAction2 v0.10.0 ava_dataset.py.
"""

import time
from dataclasses import dataclass, fields, replace

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset

from avalib.data.assigner import select_training_boxes
from avalib.data.ava_csv import load_ava_table
from avalib.data.exclusions import read_exclusions
from avalib.data.proposals import load_proposals
from avalib.data.row_checks import BOX_COLUMNS
from avalib.data.transforms import augment_clip
from avalib.utils.boxes import build_rois, to_pixels
from avalib.utils.interrupts import child_signals_kept, interrupts_deferred
from avalib.utils.workers import init_worker
from avalib.video.clip_stream import iter_scaled, iter_windows
from avalib.video.frame_numbers import AVA_START_S, LAST_FRAME, compute_clip_frames
from avalib.video.frame_source import FrameSource
from avalib.video.resize import resize_boxes
from avalib.video.video_error import VideoError

NUMBERINGS = {"v0.10.0": 0, "v1.x": 1}  # recipe.numbering: frames further on; v1.x adds the start index a second time
MAX_PROPOSALS = 1000
DECODE_WINDOW = 256  # keyframes that one pass through a video is planned for


@dataclass(frozen=True)
class KeyframeTable:
    """K annotated seconds. Boxes of keyframe k are rows start[k]:start[k+1] of the arrays beside it; all 0..1."""

    video_ids: np.ndarray  # (K,) str
    timestamps: np.ndarray  # (K,) float64 seconds
    start: np.ndarray  # (K+1,)
    boxes_norm: np.ndarray  # (G,4) float64, one row a person
    labels: np.ndarray  # (G,81) bool; 81: the layout's n_columns
    proposal_start: np.ndarray  # (K+1,)
    proposals_norm: np.ndarray  # (P,4) float64
    proposal_scores: np.ndarray  # (P,) float32
    n_without_proposals: int  # keyframes that got one whole-frame box instead
    start_s: float = AVA_START_S  # the second of the videos' first frames
    last_frame: float = LAST_FRAME  # the last frame number that a clip takes

    def __len__(self):
        return len(self.timestamps)

    def __getstate__(self):
        """The arrays as tensors in shared memory: worker processes map them instead of getting copies."""
        if "_shared" not in self.__dict__:  # kept: a worker is started after the pickling has ended
            names = self.video_ids.astype(str)
            arrays = {f.name: getattr(self, f.name) for f in fields(self)}
            arrays |= {"video_ids": names.view(np.int32).reshape(len(names), -1)}  # letters
            shared = {
                k: torch.from_numpy(a).share_memory_() if isinstance(a, np.ndarray) else a for k, a in arrays.items()
            }
            self.__dict__["_shared"] = shared
        return self._shared

    def __setstate__(self, state):
        self.__dict__.update({k: v.numpy() if isinstance(v, torch.Tensor) else v for k, v in state.items()})
        letters = self.video_ids
        self.__dict__["video_ids"] = letters.view(f"<U{letters.shape[1]}").ravel()

    def get_ground_truth(self, k):
        """boxes_norm (n,4), labels (n,81) of keyframe k."""
        rows = slice(self.start[k], self.start[k + 1])
        return self.boxes_norm[rows], self.labels[rows]

    def get_proposals(self, k):
        """boxes_norm (n,4) of keyframe k."""
        return self.proposals_norm[self.proposal_start[k] : self.proposal_start[k + 1]]


def load_keyframes(layout, split, person_score=0.9, training=False):
    """The keyframes of a split, in the order of its csv.

    Rows with the same box are one person with several labels. Excluded seconds are left out in training only: in a test
    they are scored and the evaluation drops them. Proposals: those with score >= min(person_score, the frame's best),
    at most 1000; a keyframe without any gets one whole-frame box.
    """
    table = load_ava_table(layout.get_csv_path(split), "ground_truth").dropna(subset=["x1"])
    proposals = load_proposals(layout.get_proposals_path(split))
    names = table.video_id.cat.categories
    key = _keys(table, names)
    if training:
        excluded = read_exclusions(layout.get_exclusions_path(split)).astype({"video_id": "category"})
        kept = ~np.isin(key, _keys(excluded, names))
        table, key = table[kept], key[kept]
    frame, keys = pd.factorize(key)  # keyframes in the csv's order
    box = table[BOX_COLUMNS].to_numpy()
    people = pd.DataFrame(box).assign(frame=frame).groupby(["frame", 0, 1, 2, 3], sort=False).ngroup().to_numpy()
    _, first = np.unique(people, return_index=True)
    order = np.argsort(frame[first], kind="stable")  # people by keyframe; inside one, as in the file
    labels = np.zeros((len(first), layout.n_columns), bool)
    labels[people, table.action_id.to_numpy()] = True
    shown = np.unique(frame, return_index=True)[1]
    chosen = _select_proposals(pd.Index(keys).get_indexer(_keys(proposals, names)), proposals, len(keys), person_score)
    return KeyframeTable(
        video_ids=names.to_numpy().astype(str)[table.video_id.cat.codes.to_numpy()[shown]],
        timestamps=table.timestamp.to_numpy()[shown],
        start=_offsets(frame[first], len(keys)),
        boxes_norm=box[first[order]],
        labels=labels[order],
        start_s=layout.start_s,
        last_frame=layout.last_frame,
        **chosen,
    )


def load_splits(layout, recipe):
    """{"train": Keyframes, "val": Keyframes} of a training. Raises ValueError where one of them has none."""
    keyframes = {}
    for split, purpose in (("train", "train on"), ("val", "validate with")):
        keyframes[split] = load_keyframes(layout, split, recipe.person_score, training=split == "train")
        if len(keyframes[split]) == 0:
            raise ValueError(
                f"{layout.get_csv_path(split)}: no keyframes with boxes, so there is nothing to {purpose}. Put some of the "
                "videos into this split (import_data's val_share, or a split column), or see what avalib.check says."
            )
    return keyframes


def _keys(table, names):
    """An int64 for every row's video and second; the same in all tables. Videos that aren't in `names`: negative."""
    codes = names.get_indexer(table.video_id.cat.categories)[table.video_id.cat.codes].astype(np.int64)
    milliseconds = np.rint(table.timestamp.to_numpy() * 1000).astype(np.int64)
    return np.where(codes < 0, -1 - milliseconds, (codes << 40) + milliseconds)


def _offsets(groups, count):
    return np.concatenate([[0], np.cumsum(np.bincount(groups, minlength=count))])


def _select_proposals(frame, table, count, person_score):
    """The proposals' fields of Keyframes: the rows to be kept, of those with a keyframe (`frame`, -1: none)."""
    rows = np.flatnonzero(frame >= 0)
    rows = rows[np.argsort(frame[rows], kind="stable")]
    frame, score = frame[rows], table.score.to_numpy()[rows]
    best = np.full(count, -np.inf)
    np.maximum.at(best, frame, score)
    good = score >= np.minimum(person_score, best)[frame]
    rows, frame, score = rows[good], frame[good], score[good]
    place = np.arange(len(frame)) - _offsets(frame, count)[frame]
    rows, frame, score = (values[place < MAX_PROPOSALS] for values in (rows, frame, score))
    without = np.flatnonzero(np.bincount(frame, minlength=count) == 0)  # these get the whole frame
    order = np.argsort(np.concatenate([frame, without]), kind="stable")
    whole = np.tile([0.0, 0.0, 1.0, 1.0], (len(without), 1))
    return {
        "proposal_start": _offsets(np.concatenate([frame, without]), count),
        "proposals_norm": np.concatenate([table[BOX_COLUMNS].to_numpy(np.float64)[rows], whole])[order],
        "proposal_scores": np.concatenate([score, np.ones(len(without))])[order].astype(np.float32),
        "n_without_proposals": len(without),
    }


class ClipDataset(Dataset):
    """Clips of keyframes. Indexed by (epoch, k) or by k alone (epoch 0).

    -> dict: clip (T,H,W,3) uint8 tensor; boxes (n,4) float32 pixels of it; index k; and in training targets (n,81)
    float32 and flip, whether the clip is still to be mirrored as its boxes are (transforms.mirror). Training boxes are
    those of `targets.training_boxes` that have an action: the others cost time and never enter the loss. Test boxes are
    the proposals, unclipped. Where the video fails, "lost" is (k, why): in training another keyframe stands in, in test
    there is nothing else; see Loader. Any other error says in a note which file and keyframe it came from.
    """

    def __init__(self, keyframes, entry, recipe, frames, training):
        self.keyframes, self.entry, self.recipe = keyframes, entry, recipe
        self.frames, self.training = frames, training
        self._pass = None  # (k, what gives its window and those behind it): see _in_order
        if recipe.numbering not in NUMBERINGS:
            raise ValueError(f"recipe.numbering {recipe.numbering!r}: expected {' or '.join(map(repr, NUMBERINGS))}")

    def __len__(self):
        return len(self.keyframes)

    def __getitem__(self, item):
        epoch, k = item if isinstance(item, tuple) else (0, item)
        try:
            return self._sample(epoch, k)
        except (VideoError, FileNotFoundError) as error:
            return {"lost": (k, str(error))} | (self._stand_in(epoch, k) if self.training else {})
        except Exception as error:
            video_id, second = self.keyframes.video_ids[k], self.keyframes.timestamps[k]
            error.add_note(f"while reading {self.frames.get_path(video_id)} for keyframe {video_id},{second:04.0f}")
            raise

    def __getstate__(self):
        return {**self.__dict__, "_pass": None}  # open files do not travel to workers

    def _sample(self, epoch, k):
        self.frames.check_available(self.keyframes.video_ids[k], self.keyframes.timestamps[k])
        sample = self._training(k, self._rng(epoch, k)) if self.training else self._test(k)
        return {"index": k, **sample, "clip": torch.from_numpy(sample["clip"])}

    def _rng(self, epoch, k):
        return np.random.default_rng([self.recipe.seed, epoch, k])

    def _stand_in(self, epoch, k):
        """What a training batch gets for a lost keyframe, so that it keeps its size: another one, drawn at random."""
        for other in np.random.default_rng([self.recipe.seed, epoch, k, 1]).permutation(len(self))[:100]:
            try:
                return self._sample(epoch, int(other))
            except (VideoError, FileNotFoundError):
                continue
        raise VideoError(f"{self.frames.layout.root}: 100 keyframes tried, none of their frames can be read")

    def _numbers(self, reader, k, rng):
        """AVA numbers (T,) of the clip, jittered in training (and in test if the recipe says so)."""
        later = NUMBERINGS[self.recipe.numbering]
        jitter = rng if self.training or self.recipe.jitter_at_test else None
        numbers = compute_clip_frames(
            self.keyframes.timestamps[k],
            self.entry.clip_len,
            self.entry.frame_interval,
            last=min(reader.n_ava_frames - later, self.keyframes.last_frame),
            rng=jitter,
            first=1 - later,
            start_s=self.keyframes.start_s,
        )
        numbers = numbers + later
        if self.recipe.shuffle_frames:
            numbers = rng.permutation(numbers)
        return numbers

    def _in_order(self, reader, k):
        """(T,h,w,3) uint8, scaled for the test; keyframes asked for one after the other share one pass of decoding."""
        at, clips = self._pass or (None, None)
        self._pass = None  # if this fails, the next one begins anew
        if at != k:
            same = self.keyframes.video_ids[k : k + DECODE_WINDOW] == self.keyframes.video_ids[k]
            later = np.diff(self.keyframes.timestamps[k : k + DECODE_WINDOW]) > 0
            count = 1 + int(np.argmin(np.append(same[1:] & later, False)))  # up to the next video, or a step back
            numbers = np.stack([self._numbers(reader, i, self._rng(0, i)) for i in range(k, k + count)])
            frames = iter_scaled(reader.iter_numbered_frames(numbers), self.recipe.test_short_side)
            clips = zip(range(count, 0, -1), iter_windows(frames, numbers), strict=True)
        left, clip = next(clips)
        if left > 1:
            self._pass = k + 1, clips
        for frame in clip:
            if isinstance(frame, VideoError):
                raise frame
        return np.stack(clip)

    def _training(self, k, rng):
        reader = self.frames.get_reader(self.keyframes.video_ids[k])
        clip = reader.read_ava_frames(self._numbers(reader, k, rng))
        height, width = clip.shape[1:3]
        truth, labels = self.keyframes.get_ground_truth(k)
        every = to_pixels(np.concatenate([truth, self.keyframes.get_proposals(k)]), width, height)
        clip, every, flip = augment_clip(clip, every, self.recipe, rng)
        chosen, wanted = select_training_boxes(
            every[: len(truth)],
            labels.astype(np.float32),
            every[len(truth) :],
            self.recipe.assign_iou,
            self.recipe.rois_per_frame,
            rng,
        )
        labelled = wanted[:, 1:].any(axis=1)
        return {"clip": clip, "flip": flip, "boxes": chosen[labelled], "targets": wanted[labelled]}

    def _test(self, k):
        """The whole frame at the recipe's short side, no flip; boxes are not clipped."""
        reader = self.frames.get_reader(self.keyframes.video_ids[k])
        clip = self._in_order(reader, k)
        proposals = to_pixels(self.keyframes.get_proposals(k), reader.width, reader.height)
        return {
            "clip": clip,
            "boxes": resize_boxes(proposals, (reader.height, reader.width), clip.shape[1:3]),
        }


def collate_clips(samples):
    """Samples of one frame size -> clips (B,T,H,W,3) uint8, rois (N,5) float32, index (B,); in training also
    targets (N,81) and flips (B,) bool.

    "lost": [(k, reason)] of keyframes whose video failed, if there are any; without a single good one, nothing else.
    """
    lost = [s["lost"] for s in samples if "lost" in s]
    samples = [s for s in samples if "clip" in s]
    batch = {"lost": lost} if lost else {}
    if samples:
        batch |= {
            "clips": torch.stack([s["clip"] for s in samples]),
            "rois": torch.from_numpy(build_rois([s["boxes"] for s in samples])),
            "index": torch.tensor([s["index"] for s in samples]),
        }
    if samples and "targets" in samples[0]:
        batch["targets"] = torch.from_numpy(np.concatenate([s["targets"] for s in samples]))
        batch["flips"] = torch.tensor([s["flip"] for s in samples])
    return batch


class ClipLoader(DataLoader):
    """A DataLoader that watches what is lost: a keyframe whose frames can't be read is counted and, once a video, said.

    lost: {k: reason}; clips_per_s: what the last pass over it brought, waiting for the network's work included.
    Raises VideoError when more than `max_lost` of all keyframes are lost.
    """

    lost, clips_per_s, max_lost = None, 0.0, 0.01

    def __iter__(self):
        self.lost, clips, started = self.lost or {}, 0, time.perf_counter()
        with interrupts_deferred(), child_signals_kept():  # processes are started here
            collated = super().__iter__()
        for batch in collated:
            self._note(batch.pop("lost", ()))
            if batch:
                clips += len(batch["clips"])
                self.clips_per_s = clips / (time.perf_counter() - started)
                yield batch

    def close(self):
        """End the worker processes; without it they live as long as a traceback that refers to this loader."""
        if self._iterator is not None:
            self._iterator._shutdown_workers()
            self._iterator = None

    def _note(self, lost):
        for k, reason in lost:
            if reason not in self.lost.values() and k not in self.lost:
                print(f"left out: {reason}")
            self.lost[k] = reason
        if len(self.lost) > self.max_lost * len(self.dataset):
            reasons = "; ".join(list(dict.fromkeys(self.lost.values()))[:5])
            raise VideoError(
                f"{len(self.lost)} of {len(self.dataset)} keyframes are lost, more than the {self.max_lost:.0%} that "
                f"may be: {reasons}. avalib.check finds what is damaged; get those videos again"
            )


def build_loader(dataset, batches, workers=0):
    """A Loader of `dataset` over `batches` (of batches.py, or a list of lists of k) in `workers` processes."""
    return ClipLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=collate_clips,
        num_workers=workers,
        persistent_workers=workers > 0,
        multiprocessing_context="spawn" if workers else None,
        worker_init_fn=init_worker,
        prefetch_factor=4 if workers else None,
    )


def load_example(layout, entry, recipe, split="val"):
    """The middle keyframe of a split as a batch of one, for looking at: a dict as `collate` gives it.

    With "frames" (T,H,W,3) uint8 beside it. Boxes are the annotated ones, in pixels of these frames.
    """
    keyframes = load_keyframes(layout, split, recipe.person_score)
    clips = ClipDataset(keyframes, entry, replace(recipe, cache_short_side=None), FrameSource(layout), training=False)
    k = len(keyframes) // 2
    sample = clips[k]
    height, width = sample["clip"].shape[1:3]
    sample["boxes"] = to_pixels(keyframes.get_ground_truth(k)[0], width, height)
    return collate_clips([sample]) | {"frames": sample["clip"].numpy()}
