"""The networks against every golden of the original detectors, and ARCHITECTURE's counts and shapes."""

import dataclasses
import functools
import hashlib

import golden_outputs
import numpy as np
import pytest
import torch
from slow_marks import slow_but
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from avalib import zoo
from avalib.models.cpu.accelerate import use_fast_forms
from avalib.models.detector import Detector
from avalib.models.losses import compute_action_loss

# alias: parameters, GFLOP of the backbone at 256x340 (H x W), at 256x256, feature channels x time
PUBLISHED = {
    "slowonly_r50": (31_800_465, 113.43, 83.1, [(2048, 4)]),
    "slowonly_omnisource_r50": (31_800_465, 113.43, 83.1, [(2048, 4)]),
    "slowonly_r101": (59_705_489, 383.73, 280.3, [(2048, 8)]),
    "slowonly_omnisource_r101": (59_705_489, 383.73, 280.3, [(2048, 8)]),
    "slowfast_r50": (33_743_993, 143.26, 105.2, [(2048, 4), (256, 32)]),
    "slowfast_context_r50": (33_930_617, 143.26, 105.2, [(2048, 4), (256, 32)]),
    "slowfast_r50_8x8": (33_830_265, 264.16, None, [(2048, 8), (256, 32)]),
    "slowfast_r50_8x8_fusion5": (33_743_993, 263.05, 193.0, [(2048, 8), (256, 32)]),
}
# (golden, whether its layers are swapped for the fast forms)
NETWORKS = [(name, fast) for name in golden_outputs.MODELS for fast in (False, True)]


def build_on_meta(name):
    """A model without memory behind it: counts and shapes cost nothing."""
    with torch.device("meta"):
        return Detector(golden_outputs.get_entry(name)).eval()


def count_parameters(model):
    return sum(p.numel() for p in model.parameters())


def max_difference(values, expected):
    return np.abs(values - expected).max()


@pytest.mark.parametrize("name", PUBLISHED)
def test_keys_shapes_dtypes_and_order_are_the_published_ones(name):
    state_dict = build_on_meta(name).state_dict()
    ours = {key: (tuple(v.shape), str(v.dtype).removeprefix("torch.")) for key, v in state_dict.items()}
    assert list(ours.items()) == list(golden_outputs.read_keys(name).items())


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_number_of_parameters_is_the_published_one(name):
    assert count_parameters(build_on_meta(name)) == PUBLISHED[name][0]


@pytest.mark.parametrize("name", slow_but(PUBLISHED, "slowonly_r50", "slowfast_context_r50"))
@pytest.mark.parametrize("fast", [False, True])
def test_flops_and_feature_shapes_are_the_published_ones(name, fast):
    _, gflop_340, gflop_256, features = PUBLISHED[name]
    model = build_on_meta(name)
    if fast:
        use_fast_forms(model)
    for width, expected, places in ((340, gflop_340, 2), (256, gflop_256, 1)):
        clip = torch.zeros(1, 3, model.entry.clip_len, 256, width, device="meta")
        with FlopCounterMode(display=False) as counter:
            maps = model.backbone(clip)
        assert [tuple(m.shape) for m in maps] == [(1, c, t, 16, -(-width // 16)) for c, t in features]
        if expected:
            assert round(counter.get_total_flops() / 1e9, places) == expected


@pytest.fixture(scope="module", params=slow_but(NETWORKS, ("slowonly_r50", False)), ids="{0[0]}-fast={0[1]}".format)
def network(request):
    return request.param


@pytest.fixture
def name(network):
    return network[0]


@pytest.fixture(scope="module")
def runs(network):
    """(mode, dtype) -> one forward and backward with fresh weights; modes eval_bn and train_bn, dtypes "" and "64"."""
    return functools.cache(functools.partial(run, *network))


def run(name, fast, mode, dtype):
    model = golden_outputs.build_golden_detector(name)
    clips, rois, labels = golden_outputs.draw_clips(name), golden_outputs.load_rois(), golden_outputs.load_labels()
    if fast:
        use_fast_forms(model)
        clips = clips.contiguous(memory_format=torch.channels_last_3d)
    if dtype == "64":
        model, clips, rois, labels = model.double(), clips.double(), rois.double(), labels.double()
    if mode == "train_bn":
        model.train()
        model.roi_head.bbox_head.dropout.eval()
    maps = model.backbone(clips)
    logits = model.roi_head(maps, rois)
    loss = compute_action_loss(logits, labels)
    if (mode, dtype) != ("train_bn", ""):  # float32 gradients through batch statistics are noise in some places
        loss.backward()
    return {
        "maps": [m.detach() for m in maps],
        "logits": logits.detach().numpy(),
        "loss": loss.item(),
        "norms": np.array([p.grad.norm().item() for p in model.parameters() if p.grad is not None]),
        "buffers": dict(model.named_buffers()),
    }


def test_weights_and_input_are_the_goldens_own(name):
    expected = golden_outputs.GOLDEN["models"][name]
    assert golden_outputs.compute_weights_sha256(golden_outputs.draw_state_dict(name)) == expected["weights_sha256"]
    clips = golden_outputs.draw_clips(name).numpy()
    assert hashlib.sha256(clips.tobytes()).hexdigest() == expected["input_sha256"]


@pytest.mark.slow
def test_features(name, runs):
    expected = golden_outputs.GOLDEN["models"][name]
    pathways = ("slow", "fast") if "feat_fast" in expected else ("slow",)
    for pathway, features in zip(pathways, runs("eval_bn", "")["maps"], strict=True):
        assert list(features.shape) == expected[f"feat_{pathway}"]["shape"]
        strided = features.flatten()[:: features.numel() // 64][:64].numpy()
        golden = golden_outputs.ARRAYS[f"{name}/feat_{pathway}_strided64"]
        assert max_difference(strided, golden) < 1e-4  # of values up to 40, in float32


RUNS = [("eval_bn", ""), ("eval_bn", "64"), ("train_bn", ""), ("train_bn", "64")]
# largest difference of logits and loss
LOGIT_TOLERANCES = dict(zip(RUNS, (1e-4, 1e-8, 2e-3, 1e-8), strict=True))
LOSS_TOLERANCES = dict(zip(RUNS, (1e-5, 1e-6, 1e-4, 1e-6), strict=True))
LOGIT_KEYS = dict(zip(RUNS, ("logits", "logits64", "logits_train_bn", "logits_train_bn64"), strict=True))
QUICK_RUNS = (("eval_bn", ""), ("train_bn", ""))


@pytest.mark.parametrize("which", slow_but(RUNS, *QUICK_RUNS), ids="".join)
def test_logits(name, runs, which):
    expected = golden_outputs.ARRAYS[f"{name}/{LOGIT_KEYS[which]}"]
    assert max_difference(runs(*which)["logits"], expected) < LOGIT_TOLERANCES[which]


@pytest.mark.parametrize("which", slow_but(RUNS, *QUICK_RUNS), ids="".join)
def test_loss(name, runs, which):
    expected = golden_outputs.GOLDEN["models"][name][f"loss_{''.join(which)}"]
    assert abs(runs(*which)["loss"] - expected) < LOSS_TOLERANCES[which]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["eval_bn", "train_bn"])
def test_gradient_norms_in_float64(name, runs, mode):
    expected = golden_outputs.ARRAYS[f"{name}/gradnorm_{mode}64"]
    np.testing.assert_allclose(runs(mode, "64")["norms"], expected, rtol=1e-5)


def test_gradient_norms_in_float32(name, runs):
    norms, expected = runs("eval_bn", "")["norms"], golden_outputs.ARRAYS[f"{name}/gradnorm_eval_bn"]
    np.testing.assert_allclose(norms, expected, rtol=2e-3)
    assert abs(np.linalg.norm(norms) / np.linalg.norm(expected) - 1) < 1e-4


def test_stem_statistics_after_one_training_step(name, runs):
    expected, buffers = golden_outputs.GOLDEN["models"][name], runs("train_bn", "")["buffers"]
    key = expected["stem_bn_key"]
    for which in ("mean", "var"):
        golden = golden_outputs.ARRAYS[f"{name}/stem_bn_running_{which}_after1"]
        assert max_difference(buffers[f"{key}running_{which}"].numpy(), golden) < 1e-5
    assert buffers[f"{key}num_batches_tracked"] == expected["stem_bn_num_batches_tracked_after1"]


def test_a_box_without_area_gets_the_classifiers_bias(name, runs):
    bias = golden_outputs.draw_state_dict(name)["roi_head.bbox_head.fc_cls.bias"].numpy()
    empty = ~((golden_outputs.load_rois()[:, 3:] > golden_outputs.load_rois()[:, 1:3]).all(1)).numpy()
    assert empty.sum() == 1
    if not golden_outputs.get_entry(name).context:  # context sees the whole picture whatever the box
        assert max_difference(runs("eval_bn", "")["logits"][empty], bias) < 1e-6


def test_initial_weights():
    torch.manual_seed(0)
    model = Detector(zoo.get("slowfast_r50"))
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv3d) and module.weight.numel() > 20_000:
            fan_out = module.out_channels * np.prod(module.kernel_size)
            assert module.weight.std().item() == pytest.approx(np.sqrt(2 / fan_out), rel=0.03), name
        if isinstance(module, nn.BatchNorm3d):
            assert (module.weight == (0 if name.endswith("conv3.bn") else 1)).all(), name
            assert (module.bias == 0).all(), name
    fc = model.roi_head.bbox_head.fc_cls
    assert fc.weight.std().item() == pytest.approx(0.01, rel=0.03)
    assert (fc.bias == 0).all()


def test_no_boxes_no_logits():
    model = Detector(zoo.get("slowonly_r50")).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 4, 32, 32), torch.zeros(0, 5)).shape == (0, 81)


@pytest.mark.parametrize(
    "clips,rois", [((1, 3, 8, 32, 32), (1, 5)), ((3, 4, 32, 32), (1, 5)), ((1, 3, 4, 32, 32), (4,))]
)
def test_other_shapes_are_refused(clips, rois):
    with pytest.raises(ValueError, match="slowonly_r50 takes clips|expected rois"):
        build_on_meta("slowonly_r50")(torch.zeros(clips, device="meta"), torch.zeros(rois, device="meta"))


def test_an_unknown_backbone_is_refused():
    with pytest.raises(ValueError, match="SlowOnly, SlowFast and ViT"):
        Detector(dataclasses.replace(zoo.get("slowonly_r50"), backbone="X3D"))
