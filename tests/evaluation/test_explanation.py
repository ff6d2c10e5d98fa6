"""Explanations point at what really made the score: a network whose reason is known, and the zoo's own shapes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from avalib import draw, zoo
from avalib.data.ava_csv import read_ava_csv
from avalib.data.transforms import normalize_clips
from avalib.evaluation.explanation import explain_detection, explain_score
from avalib.models.detector import Detector, RoIHead


class Brightness(torch.nn.Module):
    """A detector that says 'stand' (12) of whoever has something bright in the box at any time, and nothing else."""

    def __init__(self):
        super().__init__()
        self.entry, self.roi_head = zoo.get("slowonly_r50"), RoIHead(3, context=False)
        torch.nn.init.zeros_(self.roi_head.bbox_head.fc_cls.weight)
        torch.nn.init.zeros_(self.roi_head.bbox_head.fc_cls.bias)
        with torch.no_grad():
            self.roi_head.bbox_head.fc_cls.weight[12] = 1.0

    def backbone(self, clips):
        return [torch.nn.functional.avg_pool3d(clips - clips.min(), (1, 16, 16))]

    def forward(self, clips, rois):
        return self.roi_head(self.backbone(clips), rois)


def test_the_reason_is_found_in_space_and_time():
    frames = np.zeros((4, 128, 128, 3), np.uint8)
    frames[2, 32:64, 80:112] = 255  # in the second person's box, in the third frame
    frames[:, 96:128, 0:32] = 255  # in nobody's box
    boxes_px = [(0, 0, 48, 80), (64, 0, 127, 100)]
    found = explain_score(Brightness(), frames, boxes_px, person=1)
    assert found.action_id == 12 and found.score > 0.6 and found.segments == ((0,), (1,), (2,), (3,))
    t, y, x = np.unravel_index(found.heatmap.argmax(), found.heatmap.shape)
    assert t == 2 and 32 <= y < 64 and 80 <= x < 112 and found.heatmap[:, 112:, :16].max() < 0.01
    assert (
        found.score_drops.argmax() == 2 and found.score_drops[2] > 0.05 and np.delete(found.score_drops, 2).max() < 1e-6
    )
    other = explain_score(Brightness(), frames, boxes_px, person=0, action_id=12)
    assert other.score_drops.max() < 0.01
    with pytest.raises(ValueError, match="person 2: the clip has 2 boxes"):
        explain_score(Brightness(), frames, boxes_px, person=2)
    with pytest.raises(ValueError, match="action_id 81"):
        explain_score(Brightness(), frames, boxes_px, action_id=81)


@pytest.mark.parametrize("alias", ["slowonly_r50", "slowfast_context_r50"])
def test_every_backbone_is_explained_and_its_score_is_the_models(alias):
    torch.manual_seed(0)
    entry = zoo.get(alias)
    model = Detector(entry).eval()
    frames = np.random.default_rng(0).integers(0, 256, (entry.clip_len, 64, 64, 3), np.uint8)
    found = explain_score(model, frames, [(4, 4, 60, 60)], action_id=14, n_segments=2)
    assert found.heatmap.shape == frames.shape[:3] and found.heatmap.max() == 1 and len(found.score_drops) == 2
    with torch.inference_mode():
        clips = normalize_clips(torch.from_numpy(frames)[None])
        logits = model(clips, torch.tensor([[0.0, 4, 4, 60, 60]]))
    assert abs(found.score - float(logits[0, 14].sigmoid())) < 1e-5
    sheet = draw.draw_explanation_sheet(found, columns=2, width=160)
    assert sheet.width == 324 and sheet.height > 160


def test_a_row_of_a_table_is_explained(tiny):
    recipe = replace(zoo.get_recipe(zoo.get("slowonly_r50"), "tiny"), cache_short_side=None)
    torch.manual_seed(0)
    model = Detector(zoo.get("slowonly_r50"))
    row = read_ava_csv(tiny.get_csv_path("val"), "ground_truth").iloc[0]
    box = row[["x1", "y1", "x2", "y2"]].to_numpy(float)
    found = explain_detection(model, recipe, tiny, "val", row.video_id, row.timestamp, box, 12, n_segments=1)
    height, width = found.frames.shape[1:3]
    assert np.abs(found.box_px / [width, height, width, height] - box).max() < 0.15 and found.action_id == 12
    with pytest.raises(ValueError, match="nobody 902: no keyframe"):
        explain_detection(model, recipe, tiny, "val", "nobody", 902, box)
