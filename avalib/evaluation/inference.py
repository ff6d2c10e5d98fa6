"""Scores for boxes: a model over a data set's keyframes, to a table of detections."""

from contextlib import closing

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from avalib import zoo
from avalib.data.dataset import ClipDataset
from avalib.data.keyframe_table import load_keyframes
from avalib.data.loader import build_loader
from avalib.data.samplers import PerVideoBatchSampler, order_in_stretches
from avalib.data.transforms import normalize_clips
from avalib.models.build import build_model
from avalib.models.checkpoint import check_classes
from avalib.models.fused import FusedDetector
from avalib.utils.boxes import to_norm
from avalib.utils.device import choose_device, choose_precision
from avalib.utils.distributed import SINGLE_PROCESS
from avalib.utils.errors import AvalibError
from avalib.utils.workers import disable_malloc_trim
from avalib.video.dataset_frames import open_frames


class NotFiniteError(AvalibError, FloatingPointError, ValueError):
    """A network gave NaN or infinite logits; the message names its checkpoint and the clips."""


def load_trained_model(model, checkpoint, dataset_name):
    """A detector and the recipe it is tested with. -> (Detector, zoo.Recipe).

    The recipe is the one inside the checkpoint, or the zoo's for that data set where the file holds none.
    """
    detector = build_model(model, checkpoint)
    recipe = detector.meta.recipe if detector.meta else None
    return detector, recipe or zoo.get_recipe(detector.entry, dataset_name)


def detect_dataset(detector, layout, split, recipe, device="auto", precision="auto", workers=0, progress=True):
    """A detector over a split's proposals. -> table of detections (see `detections`), keyframes.

    Raises ValueError where the detector was trained for other classes than the data set's.
    """
    check_classes(detector, layout.load_label_map())
    keyframes = load_keyframes(layout, split, recipe.person_score)
    frames = open_frames(layout, recipe, [keyframes], progress)
    scored = score_keyframes(detector, keyframes, recipe, frames, device, precision, workers=workers, progress=progress)
    return build_detections_table(keyframes, *scored), keyframes


@torch.inference_mode()
def score_keyframes(
    model, keyframes, recipe, frames, device="auto", precision="auto", batch_size=8, workers=0, progress=True,
    context=SINGLE_PROCESS,
):  # fmt: skip
    """Run a model over every keyframe's proposals.

    model: Detector; keyframes: dataset.Keyframes; frames: dataset.FrameSource.
    -> (scores, rows): scores (P,81) float32 0..1, one row a proposal, in keyframe order (the order of
    keyframes.proposals_norm); and the proposals' boxes (P,4) 0..1, as they came back from the resized frame. Both are
    NaN where the frames could not be read (said, and an error beyond 1 % of the keyframes).
    context: the processes that share the work, batch by batch. Each gets what one alone would have got.
    """
    device = choose_device(device)
    dtype = choose_precision(precision, device)
    disable_malloc_trim()
    form = FusedDetector(model.to(device).eval(), dtype)
    clips = ClipDataset(keyframes, model.entry, recipe, frames, training=False)
    mine = PerVideoBatchSampler(keyframes.video_ids, batch_size).batches[context.rank :: context.size]
    start, found = keyframes.proposal_start, []  # (rows, scores, boxes) of each of this process's batches
    mine = order_in_stretches(mine, max(workers, 1))
    with closing(build_loader(clips, mine, workers)) as loader:
        for batch in tqdm(loader, desc="scoring", unit="batch", disable=not progress):
            height, width = batch["clips"].shape[2:4]
            values = score_batch(form, batch["clips"], batch["rois"], device)
            if np.isnan(values).any():
                place = [f"{keyframes.video_ids[k]},{keyframes.timestamps[k]:g}" for k in batch["index"].tolist()]
                raise build_non_finite_error(model, f"keyframes {' '.join(map(str, place[:8]))}")
            rows = np.concatenate([np.arange(start[k], start[k + 1]) for k in batch["index"].tolist()])
            found.append((rows, values, to_norm(batch["rois"][:, 1:].numpy(), width, height)))
    scores = np.full((start[-1], model.roi_head.bbox_head.fc_cls.out_features), np.nan, np.float32)
    boxes_norm = np.full((start[-1], 4), np.nan, np.float32)
    for rows, *values in (one for shard in context.gather(found) for one in shard):
        scores[rows], boxes_norm[rows] = values
    return scores, boxes_norm


@torch.inference_mode()
def score_batch(form, clips, rois, device):
    """clips (B,T,H,W,3) uint8, rois (N,5) [batch index, x1,y1,x2,y2] in their pixels -> scores (N,81) float32 0..1.

    A logit that is NaN or infinite gives NaN, as sigmoid would hide an infinite one; see `not_numbers`.
    form: an InferenceForm on `device`, or what is called like one.
    """
    logits = form(normalize_clips(clips.to(device, non_blocking=True)), rois.to(device))
    logits = logits.float()
    return torch.where(logits.isfinite(), logits.sigmoid(), torch.nan).cpu().numpy()


def build_non_finite_error(model, clips):
    """The error for a network whose output is NaN or infinite. clips: which ones, in words."""
    source = model.report.source if getattr(model, "report", None) else f"the model ({model.entry.alias})"
    return NotFiniteError(
        f"{source}: the network's output is NaN or infinite for {clips}. Weights that grew too large, or a precision "
        "with too small a range? Try precision='float32', then another checkpoint"
    )


def compute_coverage(keyframes, found):
    """How much of a split was scored: {"keyframes", "videos" (both scored), "of" (keyframes), "share"}."""
    scored = found[["video_id", "timestamp"]].drop_duplicates()
    share = len(scored) / max(len(keyframes), 1)
    return {"keyframes": len(scored), "videos": scored.video_id.nunique(), "of": len(keyframes), "share": share}


def build_proposals_table(keyframes):
    """The proposals that `score` scores, as a table: video_id, timestamp, x1, y1, x2, y2, score."""
    frame = np.repeat(np.arange(len(keyframes)), np.diff(keyframes.proposal_start))
    table = pd.DataFrame(keyframes.proposals_norm, columns=["x1", "y1", "x2", "y2"])
    table.insert(0, "video_id", keyframes.video_ids[frame])
    table.insert(1, "timestamp", keyframes.timestamps[frame])
    return table.assign(score=keyframes.proposal_scores.astype(np.float64))


def build_detections_table(keyframes, scores, boxes_norm):
    """Scores as a table of detections: video_id, timestamp, x1, y1, x2, y2, action_id, score.

    Every proposal gets all actions (AVA's 80): no suppression, no cut, no cap (as v0.10.0). Rows are in dataset order,
    then action, then proposal. A proposal without scores (NaN) gives no rows.
    """
    count, n_actions = np.diff(keyframes.proposal_start), scores.shape[1] - 1
    frame = np.repeat(np.arange(len(keyframes)), count)  # keyframe of every proposal
    scored = np.flatnonzero(~np.isnan(scores[:, 0]))
    proposal = np.repeat(scored, n_actions)
    action = np.tile(np.arange(1, n_actions + 1), len(scored))
    order = np.lexsort((proposal, action, frame[proposal]))
    proposal, action = proposal[order], action[order]
    table = pd.DataFrame(boxes_norm[proposal].astype(np.float64), columns=["x1", "y1", "x2", "y2"])
    table.insert(0, "video_id", keyframes.video_ids[frame[proposal]])
    table.insert(1, "timestamp", keyframes.timestamps[frame[proposal]])
    return table.assign(action_id=action, score=scores[proposal, action].astype(np.float64))
