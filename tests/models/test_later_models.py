"""The later CNNs against every golden of the original detectors: keys, counts, logits, losses, gradients."""

import functools
import hashlib

import golden_outputs
import numpy as np
import pytest
import torch
from slow_marks import deep_but
from torch.utils.flop_counter import FlopCounterMode

from avalib import zoo
from avalib.models.cpu.accelerate import use_fast_forms
from avalib.models.detector import Detector
from avalib.models.fused import FusedDetector
from avalib.models.losses import compute_action_loss

# alias: parameters, GFLOP of the backbone at 256x340
PUBLISHED = {
    "slowfast_r50_8x8_ava22": (33_830_265, 264.16),
    "slowfast_r50_8x8_tmax_ava22": (33_830_265, 264.16),
    "slowfast_r50_8x8_tmax_focal_ava22": (33_830_265, 264.16),
    "slowfast_acrn_r50_8x8": (92_232_057, 264.16),
    "slowonly_r50_8x8_ak": (31_800_465, 226.87),
    "slowonly_r50_8x8_ak_context": (31_966_353, 226.87),
    "slowonly_r50_8x8_ak_context_tmax": (31_966_353, 226.87),
    "slowonly_r50_8x8_ak_nlhead": (48_747_665, 226.87),
    "slowonly_r50_8x8_ak_nlhead_focal": (48_747_665, 226.87),
    "slowonly_r50_16x4_ak_tricks": (48_747_665, 453.73),
    "slowonly_nl_r50_4x16": (39_154_833, 160.89),
    "slowonly_nl_r50_8x8": (39_154_833, 358.16),
}
# between them these have every part that the later CNNs have
THOROUGH = ("slowonly_r50_8x8_ak_nlhead_focal", "slowonly_nl_r50_4x16")
MODELS = deep_but(PUBLISHED, *THOROUGH)


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
    model = use_fast_forms(golden_outputs.build_golden_detector(name))
    clips, rois, labels = golden_outputs.draw_clips(name), golden_outputs.load_rois(), golden_outputs.load_labels()
    if dtype == "64":
        model, clips, rois, labels = model.double(), clips.double(), rois.double(), labels.double()
    if mode == "train_bn":
        model.train()
        model.roi_head.bbox_head.dropout.eval()
    logits = model(clips, rois)
    loss = compute_action_loss(logits, labels, model.entry.focal_alpha, model.entry.focal_gamma)
    if dtype == "64":
        loss.backward()
    return {
        "logits": logits.detach().numpy(),
        "loss": loss.item(),
        "norms": np.array([p.grad.norm().item() for p in model.parameters() if p.grad is not None]),
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
@pytest.mark.parametrize("name", PUBLISHED)
def test_logits_of_every_model_in_float32(name):
    logits = run_golden(name, "eval", "")["logits"]
    assert compute_max_difference(logits, golden_outputs.LATER_ARRAYS[f"{name}/logits"]) < 1e-4


@pytest.mark.parametrize("which", RUNS, ids="".join)
def test_logits(name, runs, which):
    expected = golden_outputs.LATER_ARRAYS[f"{name}/{LOGIT_KEYS[which]}"]
    assert compute_max_difference(runs(*which)["logits"], expected) < LOGIT_TOLERANCES[which]


@pytest.mark.parametrize("which", RUNS, ids="".join)
def test_loss(name, runs, which):
    expected = golden_outputs.LATER_GOLDEN["models"][name][f"loss_{''.join(which)}"]
    assert abs(runs(*which)["loss"] - expected) < LOSS_TOLERANCES[which]


@pytest.mark.parametrize("mode", ["eval", "train_bn"])
def test_gradient_norms_in_float64(name, runs, mode):
    expected = golden_outputs.LATER_ARRAYS[f"{name}/gradnorm_{mode}64"]
    # a bias that softmax cancels has the gradient 0, up to rounding
    np.testing.assert_allclose(runs(mode, "64")["norms"], expected, rtol=1e-5, atol=1e-12)


def test_the_fused_model_gives_the_same_logits(name):
    model = golden_outputs.build_golden_detector(name)
    with torch.inference_mode():
        logits = FusedDetector(model, torch.float32)(golden_outputs.draw_clips(name), golden_outputs.load_rois())
    assert compute_max_difference(logits.numpy(), golden_outputs.LATER_ARRAYS[f"{name}/logits"]) < 1e-3
