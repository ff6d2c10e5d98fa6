"""The fused detector: the plain model's logits, folded, and how far reduced precision is from them."""

import dataclasses

import golden_outputs
import pytest
import tiny_model
import torch
from slow_marks import slow_but
from torch import nn

from avalib import zoo
from avalib.models.checkpoint import save_checkpoint
from avalib.models.conv import ConvBN
from avalib.models.detector import Detector
from avalib.models.folded_conv import FoldedConv
from avalib.models.fused import FusedDetector, for_inference, fuse_model


@pytest.fixture(scope="module")
def model():
    return golden_outputs.build_golden_detector(
        "slowfast_context_r50"
    )  # every kind of convolution, laterals and context


def build_sample(name="slowfast_context_r50"):
    return golden_outputs.draw_clips(name), golden_outputs.load_rois()


def compute_logits(model, sample):
    with torch.inference_mode():
        return model(*sample)


BOXES = [
    (90, 5, 130, 40),
    (0, 100, 9, 127),
    (170, 0, 191, 127),
    (-40, -9, 300, 200),
    (80, 60, 80, 60),
    (-90, 4, -50, 30),
    (230, 140, 260, 160),
]
NETWORKS = ["slowonly_r50", "slowonly_r101", "slowfast_r50", "slowfast_r50_8x8"]


@pytest.mark.parametrize("name", slow_but(NETWORKS, "slowonly_r50"))
def test_float32_gives_the_goldens(name):
    fused = for_inference(golden_outputs.build_golden_detector(name), verbose=False)
    logits = compute_logits(fused, build_sample(name)).numpy()
    assert abs(logits - golden_outputs.ARRAYS[f"{name}/logits64"]).max() < 1e-4
    assert fused.deviation.dtype == "float32"
    assert 0 < fused.deviation.logits < 1e-4


@pytest.mark.slow
def test_float64_is_exact():
    fused = for_inference(golden_outputs.build_golden_detector("slowfast_context_r50").double(), verbose=False)
    sample = tuple(tensor.double() for tensor in build_sample())
    expected = golden_outputs.ARRAYS["slowfast_context_r50/logits64"]
    assert abs(compute_logits(fused, sample).numpy() - expected).max() < 1e-8


@pytest.fixture(scope="module")
def bfloat16():
    """(the fused detector in bfloat16, its logits, the model's own)."""
    torch.manual_seed(0)
    model = Detector(tiny_model.ENTRY, zero_init_residual=False).eval()
    nn.init.normal_(model.roi_head.bbox_head.fc_cls.weight, 0, 0.2)
    sample = torch.randn(1, 3, 4, 32, 40), torch.tensor([[0, 0, 0, 39, 31], [0, 5, 4, 20, 30.0]])
    fused = for_inference(model, torch.bfloat16, sample=sample)
    return fused, compute_logits(fused, sample), compute_logits(model, sample)


def test_the_deviation_of_bfloat16_is_measured(bfloat16):
    fused, logits, expected = bfloat16
    difference = (logits - expected).abs().max().item()
    assert 1e-3 < difference < 0.2
    assert fused.deviation.logits == pytest.approx(difference, rel=1e-3)
    assert fused.deviation.scores < 0.05
    assert fused.deviation.largest_logit == pytest.approx(expected.abs().max().item())


def test_logits_of_bfloat16_are_float32(bfloat16):
    assert bfloat16[1].dtype == torch.float32


def test_the_deviation_is_logged(capsys):
    for_inference(Detector(tiny_model.ENTRY))
    assert capsys.readouterr().out.startswith("fused detector in float32: logits (up to ")


def test_no_batch_norm_is_left(model):
    fused = fuse_model(model)
    n_units = sum(isinstance(module, ConvBN) for module in model.modules())
    assert not any(isinstance(module, ConvBN | nn.BatchNorm3d) for module in fused.modules())
    assert sum(isinstance(module, FoldedConv) for module in fused.modules()) == n_units == 106


def test_the_model_is_left_unchanged():
    model = Detector(tiny_model.ENTRY).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    types = [type(module) for module in model.modules()]
    fused = for_inference(model, verbose=False)  # measures the deviation too
    assert model.training
    assert not fused.detector.training
    assert [type(module) for module in model.modules()] == types
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_the_deviation_of_a_model_in_training_is_that_in_evaluation():
    model = Detector(tiny_model.ENTRY, zero_init_residual=False).train()
    assert for_inference(model, verbose=False).deviation.logits < 1e-4


@pytest.mark.slow
def test_it_follows_the_weights_at_the_time(model):
    fused = for_inference(model, verbose=False)
    other = golden_outputs.build_golden_detector("slowfast_context_r50")
    with torch.no_grad():
        other.backbone.slow_path.layer4[2].conv3.bn.running_var *= 4
    other_fused = for_inference(other, verbose=False)
    sample = build_sample()
    assert (compute_logits(other_fused, sample) - compute_logits(fused, sample)).abs().max() > 0.01


@pytest.mark.parametrize("name", slow_but(["tiny", "slowonly_r50", "slowfast_r50"], "tiny"))
@pytest.mark.parametrize("box", slow_but(BOXES, BOXES[0]))
def test_stage_4_in_a_window_changes_no_logits(name, box):
    torch.manual_seed(0)
    entry = tiny_model.ENTRY if name == "tiny" else zoo.get(name)
    entry = dataclasses.replace(entry, clip_len=4, resample_rate=2, speed_ratio=2)
    model = Detector(entry, zero_init_residual=False).eval().double()
    sample = torch.randn(1, 3, 4, 128, 192).double(), torch.tensor([[0, *box]]).double()
    logits = compute_logits(FusedDetector(model, torch.float64), sample)
    assert (logits - compute_logits(model, sample)).abs().max() < 1e-10


def test_boxes_that_are_no_numbers_are_taken_as_the_detector_takes_them():
    model = Detector(tiny_model.ENTRY, zero_init_residual=False).eval()
    rois = torch.tensor([[0, 0, 0, 40, 30], [0, float("nan"), 4, 20, 30]])
    sample = torch.randn(1, 3, 4, 32, 48), rois
    logits = compute_logits(FusedDetector(model, torch.float32), sample)
    torch.testing.assert_close(logits, compute_logits(model, sample), rtol=0, atol=1e-5, equal_nan=True)


def run_and_watch_stage_4(model, rois):
    """The sizes (H,W) at which the first blocks of stage 4 were run on clips of 128x320."""
    fused = FusedDetector(model, torch.float32)
    sizes = set()
    for stage in fused.last_stages:
        stage[0].register_forward_pre_hook(lambda _, inputs: sizes.add(tuple(inputs[0].shape[3:])))
    compute_logits(fused, (torch.randn(1, 3, model.entry.clip_len, 128, 320), torch.tensor(rois)))
    return sizes


@pytest.mark.parametrize(
    ("rois", "size"),
    [
        ([[0, 100, 0, 150, 127.0]], (8, 8)),  # columns 5 to 10 and, for the 3x3, one on each side
        ([[0, 0, 100, 20, 120.0]], (4, 4)),  # rows 5 to 7 and columns 0 to 2, at the corner
        ([[0, 0, 0, 20, 127], [0, 300, 0, 319, 127.0]], (8, 20)),  # two people far apart: all of it
    ],
)
def test_stage_4_is_computed_where_boxes_are(rois, size):
    assert run_and_watch_stage_4(Detector(tiny_model.ENTRY), rois) == {size}


@pytest.mark.slow
def test_stage_4_is_whole_where_the_picture_is_context(model):
    assert run_and_watch_stage_4(model, [[0, 100, 0, 150, 127.0]]) == {(8, 20)}


def test_no_boxes_no_logits():
    clip = torch.zeros(1, 3, 4, 32, 32)
    assert compute_logits(
        FusedDetector(Detector(tiny_model.ENTRY), torch.float32), (clip, torch.zeros(0, 5))
    ).shape == (0, 81)


def test_a_deviation_needs_boxes():
    with pytest.raises(ValueError, match="no boxes"):
        for_inference(Detector(tiny_model.ENTRY), sample=(torch.zeros(1, 3, 4, 32, 32), torch.zeros(0, 5)))


def test_it_cannot_be_saved_as_a_checkpoint(tmp_path):
    fused = for_inference(Detector(tiny_model.ENTRY), verbose=False)
    with pytest.raises(ValueError, match="a fused detector can't be saved"):
        save_checkpoint(fused, tmp_path / "a.pth")


def test_other_types_are_refused():
    with pytest.raises(ValueError, match="expected torch.float64, float32"):
        for_inference(Detector(tiny_model.ENTRY), torch.int8)
