"""Keyframe -> clip + boxes + labels, and the loaders that batch them.

Annotations are kept as flat arrays with offsets, not as objects per row. Every random draw of a sample comes from
(seed, epoch, index), so a run is the same whatever the number of workers, and can be continued in mid-epoch.

Source of the rules: MMAction2 v0.10.0 ava_dataset.py.
"""

import os
from collections import OrderedDict
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from avalib import annotations, boxes, transforms, video
from avalib.actions import N_COLUMNS
from avalib.models import targets

LAST_FRAME = 26999  # the original clips to this file number, whatever the video's length
MAX_PROPOSALS = 1000
KEY = ["video_id", "timestamp"]


@dataclass(frozen=True)
class Keyframes:
    """K annotated seconds. Boxes of keyframe k are rows start[k]:start[k+1] of the arrays beside it; all 0..1."""

    video_ids: np.ndarray  # (K,) str
    timestamps: np.ndarray  # (K,) float64 seconds
    start: np.ndarray  # (K+1,)
    boxes_norm: np.ndarray  # (G,4) float64, one row a person
    labels: np.ndarray  # (G,81) bool
    proposal_start: np.ndarray  # (K+1,)
    proposals_norm: np.ndarray  # (P,4) float64
    proposal_scores: np.ndarray  # (P,) float32
    without_proposals: int  # keyframes that got one whole-frame box instead

    def __len__(self):
        return len(self.timestamps)

    def ground_truth(self, k):
        """boxes_norm (n,4), labels (n,81) of keyframe k."""
        rows = slice(self.start[k], self.start[k + 1])
        return self.boxes_norm[rows], self.labels[rows]

    def proposals(self, k):
        """boxes_norm (n,4) of keyframe k."""
        return self.proposals_norm[self.proposal_start[k] : self.proposal_start[k + 1]]


def load_keyframes(layout, split, person_score=0.9, training=False):
    """The keyframes of a split, in the order of its csv.

    Rows with the same box are one person with several labels. Excluded seconds are left out in training only: in a test
    they are scored and the evaluation drops them. Proposals: those with score >= min(person_score, the frame's best),
    at most 1000; a keyframe without any gets one whole-frame box.
    """
    table = annotations.read_csv(layout.csv(split), "ground_truth").dropna(subset=["action_id"])
    if training:
        excluded = annotations.read_exclusions(layout.excluded(split))
        table = table.merge(excluded, on=KEY, how="left", indicator=True).query("_merge == 'left_only'")
    table = table.reset_index(drop=True)
    frame = table.groupby(KEY, sort=False).ngroup().to_numpy()
    people = table.groupby([*KEY, "x1", "y1", "x2", "y2"], sort=False).ngroup().to_numpy()
    _, first = np.unique(people, return_index=True)
    order = np.argsort(frame[first], kind="stable")  # people by keyframe; inside one, as in the file
    labels = np.zeros((len(first), N_COLUMNS), bool)
    labels[people, table.action_id.to_numpy().astype(np.int64)] = True
    keys = table.loc[np.unique(frame, return_index=True)[1], KEY].reset_index(drop=True)
    kept = _select_proposals(annotations.read_proposals(layout.proposals(split)), keys, person_score)
    return Keyframes(
        video_ids=keys.video_id.to_numpy(),
        timestamps=keys.timestamp.to_numpy(),
        start=_offsets(frame[first], len(keys)),
        boxes_norm=table.loc[first[order], ["x1", "y1", "x2", "y2"]].to_numpy(np.float64),
        labels=labels[order],
        proposal_start=_offsets(kept.frame.to_numpy(), len(keys)),
        proposals_norm=kept[["x1", "y1", "x2", "y2"]].to_numpy(np.float64),
        proposal_scores=kept.score.to_numpy(np.float32),
        without_proposals=int(kept.stand_in.sum()),
    )


def _offsets(groups, count):
    return np.concatenate([[0], np.cumsum(np.bincount(groups, minlength=count))])


def _select_proposals(table, keys, person_score):
    """Proposal rows of the keyframes, ordered by keyframe, with columns frame (index into keys) and stand_in."""
    table = table.merge(keys.assign(frame=np.arange(len(keys))), on=KEY, how="inner")
    best = table.groupby("frame").score.transform("max")
    table = table[table.score >= np.minimum(person_score, best)]
    table = table[table.groupby("frame").cumcount() < MAX_PROPOSALS].assign(stand_in=False)
    missing = np.setdiff1d(np.arange(len(keys)), table.frame)
    whole = pd.DataFrame({"frame": missing, "x1": 0.0, "y1": 0.0, "x2": 1.0, "y2": 1.0, "score": 1.0, "stand_in": True})
    return pd.concat([table, whole] if len(whole) else [table]).sort_values("frame", kind="stable")


class FrameSource:
    """Frames of a layout's videos by their numbers at 30 fps, from the cache where there is one, else the video itself.

    Readers are opened when first used and kept, at most `open_files` a process; workers open their own.
    """

    def __init__(self, layout, cache_short_side=None, open_files=16):
        self.layout, self.cache_short_side, self.open_files = layout, cache_short_side, open_files
        self._readers = OrderedDict()

    def reader(self, video_id):
        """The open reader of one video (video.PackedFrames or video.Video)."""
        if video_id in self._readers:
            self._readers.move_to_end(video_id)
            return self._readers[video_id]
        if self.cache_short_side:
            reader = video.PackedFrames(cache_path(self.layout, video_id, self.cache_short_side))
        else:
            reader = video.Video(self.layout.video_path(video_id))
        self._readers[video_id] = reader
        if len(self._readers) > self.open_files:
            self._readers.popitem(last=False)[1].close()
        return reader

    def __getstate__(self):
        return {**self.__dict__, "_readers": OrderedDict()}  # open files do not travel to workers


def cache_path(layout, video_id, short_side):
    """Where the packed frames of a video at this short side are kept."""
    return layout.root / "cache" / f"short_{short_side}" / f"{video_id}.frames"


def open_frames(layout, recipe, keyframes, progress=True):
    """A FrameSource for these lists of keyframes, every video of which is there; packed first if the recipe says so.

    Raises FileNotFoundError that names and counts the missing videos and the keyframes they cost.
    """
    check_videos(layout, keyframes)
    if recipe.cache_short_side:
        video_ids = [v for k in keyframes for v in k.video_ids]
        build_cache(layout, video_ids, recipe.cache_short_side, progress=progress)
    return FrameSource(layout, recipe.cache_short_side)


def check_videos(layout, keyframes):
    """Raise FileNotFoundError if a video of these lists of keyframes is not on disk."""
    every = np.concatenate([k.video_ids for k in keyframes])
    names, counts = np.unique(every, return_counts=True)
    missing = {}
    for name, count in zip(names, counts, strict=True):
        try:
            layout.video_path(name)
        except FileNotFoundError:
            missing[name] = count
    if missing:
        raise FileNotFoundError(
            f"{layout.videos}: {len(missing)} of {len(names)} videos are missing, with {sum(missing.values())} of "
            f"{len(every)} keyframes: {', '.join(missing)}. Run notebook 01, or take their rows out of the csv."
        )


def build_cache(layout, video_ids, short_side, workers=None, progress=True):
    """Pack the frames of these videos at `short_side` as JPEGs, in parallel; what is there already stays. -> bytes.

    Random access to training clips is ten times faster than from H.264. Interrupted, it goes on at the next call.
    Raises OSError that names and counts the videos that can't be read, when the others are done.
    """
    paths = {v: cache_path(layout, v, short_side) for v in dict.fromkeys(video_ids)}
    missing = [v for v, path in paths.items() if not _is_newer(path, layout.video_path(v))]
    if missing:
        next(iter(paths.values())).parent.mkdir(parents=True, exist_ok=True)
        _pack(layout, {v: paths[v] for v in missing}, short_side, workers, progress)
    return sum(path.stat().st_size for path in paths.values())


def _is_newer(packed, source):
    """Whether the packed file is there and was made after the video it stands for: a new video is packed anew."""
    return packed.exists() and packed.stat().st_mtime_ns >= source.stat().st_mtime_ns


def _one_thread():
    torch.set_num_threads(1)


def _pack(layout, paths, short_side, workers, progress):
    context = get_context("spawn")  # fork is unsafe once torch has started threads
    failed = []
    workers = workers or min(os.cpu_count(), len(paths))
    # one thread each: two processes with a thread pool each would wait for one another
    with ProcessPoolExecutor(workers, context, initializer=_one_thread) as pool:
        jobs = [pool.submit(video.build_cache, layout.video_path(v), path, short_side) for v, path in paths.items()]
        bar = tqdm(
            total=len(jobs), desc=f"packing frames at short side {short_side}", unit="video", disable=not progress
        )
        for job in as_completed(jobs):
            if isinstance(job.exception(), video.VideoError):
                failed.append(str(job.exception()))
            else:
                job.result()
            bar.update()
        bar.close()
    if failed:
        raise OSError(f"{len(failed)} of {len(jobs)} videos can't be read: " + "; ".join(failed))


class ClipDataset(Dataset):
    """Clips of keyframes. Indexed by (epoch, k) or by k alone (epoch 0).

    -> dict: clip (T,H,W,3) uint8 tensor; boxes (n,4) float32 pixels of it; index k; and in training targets (n,81)
    float32. Training boxes are those of `targets.training_boxes` that have an action: the others cost time and never
    enter the loss. Test boxes are the proposals, unclipped.
    """

    def __init__(self, keyframes, entry, recipe, frames, training):
        self.keyframes, self.entry, self.recipe = keyframes, entry, recipe
        self.frames, self.training = frames, training

    def __len__(self):
        return len(self.keyframes)

    def __getitem__(self, item):
        epoch, k = item if isinstance(item, tuple) else (0, item)
        rng = np.random.default_rng([self.recipe.seed, epoch, k])
        clip = self._frames(k, rng)
        sample = self._training(clip, k, rng) if self.training else self._test(clip, k)
        return {"index": k, **sample, "clip": torch.from_numpy(sample["clip"])}

    def _frames(self, k, rng):
        """(T,H,W,3) uint8, jittered in training (and in test if the recipe says so)."""
        reader = self.frames.reader(self.keyframes.video_ids[k])
        jitter = rng if self.training or self.recipe.jitter_at_test else None
        numbers = transforms.frame_numbers(
            self.keyframes.timestamps[k],
            self.entry.clip_len,
            self.entry.frame_interval,
            last=min(reader.n_ava_frames, LAST_FRAME),
            rng=jitter,
            first=1,
        )
        if self.recipe.shuffle_frames:
            numbers = rng.permutation(numbers)
        return reader.ava_frames(numbers)

    def _training(self, clip, k, rng):
        height, width = clip.shape[1:3]
        truth, labels = self.keyframes.ground_truth(k)
        every = boxes.to_pixels(np.concatenate([truth, self.keyframes.proposals(k)]), width, height)
        clip, every = transforms.for_training(clip, every, self.recipe, rng)
        chosen, wanted = targets.training_boxes(
            every[: len(truth)],
            labels.astype(np.float32),
            every[len(truth) :],
            self.recipe.assign_iou,
            self.recipe.rois_per_frame,
            rng,
        )
        labelled = wanted[:, 1:].any(axis=1)
        return {"clip": clip, "boxes": chosen[labelled], "targets": wanted[labelled]}

    def _test(self, clip, k):
        height, width = clip.shape[1:3]
        proposals = boxes.to_pixels(self.keyframes.proposals(k), width, height)
        clip, proposals = transforms.for_testing(clip, proposals, self.recipe)
        return {"clip": clip, "boxes": proposals}


def collate(samples):
    """Samples of one frame size -> clips (B,T,H,W,3) uint8, rois (N,5) float32, index (B,), targets (N,81)."""
    batch = {
        "clips": torch.stack([s["clip"] for s in samples]),
        "rois": torch.from_numpy(boxes.rois([s["boxes"] for s in samples])),
        "index": torch.tensor([s["index"] for s in samples]),
    }
    if "targets" in samples[0]:
        batch["targets"] = torch.from_numpy(np.concatenate([s["targets"] for s in samples]))
    return batch


def loader(dataset, batches, workers=0):
    """A DataLoader of `dataset` over `batches` (of batches.py, or a list of lists of k) in `workers` processes."""
    return DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=workers > 0,
        multiprocessing_context="spawn" if workers else None,
        prefetch_factor=4 if workers else None,
    )


def example(layout, entry, recipe, split="val"):
    """The middle keyframe of a split as a batch of one, for looking at: a dict as `collate` gives it.

    With "frames" (T,H,W,3) uint8 beside it. Boxes are the annotated ones, in pixels of these frames.
    """
    keyframes = load_keyframes(layout, split, recipe.person_score)
    clips = ClipDataset(keyframes, entry, replace(recipe, cache_short_side=None), FrameSource(layout), training=False)
    k = len(keyframes) // 2
    sample = clips[k]
    height, width = sample["clip"].shape[1:3]
    sample["boxes"] = boxes.to_pixels(keyframes.ground_truth(k)[0], width, height)
    return collate([sample]) | {"frames": sample["clip"].numpy()}
