"""An explanation points at what raised the score, for a network whose reason is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from avalib import draw, zoo
from avalib.data.ava_csv import read_ava_csv
from avalib.data.transforms import normalize_clips
from avalib.evaluation.explanation import explain_detection, explain_score
from avalib.models.detector import Detector
from avalib.models.roi_head import RoIHead


class BrightnessDetector(torch.nn.Module):
    """A detector whose score for 'stand' (12) is the brightness in the box; other scores are constant."""

    def __init__(self):
        super().__init__()
        self.entry = zoo.get("slowonly_r50")
        self.roi_head = RoIHead(3, self.entry)
        classifier = self.roi_head.bbox_head.fc_cls
        torch.nn.init.zeros_(classifier.weight)
        torch.nn.init.zeros_(classifier.bias)
        with torch.no_grad():
            classifier.weight[12] = 1.0

    def backbone(self, clips):
        return [torch.nn.functional.avg_pool3d(clips - clips.min(), (1, 16, 16))]

    def prepare_rois(self, rois, clips):
        return rois

    def forward(self, clips, rois):
        return self.roi_head(self.backbone(clips), rois)


FRAMES = np.zeros((4, 128, 128, 3), np.uint8)
FRAMES[2, 32:64, 80:112] = 255  # in the second person's box, in the third frame
FRAMES[:, 96:128, 0:32] = 255  # outside of both boxes
BOXES_PX = [(0, 0, 48, 80), (64, 0, 127, 100)]


@pytest.fixture(scope="module")
def explanation():
    """Of the second person."""
    return explain_score(BrightnessDetector(), FRAMES, BOXES_PX, person=1)


def test_the_action_with_the_highest_score_is_explained(explanation):
    assert explanation.action_id == 12
    assert explanation.score > 0.6


def test_the_heatmap_is_highest_where_the_score_was_raised(explanation):
    t, y, x = np.unravel_index(explanation.heatmap.argmax(), explanation.heatmap.shape)
    assert t == 2
    assert 32 <= y < 64
    assert 80 <= x < 112


def test_the_heatmap_is_low_outside_the_box(explanation):
    assert explanation.heatmap[:, 112:, :16].max() < 0.01


def test_the_score_drops_without_the_frame_that_raised_it(explanation):
    assert explanation.segments == ((0,), (1,), (2,), (3,))
    assert explanation.score_drops[2] > 0.05
    assert np.delete(explanation.score_drops, 2).max() < 1e-6


def test_other_peoples_frames_do_not_count():
    explanation = explain_score(BrightnessDetector(), FRAMES, BOXES_PX, person=0, action_id=12)
    assert explanation.score_drops.max() < 0.01


@pytest.mark.parametrize(
    ("options", "message"), [({"person": 2}, "person 2: the clip has 2 boxes"), ({"action_id": 81}, "action_id 81")]
)
def test_numbers_out_of_range_are_errors(options, message):
    with pytest.raises(ValueError, match=message):
        explain_score(BrightnessDetector(), FRAMES, BOXES_PX, **options)


@pytest.mark.slow
@pytest.mark.parametrize("alias", ["slowonly_r50", "slowfast_context_r50", "umt_vit_b"])
def test_the_zoos_networks_are_explained(alias):
    torch.manual_seed(0)
    entry = zoo.get(alias)
    model = Detector(entry).eval()
    frames = np.random.default_rng(0).integers(0, 256, (entry.clip_len, 64, 64, 3), np.uint8)
    explanation = explain_score(model, frames, [(4, 4, 60, 60)], action_id=14, n_segments=2)
    with torch.inference_mode():
        clips = normalize_clips(torch.from_numpy(frames)[None], model.entry.mean, model.entry.std)
        logits = model(clips, torch.tensor([[0.0, 4, 4, 60, 60]]))
    assert explanation.score == pytest.approx(float(logits[0, 14].sigmoid()), abs=1e-5)
    assert explanation.heatmap.shape == frames.shape[:3]
    assert explanation.heatmap.max() == 1
    assert len(explanation.score_drops) == 2


def test_an_explanation_is_drawn(explanation):
    sheet = draw.draw_explanation_sheet(explanation, columns=2, width=160)
    assert sheet.width == 324
    assert sheet.height > 160


@pytest.fixture(scope="module")
def row(tiny):
    """The first row of the tiny data set's ground truth."""
    return read_ava_csv(tiny.get_csv_path("val"), "ground_truth").iloc[0]


@pytest.fixture(scope="module")
def recipe():
    return replace(zoo.get_recipe(zoo.get("slowonly_r50"), "tiny"), cache_short_side=None)


@pytest.mark.slow
def test_a_row_of_a_table_is_explained(tiny, row, recipe):
    torch.manual_seed(0)
    model = Detector(zoo.get("slowonly_r50"))
    box = row[["x1", "y1", "x2", "y2"]].to_numpy(float)
    explanation = explain_detection(
        model, recipe, tiny, "val", row.video_id, row.timestamp, box_norm=box, action_id=12, n_segments=1
    )
    height, width = explanation.frames.shape[1:3]
    assert np.abs(explanation.box_px / [width, height, width, height] - box).max() < 0.15
    assert explanation.action_id == 12


def test_a_second_without_a_keyframe_is_an_error(tiny, recipe):
    with pytest.raises(ValueError, match="nobody 902: no keyframe"):
        explain_detection(BrightnessDetector(), recipe, tiny, "val", "nobody", 902, box_norm=[0, 0, 1, 1])
