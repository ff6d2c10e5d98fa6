"""The networks: every golden of the original detectors, and ARCHITECTURE's counts and shapes."""

import dataclasses

import golden_outputs
import numpy as np
import pytest
import tiny_model
import torch
from slow_marks import slow_but
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from avalib import zoo
from avalib.models.detector import Detector
from avalib.models.losses import compute_action_loss
from avalib.models.resnet3d import convolve, pointwise_conv
from avalib.models.summary import compare_models

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


def on_meta(name):
    """A model without memory behind it: counts and shapes cost nothing."""
    with torch.device("meta"):
        return Detector(golden_outputs.entry_of(name)).eval()


@pytest.mark.parametrize("name", PUBLISHED)
def test_keys_shapes_dtypes_and_order_are_the_published_ones(name):
    ours = {key: (tuple(v.shape), str(v.dtype).removeprefix("torch.")) for key, v in on_meta(name).state_dict().items()}
    assert list(ours.items()) == list(golden_outputs.keys(name).items())


@pytest.mark.parametrize("name", slow_but(PUBLISHED, "slowonly_r50", "slowfast_context_r50"))
def test_parameters_flops_and_feature_shapes(name):
    parameters, gflop_340, gflop_256, features = PUBLISHED[name]
    model = on_meta(name)
    assert sum(p.numel() for p in model.parameters()) == parameters
    for width, expected, places in ((340, gflop_340, 2), (256, gflop_256, 1)):
        clip = torch.zeros(1, 3, model.entry.clip_len, 256, width, device="meta")
        with FlopCounterMode(display=False) as counter:
            maps = model.backbone(clip)
        assert [tuple(m.shape) for m in maps] == [(1, c, t, 16, -(-width // 16)) for c, t in features]
        if expected:
            assert round(counter.get_total_flops() / 1e9, places) == expected


def test_two_rows_beside_each_other():
    table = compare_models(zoo.get("slowonly_r50"), zoo.get("slowfast_context_r50")).set_index("stage")
    assert list(table.columns) == [
        f"{alias} {what}" for alias in ("slowonly_r50", "slowfast_context_r50") for what in ("output", "parameters")
    ]
    assert table.loc["layer4"].tolist() == ["2048x4x16x22", 20_207_616, "2048x4x16x22", 21_125_120]
    assert table.loc["fast_path.layer4"].isna().tolist() == [True, True, False, False]
    assert table.loc["RoIAlign", "slowfast_context_r50 output"] == "4608x8x8"
    for alias in ("slowonly_r50", "slowfast_context_r50"):
        assert table[f"{alias} parameters"].sum() == PUBLISHED[alias][0]


def test_every_row_of_the_zoo_is_published_here():
    assert set(zoo.list_models()) <= set(PUBLISHED)


@pytest.fixture(scope="module", params=slow_but(golden_outputs.MODELS, "slowonly_r50"))
def name(request):
    return request.param


@pytest.fixture(scope="module")
def runs(name):
    """One forward and backward in each of eval/train_bn x float32/float64, from fresh weights each time."""
    return {(mode, dtype): run(name, mode, dtype) for mode in ("eval_bn", "train_bn") for dtype in ("", "64")}


def run(name, mode, dtype):
    model = golden_outputs.detector(name)
    clips, rois, labels = golden_outputs.clips(name), golden_outputs.rois(), golden_outputs.labels()
    if dtype == "64":
        model, clips, rois, labels = model.double(), clips.double(), rois.double(), labels.double()
    if mode == "train_bn":
        model.train()
        model.roi_head.bbox_head.dropout.eval()
    maps = model.backbone(clips.contiguous(memory_format=torch.channels_last_3d))
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


def far(found, expected):
    return np.abs(found - expected).max()


def test_weights_and_input_are_the_goldens_own(name):
    expected = golden_outputs.GOLDEN["models"][name]
    assert golden_outputs.weights_sha256(golden_outputs.state_dict(name)) == expected["weights_sha256"]
    assert (
        golden_outputs.hashlib.sha256(golden_outputs.clips(name).numpy().tobytes()).hexdigest()
        == expected["input_sha256"]
    )


def test_features(name, runs):
    for which, found in zip(("slow", "fast"), runs["eval_bn", ""]["maps"], strict=False):
        expected = golden_outputs.GOLDEN["models"][name][f"feat_{which}"]
        assert list(found.shape) == expected["shape"]
        strided = found.flatten()[:: found.numel() // 64][:64].numpy()
        assert (
            far(strided, golden_outputs.ARRAYS[f"{name}/feat_{which}_strided64"]) < 1e-4
        )  # of values up to 40, in float32
    assert len(runs["eval_bn", ""]["maps"]) == 1 + ("feat_fast" in golden_outputs.GOLDEN["models"][name])


def test_logits_in_eval_mode(name, runs):
    assert far(runs["eval_bn", ""]["logits"], golden_outputs.ARRAYS[f"{name}/logits"]) < 1e-4
    assert far(runs["eval_bn", "64"]["logits"], golden_outputs.ARRAYS[f"{name}/logits64"]) < 1e-8


def test_logits_with_batch_statistics(name, runs):
    assert far(runs["train_bn", ""]["logits"], golden_outputs.ARRAYS[f"{name}/logits_train_bn"]) < 2e-3
    assert far(runs["train_bn", "64"]["logits"], golden_outputs.ARRAYS[f"{name}/logits_train_bn64"]) < 1e-8


@pytest.mark.parametrize("mode,tolerance", [("eval_bn", 1e-5), ("train_bn", 1e-4)])
def test_loss(name, runs, mode, tolerance):
    expected = golden_outputs.GOLDEN["models"][name]
    assert abs(runs[mode, ""]["loss"] - expected[f"loss_{mode}"]) < tolerance
    assert abs(runs[mode, "64"]["loss"] - expected[f"loss_{mode}64"]) < 1e-6


def test_gradient_norms(name, runs):
    for mode in ("eval_bn", "train_bn"):
        truth = golden_outputs.ARRAYS[f"{name}/gradnorm_{mode}64"]
        np.testing.assert_allclose(runs[mode, "64"]["norms"], truth, rtol=1e-5)
    found, truth = runs["eval_bn", ""]["norms"], golden_outputs.ARRAYS[f"{name}/gradnorm_eval_bn"]
    np.testing.assert_allclose(found, truth, rtol=2e-3)
    assert abs(np.linalg.norm(found) / np.linalg.norm(truth) - 1) < 1e-4


def test_stem_statistics_after_one_training_step(name, runs):
    expected, buffers = golden_outputs.GOLDEN["models"][name], runs["train_bn", ""]["buffers"]
    key = expected["stem_bn_key"]
    for which in ("mean", "var"):
        golden = golden_outputs.ARRAYS[f"{name}/stem_bn_running_{which}_after1"]
        assert far(buffers[f"{key}running_{which}"].numpy(), golden) < 1e-5
    assert buffers[f"{key}num_batches_tracked"] == expected["stem_bn_num_batches_tracked_after1"]


def test_a_box_without_area_gets_the_classifiers_bias(name, runs):
    bias = golden_outputs.state_dict(name)["roi_head.bbox_head.fc_cls.bias"].numpy()
    empty = ~((golden_outputs.rois()[:, 3:] > golden_outputs.rois()[:, 1:3]).all(1)).numpy()
    assert empty.sum() == 1
    if not golden_outputs.entry_of(name).context:  # context sees the whole picture whatever the box
        assert far(runs["eval_bn", ""]["logits"][empty], bias) < 1e-6


@pytest.mark.parametrize("kernel", [(1, 1, 1), (3, 1, 1), (1, 3, 3), (5, 1, 1), (7, 1, 1), (1, 7, 7), (5, 7, 7)])
@pytest.mark.parametrize("stride", [(1, 1, 1), (1, 2, 2), (4, 1, 1)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_every_shape_of_convolution_equals_the_3d_one(kernel, stride, layout):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8, 9, 11, dtype=torch.float64).contiguous(memory_format=layout)
    weight, bias = torch.randn(4, 3, *kernel, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
    padding = tuple(k // 2 for k in kernel)
    expected = nn.functional.conv3d(x, weight, bias, stride, padding)
    torch.testing.assert_close(convolve(x, weight, bias, stride, padding), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_a_convolution_as_a_matrix_product_and_its_gradients(layout):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, 5, 6, dtype=torch.float64).contiguous(memory_format=layout)
    weight, found = torch.randn(7, 3, 1, 1, 1, dtype=torch.float64), []
    for do in (nn.functional.conv3d, pointwise_conv):
        a, b = x.clone().requires_grad_(), weight.clone().requires_grad_()
        y = do(a, b)
        (y * torch.arange(y.numel(), dtype=y.dtype).view_as(y)).sum().backward()
        found.append((y, a.grad, b.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-9)
    assert y.is_contiguous(memory_format=torch.channels_last_3d)


def test_a_lone_frame_stays_channels_last():
    frame = torch.randn(1, 3, 1, 8, 10).contiguous(memory_format=torch.channels_last_3d)
    y = convolve(frame, torch.randn(4, 3, 1, 3, 3), None, (1, 1, 1), (0, 1, 1))
    assert y.is_contiguous(memory_format=torch.channels_last_3d)


def test_nothing_in_training_changes_a_view_in_place():
    """autograd's CopySlices, which copies each gradient three times."""
    model = Detector(tiny_model.ENTRY).train()
    (features,) = model.backbone(torch.randn(1, 3, 4, 32, 32))
    found, left = set(), [features.grad_fn]
    while left:
        node = left.pop()
        if node is not None and node not in found:
            found.add(node)
            left += [after for after, _ in node.next_functions]
    names = {node.name() for node in found}
    assert "ConvolutionBackward0" in names and "CopySlices" not in names


def test_initial_weights():
    torch.manual_seed(0)
    model = Detector(zoo.get("slowfast_r50"))
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv3d) and module.weight.numel() > 20_000:
            fan_out = module.out_channels * np.prod(module.kernel_size)
            assert module.weight.std().item() == pytest.approx(np.sqrt(2 / fan_out), rel=0.03), name
        if isinstance(module, nn.BatchNorm3d):
            assert (module.weight == (0 if name.endswith("conv3.bn") else 1)).all() and (module.bias == 0).all(), name
    fc = model.roi_head.bbox_head.fc_cls
    assert fc.weight.std().item() == pytest.approx(0.01, rel=0.03) and (fc.bias == 0).all()


def test_no_boxes_no_logits():
    model = Detector(zoo.get("slowonly_r50")).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 4, 32, 32), torch.zeros(0, 5)).shape == (0, 81)


@pytest.mark.parametrize(
    "clips,rois", [((1, 3, 8, 32, 32), (1, 5)), ((3, 4, 32, 32), (1, 5)), ((1, 3, 4, 32, 32), (4,))]
)
def test_other_shapes_are_refused(clips, rois):
    with pytest.raises(ValueError, match="slowonly_r50 takes clips|expected rois"):
        on_meta("slowonly_r50")(torch.zeros(clips, device="meta"), torch.zeros(rois, device="meta"))


def test_an_unknown_backbone_is_refused():
    with pytest.raises(ValueError, match="SlowOnly and SlowFast"):
        Detector(dataclasses.replace(zoo.get("slowonly_r50"), backbone="X3D"))
