"""Explanation of a score: which regions of a clip raised it, and how much it drops without some of the frames."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from avalib import zoo
from avalib.data.dataset import ClipDataset
from avalib.data.keyframe_table import load_keyframes
from avalib.data.labels import N_ACTIONS
from avalib.data.layout import DatasetLayout
from avalib.data.transforms import normalize_clips
from avalib.models.detector import Detector
from avalib.utils.boxes import build_rois, compute_iou_matrix
from avalib.utils.plurals import format_count
from avalib.video.dataset_frames import open_frames


@dataclass(frozen=True)
class Explanation:
    """The explanation of one person's score for one action."""

    model: str  # the model's alias
    frames: np.ndarray  # (T,H,W,3) uint8
    box_px: np.ndarray  # (4,) the person's box
    action_id: int
    score: float  # 0..1
    heatmap: np.ndarray  # (T,H,W) float32, 0..1; 1 where the score was raised most
    segments: tuple  # tuples of neighboring frame numbers, which together are the clip
    score_drops: np.ndarray  # (len(segments),) how much the score drops without each segment


def explain_score(
    model: Detector,
    frames: np.ndarray,
    boxes_px: np.ndarray,
    person: int = 0,
    action_id: int | None = None,
    n_segments: int = 8,
) -> Explanation:
    """Explain the score of one person in a clip.

    Regions: HiResCAM, the gradient times the activation of the backbone's last feature maps, summed over channels;
    negative values are set to 0. Source: Draelos and Carin 2020. Unlike Grad-CAM it does not average over positions,
    so it separates people. Frames: each segment's frames are replaced by the nearest frames outside the segment.

    Parameters
    ----------
    model : Detector
    frames : (T,H,W,3) uint8
        The clip as the model is tested with.
    boxes_px : (N,4) float
        Boxes of the people in the clip, xyxy in its pixels.
    person : int
        Index of the person in `boxes_px`.
    action_id : int, optional
        The action to explain; None: the person's action with the highest score.
    n_segments : int
        Number of segments the clip is divided into; at most one per frame.

    Returns
    -------
    Explanation

    Raises
    ------
    ValueError
        If `person` or `action_id` is out of range.
    """
    if not 0 <= person < len(boxes_px):
        raise ValueError(f"person {person}: the clip has {format_count(len(boxes_px), 'box', 'boxes')}")
    if action_id is not None and not 1 <= action_id <= N_ACTIONS:
        raise ValueError(f"action_id {action_id}: AVA's actions are 1..{N_ACTIONS}")
    model = model.eval()
    device = next(model.parameters()).device
    clips = torch.as_tensor(np.ascontiguousarray(frames))[None].to(device)
    clips = normalize_clips(clips, model.entry.mean, model.entry.std)
    rois = torch.from_numpy(build_rois([np.asarray(boxes_px, np.float32)])).to(device)

    # gradient of the person's logit with respect to each of the backbone's feature maps (1,C,t,h,w)
    with torch.enable_grad():
        inputs = clips.requires_grad_().contiguous(memory_format=torch.channels_last_3d)
        feature_maps = list(model.backbone(inputs))
        logits = model.roi_head(feature_maps, model.prepare_rois(rois, clips))[person]
        action_id = int(logits[1:].argmax()) + 1 if action_id is None else int(action_id)
        gradients = torch.autograd.grad(logits[action_id], feature_maps)
    score = float(logits[action_id].detach().sigmoid())

    # sum over the pathways (SlowFast has two), scaled so that the maximum is 1: (T,H,W)
    maps = zip(feature_maps, gradients, strict=True)
    heatmap = sum(compute_hires_cam(feature_map, gradient, frames.shape[:3]) for feature_map, gradient in maps)
    heatmap = (heatmap / heatmap.max().clamp(min=1e-12)).cpu().numpy()

    # the frames' part: the score again without each segment
    segments = np.array_split(np.arange(len(frames)), min(n_segments, len(frames)))
    segments = tuple(tuple(segment.tolist()) for segment in segments)
    clips = clips.detach()
    drops = [score - score_without_frames(model, clips, rois, segment, person, action_id) for segment in segments]
    return Explanation(
        model=model.entry.alias,
        frames=np.asarray(frames),
        box_px=np.asarray(boxes_px[person]),
        action_id=action_id,
        score=score,
        heatmap=heatmap,
        segments=segments,
        score_drops=np.array(drops),
    )


def compute_hires_cam(feature_map: torch.Tensor, gradient: torch.Tensor, size: tuple[int, int, int]) -> torch.Tensor:
    """The positive part of gradient times activation (1,C,t,h,w), summed over channels and resized to (T,H,W)."""
    # (1,C,t,h,w) -> (1,1,t,h,w) -> (T,H,W)
    raised = (feature_map.detach().float() * gradient.float()).sum(dim=1, keepdim=True).clamp(min=0)
    return F.interpolate(raised, size=tuple(size), mode="trilinear", align_corners=False)[0, 0]


@torch.inference_mode()
def score_without_frames(model, clips, rois, segment, person, action_id):
    """The score if the frames of a segment are replaced by the nearest other frames.

    A segment that is the whole clip is replaced by the clip's mean color.
    """
    others = [t for t in range(clips.shape[2]) if t not in segment]
    # (1,3,T,H,W) with each frame of the segment replaced
    changed = clips.clone()
    for t in segment:
        if others:
            nearest = min(others, key=lambda other: abs(other - t))
            changed[:, :, t] = clips[:, :, nearest]
        else:
            changed[:, :, t] = clips.mean(dim=(2, 3, 4), keepdim=True)[:, :, 0]
    return float(model(changed, rois)[person, action_id].sigmoid())


def explain_detection(
    detector: Detector,
    recipe: zoo.Recipe,
    layout: DatasetLayout,
    split: str,
    video_id: str,
    timestamp: float,
    box_norm: np.ndarray,
    action_id: int | None = None,
    n_segments: int = 8,
) -> Explanation:
    """Explain one detection of a table. The clip is read and resized as in `inference.score_keyframes`.

    Parameters
    ----------
    detector : Detector
    recipe : zoo.Recipe
    layout : DatasetLayout
    split : str
    video_id : str
    timestamp : float
        Seconds, of a keyframe of the split.
    box_norm : (4,) float
        The detection's box, xyxy in 0..1. The proposal with the highest IoU is explained.
    action_id, n_segments
        See `explain_score`.

    Returns
    -------
    Explanation

    Raises
    ------
    ValueError
        If the split has no keyframe with person boxes at this time.
    """
    # the keyframe, and the proposal that overlaps the box most
    keyframes = load_keyframes(layout, split, recipe.person_score)
    matches = np.flatnonzero((keyframes.video_ids == video_id) & (keyframes.timestamps == timestamp))
    if not len(matches) or not len(keyframes.get_proposals(matches[0])):
        raise ValueError(f"{video_id} {timestamp:g}: no keyframe with person boxes in {split}")
    keyframe = int(matches[0])
    iou = compute_iou_matrix(np.asarray(box_norm)[None], keyframes.get_proposals(keyframe))[0]
    # its clip, as in a test
    frames = open_frames(layout, recipe, [keyframes], progress=False)
    sample = ClipDataset(keyframes, detector.entry, recipe, frames, training=False)[keyframe]
    return explain_score(
        detector,
        frames=sample["clip"].numpy(),
        boxes_px=sample["boxes"],
        person=int(iou.argmax()),
        action_id=action_id,
        n_segments=n_segments,
    )
