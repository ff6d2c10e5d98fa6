"""Where a score came from: which regions of the clip raised it, and what it loses without some of its frames."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from avalib.data.dataset import ClipDataset, load_keyframes
from avalib.data.labels import N_ACTIONS
from avalib.data.transforms import normalize_clips
from avalib.utils.boxes import build_rois, compute_iou_matrix
from avalib.video.frame_source import open_frames


@dataclass(frozen=True)
class Explanation:
    """One person's score for one action.

    model: its alias; frames (T,H,W,3) uint8; box_px (4,); action_id; score 0..1; heat (T,H,W) float32 0..1, 1 where the
    score was raised most; parts: tuple of tuples of frame numbers, lost (parts,) what the score loses without each.
    """

    model: str
    frames: np.ndarray
    box_px: np.ndarray
    action_id: int
    score: float
    heat: np.ndarray
    parts: tuple
    lost: np.ndarray


def explain_score(model, frames, boxes_px, person=0, action_id=None, parts=8):
    """Explain the score of one person of a clip -> Explanation.

    model: Detector; frames (T,H,W,3) uint8 as the model is tested with, boxes_px (N,4) in their pixels; action_id None:
    the person's surest action; parts: the clip is left out in so many parts, one frame each where it has no more.
    Regions: gradient times activation of the backbone's last maps, summed over channels, what lowers the score left out
    (HiResCAM, Draelos and Carin 2020: Grad-CAM without the averaging that would mix people up). Frames: those of a part
    are replaced by the nearest ones outside of it.
    Raises ValueError for a person or an action that isn't there.
    """
    if not 0 <= person < len(boxes_px):
        raise ValueError(f"person {person}: the clip has {len(boxes_px)} boxes")
    if action_id is not None and not 1 <= action_id <= N_ACTIONS:
        raise ValueError(f"action_id {action_id}: AVA's actions are 1..{N_ACTIONS}")
    model, device = model.eval(), next(model.parameters()).device
    clips = normalize_clips(torch.as_tensor(np.ascontiguousarray(frames))[None].to(device))
    rois = torch.from_numpy(build_rois([np.asarray(boxes_px, np.float32)])).to(device)
    with torch.enable_grad():
        maps = list(model.backbone(clips.requires_grad_().contiguous(memory_format=torch.channels_last_3d)))
        logits = model.roi_head(maps, rois)[person]
        action_id = int(logits[1:].argmax()) + 1 if action_id is None else int(action_id)
        gradients = torch.autograd.grad(logits[action_id], maps)
    heat = sum(_upward(m, g, frames.shape[:3]) for m, g in zip(maps, gradients, strict=True))
    score = float(logits[action_id].detach().sigmoid())
    split = tuple(tuple(part.tolist()) for part in np.array_split(np.arange(len(frames)), min(parts, len(frames))))
    lost = np.array([score - _without(model, clips.detach(), rois, part, person, action_id) for part in split])
    heat = (heat / heat.max().clamp(min=1e-12)).cpu().numpy()
    box_px = np.asarray(boxes_px[person])
    return Explanation(model.entry.alias, np.asarray(frames), box_px, action_id, score, heat, split, lost)


def _upward(maps, gradients, size):
    """What of a map (1,C,t,h,w) raised the score, at the clip's size (T,H,W)."""
    raised = (maps.detach().float() * gradients.float()).sum(dim=1, keepdim=True).clamp(min=0)
    return F.interpolate(raised, size=tuple(size), mode="trilinear", align_corners=False)[0, 0]


@torch.inference_mode()
def _without(model, clips, rois, part, person, action_id):
    """The score when a part's frames are replaced by the nearest others; a clip of one part is replaced by its mean."""
    others = [t for t in range(clips.shape[2]) if t not in part]
    changed = clips.clone()
    for t in part:
        nearest = min(others, key=lambda other: abs(other - t), default=None)
        changed[:, :, t] = clips.mean(dim=(2, 3, 4), keepdim=True)[:, :, 0] if nearest is None else clips[:, :, nearest]
    return float(model(changed, rois)[person, action_id].sigmoid())


def explain_detection(detector, recipe, layout, split, video_id, timestamp, box_norm, action_id=None, **options):
    """Explain a row of a detections table: the clip is read and cut as `infer.score` does it -> Explanation.

    box_norm (4,): the row's box; the proposal that it overlaps most is taken. options: explain's.
    Raises ValueError for a second that the split's keyframes don't have.
    """
    keyframes = load_keyframes(layout, split, recipe.person_score)
    at = np.flatnonzero((keyframes.video_ids == video_id) & (keyframes.timestamps == timestamp))
    if not len(at) or not len(keyframes.get_proposals(at[0])):
        raise ValueError(f"{video_id} {timestamp:g}: no keyframe with person boxes in {split}")
    person = int(compute_iou_matrix(np.asarray(box_norm)[None], keyframes.get_proposals(at[0]))[0].argmax())
    frames = open_frames(layout, recipe, [keyframes], progress=False)
    sample = ClipDataset(keyframes, detector.entry, recipe, frames, training=False)[int(at[0])]
    return explain_score(detector, sample["clip"].numpy(), sample["boxes"], person, action_id, **options)
