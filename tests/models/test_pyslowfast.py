"""PySlowFast's and PyTorchVideo's models against every golden of the original detectors."""

import functools
import hashlib

import golden_outputs
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from slow_marks import deep_but
from torch.utils.flop_counter import FlopCounterMode

from avalib import zoo
from avalib.models.cpu.accelerate import use_fast_forms
from avalib.models.detector import Detector
from avalib.models.fused import FusedDetector
from avalib.models.key_names import get_names_of
from avalib.models.roi_head import RESERVED_LOGIT

# alias: parameters, GFLOP of the backbone at 256x340
PUBLISHED = {
    "psf_slow_r50_4x16_v22": (31_798_416, 113.43),
    "psf_slowfast_r101_32x2_v21": (59_342_488, 402.41),
    "psf_slowfast_r101_32x2_v22": (59_342_488, 402.41),
    "psf_slowfast_r101_64x2_v22": (59_342_488, 816.99),
    "ptv_slow_r50_detection": (31_798_416, 113.43),
    "ptv_slowfast_r50_detection": (33_828_888, 264.16),
}
GOLDEN = [name for name in PUBLISHED if name in golden_outputs.LATER_GOLDEN["models"]]
MODELS = deep_but(GOLDEN, "psf_slow_r50_4x16_v22", "ptv_slowfast_r50_detection")


def build_on_meta(name):
    """A model without memory behind it: counts and shapes cost nothing."""
    with torch.device("meta"):
        return Detector(zoo.get(name)).eval()


def compute_max_difference(values, expected):
    return np.abs(values - expected).max()


@pytest.mark.parametrize("name", PUBLISHED)
def test_keys_shapes_dtypes_and_order_are_the_published_ones(name):
    state_dict = build_on_meta(name).state_dict()
    ours = {key: (tuple(v.shape), str(v.dtype).removeprefix("torch.")) for key, v in state_dict.items()}
    assert list(ours.items()) == list(golden_outputs.read_keys(name).items())


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_number_of_parameters_is_the_published_one(name):
    assert sum(p.numel() for p in build_on_meta(name).parameters()) == PUBLISHED[name][0]


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_flops_are_the_published_ones(name):
    model = build_on_meta(name)
    clip = torch.zeros(1, 3, model.entry.clip_len, 256, 340, device="meta")
    with FlopCounterMode(display=False) as counter:
        model.backbone(clip)
    assert round(counter.get_total_flops() / 1e9, 2) == PUBLISHED[name][1]


@pytest.fixture(scope="module", params=MODELS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def runs(name):
    """(mode, dtype) -> one forward and backward with fresh weights; modes eval and train_bn, dtypes "" and "64"."""
    return functools.cache(functools.partial(run_golden, name))


def run_golden(name, mode, dtype):
    model = golden_outputs.build_golden_detector(name)
    clips, rois, labels = golden_outputs.draw_clips(name), golden_outputs.load_rois(), golden_outputs.load_labels()
    if dtype == "64":
        model, clips, rois, labels = model.double(), clips.double(), rois.double(), labels.double()
    if mode == "train_bn":
        model.train()
        model.roi_head.bbox_head.dropout.eval()
    logits = model(clips, rois)
    # the original's loss: all boxes, also the one without an action
    loss = F.binary_cross_entropy_with_logits(logits[:, 1:], labels[:, 1:])
    if dtype == "64":
        loss.backward()
    parameters = dict(model.named_parameters())
    norms = [parameters[key].grad for key in get_names_of(model.entry).sort(parameters)]
    return {
        "logits": logits.detach().numpy(),
        "loss": loss.item(),
        "norms": np.array([grad.norm().item() for grad in norms if grad is not None]),
    }


def test_weights_and_input_are_the_goldens_own(name):
    expected = golden_outputs.LATER_GOLDEN["models"][name]
    weights = golden_outputs.draw_state_dict(name)
    assert golden_outputs.compute_weights_sha256(weights) == expected["weights_sha256"]
    clips = golden_outputs.draw_clips(name).numpy()
    assert hashlib.sha256(clips.tobytes()).hexdigest() == expected["input_sha256"]


RUNS = [("eval", ""), ("eval", "64"), ("train_bn", ""), ("train_bn", "64")]
LOGIT_TOLERANCES = dict(zip(RUNS, (1e-4, 1e-8, 2e-3, 1e-8), strict=True))
LOSS_TOLERANCES = dict(zip(RUNS, (1e-5, 1e-6, 1e-4, 1e-6), strict=True))
LOGIT_KEYS = dict(zip(RUNS, ("logits", "logits64", "logits_train_bn", "logits_train_bn64"), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", GOLDEN)
def test_logits_of_every_model_in_float32(name):
    logits = run_golden(name, "eval", "")["logits"]
    assert np.abs(logits[:, 1:] - golden_outputs.LATER_ARRAYS[f"{name}/logits"]).max() < 1e-4


def skip_without(values, key, name):
    """The originals of PyTorchVideo were run in eval mode only; all other outputs have to be there."""
    if key not in values:
        assert name.startswith("ptv_"), key
        pytest.skip(f"the goldens have no {key}")


@pytest.mark.parametrize("which", RUNS, ids="".join)
def test_logits(name, runs, which):
    key = f"{name}/{LOGIT_KEYS[which]}"
    skip_without(golden_outputs.LATER_ARRAYS, key, name)
    logits = runs(*which)["logits"]
    assert compute_max_difference(logits[:, 1:], golden_outputs.LATER_ARRAYS[key]) < LOGIT_TOLERANCES[which]


@pytest.mark.parametrize("which", RUNS, ids="".join)
def test_loss(name, runs, which):
    key = f"loss_{''.join(which)}"
    facts = golden_outputs.LATER_GOLDEN["models"][name]
    skip_without(facts, key, name)
    assert abs(runs(*which)["loss"] - facts[key]) < LOSS_TOLERANCES[which]


@pytest.mark.parametrize("mode", ["eval", "train_bn"])
def test_gradient_norms_in_float64(name, runs, mode):
    key = f"{name}/gradnorm_{mode}64"
    skip_without(golden_outputs.LATER_ARRAYS, key, name)
    # batch norm takes the bias of a non-local block's last convolution off again: its gradient is 0 but for rounding
    np.testing.assert_allclose(runs(mode, "64")["norms"], golden_outputs.LATER_ARRAYS[key], rtol=1e-5, atol=1e-14)


def test_column_0_is_reserved(runs):
    logits = runs("eval", "")["logits"]
    assert logits.shape == (7, 81) and (logits[:, 0] == RESERVED_LOGIT).all()


@pytest.mark.parametrize("make_fast", [use_fast_forms, lambda model: FusedDetector(model, torch.float32)])
def test_faster_forms_give_the_same_logits(name, make_fast):
    model = make_fast(golden_outputs.build_golden_detector(name))
    with torch.inference_mode():
        logits = model(golden_outputs.draw_clips(name), golden_outputs.load_rois())
    expected = golden_outputs.LATER_ARRAYS[f"{name}/logits"]
    assert compute_max_difference(logits.numpy()[:, 1:], expected) < 1e-3
