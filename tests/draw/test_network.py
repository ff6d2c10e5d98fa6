"""The network's figures show the tensors' shapes and values."""

import numpy as np
import pandas as pd
import pytest
from figures import read_text

from avalib import draw

STAGES = pd.DataFrame(
    [
        ("clips", "frames", "3x4x64x64", 0),
        ("slow_path.conv1", "stem conv 1x7x7, stride 1x2x2", "64x4x32x32", 9536),
        ("fast_path.conv1", "stem conv 5x7x7", "8x32x32x32", 5896),
        ("slow_path.conv1_lateral", "lateral conv 5x1x1", "16x4x16x16", 640),
        ("logits", "linear 2304 -> 81", "81", 186705),
    ],
    columns=["stage", "what", "output", "parameters"],
)


@pytest.fixture
def outputs():
    rng = np.random.default_rng(0)
    logits = np.full((2, 81), -5.0)
    logits[0, 12] = 5
    return {
        "clips": rng.random((1, 3, 4, 16, 16)),
        "backbone.conv1": rng.random((1, 8, 4, 8, 8)),
        "RoIAlign": rng.random((2, 8, 8, 8)),
        "logits": logits,
    }


def test_stages_are_named_with_output_and_parameters():
    text = read_text(draw.plot_stage_shapes(STAGES))
    for part in ("64x4x32x32", "8x32x32x32", "+16 channels", "9,536 param.", "(0.2 M parameters)", "fast pathway"):
        assert part in text


def test_a_stage_has_a_sheet_for_each_frame():
    figure = draw.plot_stage_shapes(STAGES)
    assert len(figure.axes[0].patches) == 4 + 4 + 32 + 1  # clips, slow, fast, logits


def test_feature_maps_have_shapes_and_the_best_action(outputs):
    text = read_text(draw.plot_feature_maps(outputs))
    assert "conv1\n8x4x8x8" in text
    assert "stand" in text


@pytest.mark.slow
def test_the_roi_shows_the_mean_over_channels(outputs):
    features = outputs["RoIAlign"][0]
    figure = draw.plot_roi_on_frame(np.zeros((64, 64, 3), np.uint8), (10, 10, 30, 60), features)
    assert np.allclose(figure.axes[2].images[0].get_array(), features.mean(0))
