"""Inference: run a model on the keyframes of a data set, and make a table of detections."""

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from avalib import zoo
from avalib.data.dataset import ClipDataset
from avalib.data.keyframe_table import KeyframeTable, load_test_keyframes
from avalib.data.layout import DatasetLayout
from avalib.data.loader import build_loader
from avalib.data.row_checks import BOX_COLUMNS
from avalib.data.samplers import PerVideoBatchSampler, order_in_stretches
from avalib.data.transforms import normalize_clips
from avalib.models.build import build_model
from avalib.models.checkpoint import check_classes
from avalib.models.detector import Detector
from avalib.models.fused import FusedDetector
from avalib.utils.boxes import clip_boxes, to_norm
from avalib.utils.device import choose_device, choose_precision
from avalib.utils.distributed import SINGLE_PROCESS, DistributedContext
from avalib.utils.errors import AvalibError
from avalib.utils.progress import show_progress
from avalib.utils.workers import disable_malloc_trim
from avalib.video.dataset_frames import open_frames
from avalib.video.frame_source import FrameSource


class LogitsNotFiniteError(AvalibError, FloatingPointError, ValueError):
    """A network gave NaN or infinite logits; the message names its checkpoint and the clips."""


def load_trained_model(
    model: str | zoo.ZooEntry | None, checkpoint: str | Path | None, dataset_name: str
) -> tuple[Detector, zoo.Recipe]:
    """Load a trained detector, and the recipe it is tested with.

    Parameters
    ----------
    model : str or zoo.ZooEntry, optional
        A model of the zoo; None: the checkpoint's own.
    checkpoint : str or path
        As in `build.build_model`.
    dataset_name : str
        The data set whose recipe is used if the checkpoint does not hold one.

    Returns
    -------
    Detector, zoo.Recipe
    """
    detector = build_model(model, checkpoint)
    recipe = detector.meta.recipe if detector.meta else None
    return detector, recipe or zoo.get_recipe(detector.entry, dataset_name)


def detect_dataset(
    detector: Detector,
    layout: DatasetLayout,
    split: str,
    recipe: zoo.Recipe,
    device: str = "auto",
    precision: str = "auto",
    workers: int = 0,
    progress: bool = True,
) -> tuple[pd.DataFrame, KeyframeTable]:
    """Score all proposals of a split.

    Parameters
    ----------
    detector : Detector
    layout : DatasetLayout
    split : str
        "train" or "val".
    recipe : zoo.Recipe
    device, precision : str
        See `device.choose_device` and `device.choose_precision`.
    workers : int
        Processes that read clips.
    progress : bool
        Whether to show progress bars.

    Returns
    -------
    DataFrame
        Detections, as `build_detections_table` gives them.
    KeyframeTable

    Raises
    ------
    ValueError
        If the detector was trained for other classes than the data set's.
    """
    check_classes(detector, layout.load_label_map())
    keyframes = load_test_keyframes(detector.entry, layout, split, recipe)
    frames = open_frames(layout, recipe, [keyframes], progress)
    scores, boxes_norm = score_keyframes(
        detector, keyframes, recipe, frames, device, precision, workers=workers, progress=progress
    )
    return build_detections_table(keyframes, scores, boxes_norm, detector.entry), keyframes


@dataclass(frozen=True)
class ScoredBatch:
    """The scores of the proposals in one batch of keyframes."""

    proposals: np.ndarray  # (N,) proposal numbers
    scores: np.ndarray  # (N,81) float32
    boxes_norm: np.ndarray  # (N,4)


@torch.inference_mode()
def score_keyframes(
    model: Detector,
    keyframes: KeyframeTable,
    recipe: zoo.Recipe,
    frames: FrameSource,
    device: str | torch.device = "auto",
    precision: str | torch.dtype = "auto",
    *,
    batch_size: int = 8,
    workers: int = 0,
    progress: bool = True,
    context: DistributedContext = SINGLE_PROCESS,
) -> tuple[np.ndarray, np.ndarray]:
    """Run a model on the proposals of all keyframes.

    Parameters
    ----------
    model : Detector
    keyframes : KeyframeTable
    recipe : zoo.Recipe
    frames : FrameSource
    device, precision, workers, progress
        See `detect_dataset`.
    batch_size : int
        Clips in a batch.
    context : DistributedContext
        The processes that share the batches. Each gets the complete result, the same as a single process.

    Returns
    -------
    scores : (P,81) float32
        0..1, in the order of `keyframes.proposals_norm`; NaN where the frames could not be read (a warning, and an
        error for more than 1 % of the keyframes).
    boxes_norm : (P,4) float32
        The proposals' boxes after the frame was resized, xyxy in 0..1; NaN likewise.

    Raises
    ------
    LogitsNotFiniteError
        If the network's output is NaN or infinite.
    """
    device = choose_device(device)
    disable_malloc_trim()
    network = FusedDetector(model.to(device).eval(), choose_precision(precision, device))
    clips = ClipDataset(keyframes, model.entry, recipe, frames, training=False)

    # this process's share of the batches
    batches = PerVideoBatchSampler(keyframes.video_ids, batch_size).batches[context.rank :: context.size]
    batches = order_in_stretches(batches, max(workers, 1))
    scored = []
    with closing(build_loader(clips, batches, workers, device)) as loader:
        for batch in show_progress(loader, desc="scoring", unit="batch", disable=not progress):
            scores = score_batch(network, model.entry, batch["clips"], batch["rois"], device)
            indices = batch["index"].tolist()
            if np.isnan(scores).any():
                names = [f"{keyframes.video_ids[k]},{keyframes.timestamps[k]:g}" for k in indices]
                raise build_non_finite_error(model, f"keyframes {' '.join(names[:8])}")
            height, width = batch["clips"].shape[2:4]
            start = keyframes.proposal_start
            scored.append(
                ScoredBatch(
                    proposals=np.concatenate([np.arange(start[k], start[k + 1]) for k in indices]),
                    scores=scores,
                    boxes_norm=to_norm(batch["rois"][:, 1:].numpy(), width, height),
                )
            )
    # every process gets the batches of all, and puts them in the order of the proposals
    all_scored = [batch for shard in context.gather(scored) for batch in shard]
    n_proposals = int(keyframes.proposal_start[-1])
    return merge_scores(all_scored, n_proposals, n_columns=model.n_classes + 1)


def merge_scores(batches: Iterable[ScoredBatch], n_proposals: int, n_columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores (P,81) and boxes (P,4) of some `ScoredBatch`, in the order of the proposals; NaN for the others."""
    scores = np.full((n_proposals, n_columns), np.nan, np.float32)
    boxes_norm = np.full((n_proposals, 4), np.nan, np.float32)
    for batch in batches:
        scores[batch.proposals] = batch.scores
        boxes_norm[batch.proposals] = batch.boxes_norm
    return scores, boxes_norm


@torch.inference_mode()
def score_batch(
    network: Callable, entry: zoo.ZooEntry, clips: torch.Tensor, rois: torch.Tensor, device: torch.device
) -> np.ndarray:
    """Score some boxes: (N,81) float32, 0..1.

    Parameters
    ----------
    network : callable
        (clips, rois) -> logits, for example a `FusedDetector` on `device`.
    entry : ZooEntry
        The network's: how its clips are normalized, and whether boxes are clipped to them.
    clips : (B,T,H,W,3) uint8
    rois : (N,5) float
        [batch index, x1, y1, x2, y2] in the clips' pixels.
    device : torch.device

    Returns
    -------
    (N,81) ndarray
        NaN where a logit is NaN or infinite (the sigmoid would hide an infinite one).
    """
    height, width = clips.shape[2:4]
    if entry.clips_boxes:
        sides = clip_boxes(rois[:, 1:].numpy(), width, height)
        rois = torch.cat([rois[:, :1], torch.from_numpy(sides)], dim=1)
    clips = normalize_clips(clips.to(device, non_blocking=True), entry.mean, entry.std)
    logits = network(clips, rois.to(device)).float()
    return torch.where(logits.isfinite(), logits.sigmoid(), torch.nan).cpu().numpy()


def build_non_finite_error(model: Detector, clips: str) -> LogitsNotFiniteError:
    """The error for a network whose output is NaN or infinite; clips: which ones, as text."""
    source = model.report.source if getattr(model, "report", None) else f"the model ({model.entry.alias})"
    return LogitsNotFiniteError(
        f"{source}: the network's output is NaN or infinite for {clips}. Are the weights too large, or is the range of "
        "the precision too small? Try precision='float32', then another checkpoint"
    )


def compute_coverage(keyframes: KeyframeTable, detections: pd.DataFrame) -> dict:
    """The part of a split that has detections: {"keyframes", "videos", "of" (keyframes in the split), "share"}."""
    scored = detections[["video_id", "timestamp"]].drop_duplicates()
    return {
        "keyframes": len(scored),
        "videos": scored.video_id.nunique(),
        "of": len(keyframes),
        "share": len(scored) / max(len(keyframes), 1),
    }


def build_proposals_table(keyframes: KeyframeTable) -> pd.DataFrame:
    """The proposals of a `KeyframeTable`: a table video_id, timestamp, x1, y1, x2, y2, score."""
    # (P,) the keyframe of each proposal
    frame = np.repeat(np.arange(len(keyframes)), np.diff(keyframes.proposal_start))
    table = pd.DataFrame(keyframes.proposals_norm, columns=BOX_COLUMNS)
    table.insert(0, "video_id", keyframes.video_ids[frame])
    table.insert(1, "timestamp", keyframes.timestamps[frame])
    return table.assign(score=keyframes.proposal_scores.astype(np.float64))


def build_detections_table(
    keyframes: KeyframeTable, scores: np.ndarray, boxes_norm: np.ndarray, entry: zoo.ZooEntry | None = None
) -> pd.DataFrame:
    """Make a table of detections: video_id, timestamp, x1, y1, x2, y2, action_id, score.

    Each proposal gets all actions (AVA's 80) that score enough, without suppression or cap, as in MMAction2. Rows are
    in the order of the keyframes, then by action, then by proposal.

    Parameters
    ----------
    keyframes : KeyframeTable
    scores : (P,81) float32
        As `score_keyframes` gives them; proposals with NaN are left out.
    boxes_norm : (P,4) float32
    entry : ZooEntry, optional
        Of the model: whether scores are multiplied by the person boxes', and which are too low to be written. None:
        all are written as they are.
    """
    if entry and entry.score_by_person:
        scores = scores * keyframes.proposal_scores[:, None]
    n_actions = scores.shape[1] - 1
    # S proposals have scores; each stands once for each of the K actions: (S*K,)
    scored = np.flatnonzero(~np.isnan(scores[:, 0]))
    proposal = np.repeat(scored, n_actions)
    action = np.tile(np.arange(1, n_actions + 1), len(scored))
    if entry and entry.score_threshold > 0:
        is_written = scores[proposal, action] > entry.score_threshold
        proposal = proposal[is_written]
        action = action[is_written]
    # by keyframe, then action, then proposal
    frame_of_proposal = np.repeat(np.arange(len(keyframes)), np.diff(keyframes.proposal_start))
    order = np.lexsort((proposal, action, frame_of_proposal[proposal]))
    proposal = proposal[order]
    action = action[order]
    frame = frame_of_proposal[proposal]
    table = pd.DataFrame(boxes_norm[proposal].astype(np.float64), columns=BOX_COLUMNS)
    table.insert(0, "video_id", keyframes.video_ids[frame])
    table.insert(1, "timestamp", keyframes.timestamps[frame])
    return table.assign(action_id=action, score=scores[proposal, action].astype(np.float64))
