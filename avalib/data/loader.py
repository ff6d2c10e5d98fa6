"""Batches of clips: collate samples, load them in worker processes, count the keyframes that can't be read."""

import logging
import time
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader

from avalib import zoo
from avalib.data.dataset import ClipDataset
from avalib.data.keyframe_table import load_keyframes
from avalib.data.layout import DatasetLayout
from avalib.utils.boxes import build_rois, to_pixels
from avalib.utils.interrupts import defer_interrupts, keep_child_signals
from avalib.utils.workers import init_worker
from avalib.video.dataset_frames import MAX_MISSING_SHARE, open_frames
from avalib.video.frame_source import FrameSource
from avalib.video.video_error import VideoError

logger = logging.getLogger(__name__)

CPU = torch.device("cpu")


def collate_clips(samples):
    """Collate samples of one frame size.

    Parameters
    ----------
    samples : list of dict
        Samples of ClipDataset.

    Returns
    -------
    dict
        - clips: (B,T,H,W,3) uint8; with augmentations a list of B (T,H,W,3), whose sizes may differ.
        - rois: (N,5) float32, [batch index, x1, y1, x2, y2] in pixels.
        - index: (B,) int64, the numbers of the keyframes.
        - targets: (N,81) float32, in training only.
        - flips: (B,) bool, in training only: which clips are still to be mirrored.
        - augmentations: (B,4) int64, where clips are still to be resized and cropped (`transforms.cut_clips`).
        - missing: [(k, reason)] of the keyframes whose frames can't be read, if there are any; if all of a test's batch
          can't, it is the only key.
    """
    # samples without a clip only say what is missing
    missing = [sample["missing"] for sample in samples if "missing" in sample]
    samples = [sample for sample in samples if "clip" in sample]
    batch = {"missing": missing} if missing else {}
    if samples:
        clips = [sample["clip"] for sample in samples]
        if "augmentation" in samples[0]:
            batch["clips"] = clips
            batch["augmentations"] = torch.stack([sample["augmentation"] for sample in samples])
        else:
            batch["clips"] = torch.stack(clips)
        # boxes of all clips in one table (N,5)
        batch["rois"] = torch.from_numpy(build_rois([sample["boxes"] for sample in samples]))
        batch["index"] = torch.tensor([sample["index"] for sample in samples])
    if samples and "targets" in samples[0]:
        # (N,81), row by row those of the RoIs
        batch["targets"] = torch.from_numpy(np.concatenate([sample["targets"] for sample in samples]))
        batch["flips"] = torch.tensor([sample["flip"] for sample in samples])
    return batch


class ClipLoader(DataLoader):
    """A DataLoader that counts keyframes whose frames can't be read.

    Each reason is logged once. Raises VideoError when more than `max_missing` of all keyframes fail.

    missing: {k: reason} so far. clips_per_s: of the last pass over the loader, waiting for the network included.
    """

    missing: dict[int, str]
    max_missing = MAX_MISSING_SHARE
    clips_per_s = 0.0

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.missing = {}

    def __iter__(self):
        n_clips = 0
        started = time.perf_counter()
        with defer_interrupts(), keep_child_signals():  # worker processes start here
            batches = super().__iter__()
        for batch in batches:
            # a batch in which nothing could be read is counted, not returned
            self._record_missing(batch.pop("missing", ()))
            if batch:
                n_clips += len(batch["clips"])
                self.clips_per_s = n_clips / (time.perf_counter() - started)
                yield batch

    def close(self):
        """End the worker processes; otherwise they live as long as a traceback that refers to this loader."""
        if self._iterator is not None:
            self._iterator._shutdown_workers()
            for worker in self._iterator._workers:
                if worker.is_alive():  # it is still starting, with SIGTERM blocked
                    worker.kill()
                    worker.join()
            self._iterator = None

    def _record_missing(self, keyframes):
        """Count [(k, reason)]; log each new reason. Raises VideoError when they are too many."""
        for k, reason in keyframes:
            # a reason that many keyframes share is logged once
            if k not in self.missing and reason not in self.missing.values():
                logger.warning("left out: %s", reason)
            self.missing[k] = reason
        if len(self.missing) > self.max_missing * len(self.dataset):
            reasons = "; ".join(list(dict.fromkeys(self.missing.values()))[:5])
            raise VideoError(
                f"{len(self.missing)} of {len(self.dataset)} keyframes can't be read, more than the limit of "
                f"{self.max_missing:.0%}: {reasons}. Run avalib.check to list damaged videos; get them again"
            )


def build_loader(
    dataset: ClipDataset, batches: Iterable[list], workers: int = 0, device: torch.device = CPU
) -> ClipLoader:
    """Build a loader of clips.

    Parameters
    ----------
    dataset : ClipDataset
        The clips.
    batches : iterable
        A sampler of `samplers`, or a list of lists of indices.
    workers : int
        Processes that read clips; 0: this one.
    device : torch.device
        Where the batches will be copied to. For a GPU they lie in pinned memory, from which it copies by itself.
    """
    return ClipLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=collate_clips,
        num_workers=workers,
        persistent_workers=workers > 0,
        multiprocessing_context="spawn" if workers else None,
        worker_init_fn=init_worker,
        prefetch_factor=4 if workers else None,
        pin_memory=device.type == "cuda",
    )


def load_example(layout, entry, recipe, split="val"):
    """Load the middle keyframe of a split for looking at it: a batch of one, as `collate_clips` gives it.

    With "frames" (T,H,W,3) uint8 beside it. Boxes are the annotated ones, in pixels of these frames.
    """
    keyframes = load_keyframes(layout, split, recipe.person_score)
    frames = FrameSource(layout)
    clips = ClipDataset(keyframes, entry, replace(recipe, cache_short_side=None), frames, training=False)
    k = len(keyframes) // 2
    # the test sample has proposals: put the annotated boxes in their place
    sample = clips[k]
    height, width = sample["clip"].shape[1:3]
    truth_norm, _ = keyframes.get_ground_truth(k)
    sample["boxes"] = to_pixels(truth_norm, width, height)
    return collate_clips([sample]) | {"frames": sample["clip"].numpy()}


def measure_loading_speed(
    layout: DatasetLayout,
    dataset: str,
    model: str = "slowonly_r50",
    cache_short_side: int | None = None,
    workers: int = 0,
    n_clips: int = 32,
) -> pd.DataFrame:
    """Measure how fast training clips are read in random order.

    Parameters
    ----------
    layout : DatasetLayout
        The data set.
    dataset : str
        Its name, which chooses the recipe.
    model : str
        A model of the zoo, which sets the clips' length.
    cache_short_side : int, optional
        Read from the frame cache of this short side; by default from the videos.
    workers : int
        Processes that read clips; 0: this one.
    n_clips : int
        How many clips to read.

    Returns
    -------
    DataFrame
        One row: from, clips, seconds, clips_per_s, processes.
    """
    entry = zoo.get(model)
    recipe = replace(zoo.get_recipe(entry, dataset), cache_short_side=cache_short_side)
    keyframes = load_keyframes(layout, "val", recipe.person_score)
    frames = open_frames(layout, recipe, [keyframes], progress=False, max_missing=1.0)
    clips = ClipDataset(keyframes, entry, recipe, frames, training=True)
    # random order, as in training
    order = np.random.default_rng(0).permutation(len(keyframes))[:n_clips].tolist()
    loader = build_loader(clips, [[k] for k in order], workers)
    loader.max_missing = 1.0
    started = time.perf_counter()
    n_read = sum(len(batch["clips"]) for batch in loader)
    seconds = time.perf_counter() - started
    row = {
        "from": f"the frame cache, short side {cache_short_side}" if cache_short_side else "the videos",
        "clips": n_read,
        "seconds": seconds,
        "clips_per_s": n_read / seconds,
        "processes": max(workers, 1),
    }
    return pd.DataFrame([row]).round(2)
