"""Each kind of network, small, the whole way: trained on the tiny data set, saved, loaded, scored, fused, exported."""

from dataclasses import replace

import numpy as np
import pytest
import tiny_model  # noqa: F401  (a ResNet of depth 14)
import tiny_vit
import torch

from avalib import zoo
from avalib.data.label_map import read_label_map
from avalib.detection.detect_video import detect
from avalib.evaluation.evaluator import evaluate_split
from avalib.evaluation.inference import detect_dataset, load_trained_model
from avalib.models.export import export_model
from avalib.models.fused import FusedDetector
from avalib.training.engine import train_model
from avalib.training.train_config import configure_training
from avalib.video.frame_numbers import AVA_START_S

pytestmark = pytest.mark.slow

SMALL_NON_LOCAL = {"non_local_blocks": ("2.0", "3.0")}
ENTRIES = {
    entry.alias: entry
    for entry in (
        replace(zoo.get("slowonly_r50_16x4_ak_tricks"), depth=14, head_width=32),
        replace(zoo.get("slowonly_nl_r50_4x16"), depth=14, **SMALL_NON_LOCAL),
        replace(zoo.get("slowfast_acrn_r50_8x8"), depth=14),
        replace(zoo.get("psf_slowfast_r101_32x2_v22"), depth=14, inflated_blocks=1, **SMALL_NON_LOCAL),
        replace(zoo.get("ptv_slow_r50_detection"), depth=14),
        tiny_vit.ENTRY,
        tiny_vit.UMT_ENTRY,
    )
}


@pytest.fixture(scope="module", params=ENTRIES)
def entry(request):
    return ENTRIES[request.param]


@pytest.fixture(scope="module")
def checkpoint(entry, tiny, tmp_path_factory):
    """The file of a training of one epoch."""
    recipe = zoo.update_recipe(zoo.build_mini_recipe(entry), short_side=32, batch_size=4, epochs=1)
    recipe = replace(recipe, cache_short_side=None, validate_every=1)
    config = configure_training(entry, recipe, tiny, "cpu", workers=0, precision="float32")
    folder = tmp_path_factory.mktemp("runs") / entry.alias
    log = train_model(config, folder, progress=False)
    assert log["loss"].dropna().map(np.isfinite).all()
    return folder / "final.pth"


@pytest.fixture(scope="module")
def model(checkpoint):
    return load_trained_model(None, checkpoint, "tiny")[0]


@pytest.fixture(scope="module")
def inputs(entry):
    """(clips, rois): one clip of 48x64, two boxes."""
    generator = torch.Generator().manual_seed(0)
    rois = torch.tensor([[0, 4, 3, 40, 44], [0, 20, 8, 60, 40.0]])
    return torch.randn(1, 3, entry.clip_len, 48, 64, generator=generator), rois


def test_the_checkpoint_carries_its_entry(model, entry):
    assert model.entry == entry


def test_the_trained_model_is_scored(model, checkpoint, tiny):
    recipe = load_trained_model(None, checkpoint, "tiny")[1]
    table, _ = detect_dataset(model, tiny, "val", recipe, "cpu", "float32", progress=False)
    assert 0 <= evaluate_split(tiny, table, "val").mAP <= 1


def test_a_video_has_the_scores_of_the_data_sets_own_path(model, checkpoint, tiny):
    recipe = load_trained_model(None, checkpoint, "tiny")[1]
    expected, _ = detect_dataset(model, tiny, "val", recipe, "cpu", "float32", progress=False)
    expected = expected[expected["video_id"] == expected["video_id"].iloc[0]]
    actual = detect(
        tiny.find_video(expected["video_id"].iloc[0]),
        checkpoint=checkpoint,
        model=None,
        boxes=tiny.get_proposals_path("val"),
        person_score=recipe.person_score,
        device="cpu",
        precision="float32",
        progress=False,
    )
    actual = actual[actual["time_s"].isin(expected["timestamp"] - AVA_START_S)]
    actual = actual[actual["score"] > model.entry.score_threshold]
    for action_id in read_label_map(tiny.evaluated_label_map_path):
        scores = [table.loc[table["action_id"] == action_id, "score"].sort_values() for table in (actual, expected)]
        np.testing.assert_allclose(*scores, atol=1e-4)


def test_the_fused_form_gives_the_same_logits(model, inputs):
    with torch.inference_mode():
        expected = model(*inputs)
        torch.testing.assert_close(FusedDetector(model, torch.float32)(*inputs), expected, rtol=0, atol=1e-4)


def test_the_classifier_has_a_column_for_each_action(model, inputs):
    with torch.inference_mode():
        assert model(*inputs).shape == (2, 81)


@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
def test_the_exported_file_gives_the_same_logits(model, tmp_path, suffix):
    exported = export_model(model, tmp_path / f"model{suffix}", size=(48, 64), verbose=False)
    assert exported.deviation < 1e-4
