"""The Vision Transformers: every golden of the originals, and what small ones show in a moment."""

import dataclasses
import functools
import hashlib

import golden_outputs
import numpy as np
import pytest
import tiny_vit
import torch
import torch.nn.functional as F
from slow_marks import deep_but, slow_but
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from avalib import zoo
from avalib.models.cpu.accelerate import use_fast_forms
from avalib.models.detector import Detector
from avalib.models.export import export_model
from avalib.models.fused import FusedDetector, for_inference
from avalib.models.losses import compute_action_loss
from avalib.models.vit import Block, VisionTransformer, build_position_table, drop_path

# alias: parameters, {width at height 256: GFLOP of the backbone}
PUBLISHED = {
    "videomae_vit_b_ak": (86_289_489, {340: 729.31, 256: 507.34}),
    "videomae_vit_l_ak": (303_943_761, {340: 2342.23, 256: 1655.71}),
    "umt_vit_b": (85_698_896, {340: 726.13, 256: 504.93}),
    "umt_vit_l": (303_156_304, {340: 2338.01, 256: 1652.49}),
}
SMALL_ENTRIES = {"videomae": tiny_vit.ENTRY, "umt": tiny_vit.UMT_ENTRY}


def build_on_meta(name):
    """A model without memory behind it: counts and shapes cost nothing."""
    with torch.device("meta"):
        return Detector(zoo.get(name)).eval()


def compute_max_difference(values, expected):
    return np.abs(values - expected).max()


# --- counts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PUBLISHED)
def test_keys_shapes_dtypes_and_order_are_the_published_ones(name):
    state_dict = build_on_meta(name).state_dict()
    ours = {key: (tuple(v.shape), str(v.dtype).removeprefix("torch.")) for key, v in state_dict.items()}
    assert list(ours.items()) == list(golden_outputs.read_keys(name).items())


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_number_of_parameters_is_the_published_one(name):
    assert sum(p.numel() for p in build_on_meta(name).parameters()) == PUBLISHED[name][0]


@pytest.mark.parametrize("name", slow_but(PUBLISHED, "videomae_vit_b_ak"))
def test_flops_and_feature_shapes_are_the_published_ones(name):
    model = build_on_meta(name)
    for width, gflop in PUBLISHED[name][1].items():
        clip = torch.zeros(1, 3, model.entry.clip_len, 256, width, device="meta")
        with FlopCounterMode(display=False) as counter:
            (features,) = model.backbone(clip)
        assert features.shape == (1, model.backbone.out_channels, 8, 16, width // 16)
        assert round(counter.get_total_flops() / 1e9, 2) == gflop


# --- goldens ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=deep_but(PUBLISHED, "videomae_vit_b_ak", "umt_vit_b"))
def name(request):
    return request.param


@pytest.fixture(scope="module")
def runs(name):
    """dtype -> one forward with the goldens' weights; in float64 backward too."""
    return functools.cache(functools.partial(run_golden, name))


def run_golden(name, dtype):
    facts = golden_outputs.LATER_GOLDEN["models"][name]
    model = use_fast_forms(golden_outputs.build_golden_detector(name)).to(dtype)
    # UMT's boxes are widened in float32 and return grouped by clip
    rois = golden_outputs.load_vit_rois()[facts.get("row_order", list(range(7)))]
    labels = golden_outputs.load_labels()[facts.get("row_order", list(range(7)))]
    features = []
    model.backbone.register_forward_hook(lambda module, inputs, maps: features.extend(maps))
    logits = model(golden_outputs.draw_clips(name).to(dtype), rois)
    if model.entry.code_base == "umt":  # its own mean is over all seven boxes, of which one has no action
        loss = F.binary_cross_entropy_with_logits(logits[:, 1:], labels[:, 1:].to(dtype))
        logits = logits[:, 1:]
    else:
        loss = compute_action_loss(logits, labels)
    if dtype == torch.float64:
        loss.backward()
    return {
        "logits": logits.detach().numpy(),
        "loss": loss.item(),
        "features": features[0].detach(),
        "norms": np.array([p.grad.norm().item() for p in model.parameters() if p.grad is not None]),
    }


def test_weights_and_input_are_the_goldens_own(name):
    expected = golden_outputs.LATER_GOLDEN["models"][name]
    weights = golden_outputs.draw_state_dict(name)
    assert golden_outputs.compute_weights_sha256(weights) == expected["weights_sha256"]
    clips = golden_outputs.draw_clips(name).numpy()
    assert hashlib.sha256(clips.tobytes()).hexdigest() == expected["input_sha256"]


@pytest.mark.parametrize(("dtype", "key", "tolerance"), [("float32", "logits", 1e-5), ("float64", "logits64", 1e-9)])
def test_logits(name, runs, dtype, key, tolerance):
    expected = golden_outputs.LATER_ARRAYS[f"{name}/{key}"]
    assert compute_max_difference(runs(getattr(torch, dtype))["logits"], expected) < tolerance


def test_features(name, runs):
    features = runs(torch.float64)["features"]  # (2,C,8,4,6)
    if name.startswith("umt"):
        key, values = "tokens_strided64", features.flatten(2).transpose(1, 2)  # (2,N,C)
    else:
        key, values = "feat_strided64", features
    strided = values.flatten()[:: values.numel() // 64][:64].numpy()
    assert compute_max_difference(strided, golden_outputs.LATER_ARRAYS[f"{name}/{key}"]) < 1e-9


def test_loss_and_gradient_norms(name, runs):
    expected = golden_outputs.LATER_GOLDEN["models"][name]
    assert runs(torch.float64)["loss"] == pytest.approx(expected["loss_eval64"], abs=1e-6)
    norms = runs(torch.float64)["norms"]
    np.testing.assert_allclose(norms, golden_outputs.LATER_ARRAYS[f"{name}/gradnorm_eval64"], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "which"),
    [("videomae_vit_b_ak", "odd72x104"), ("videomae_vit_b_ak", "native224"), ("videomae_vit_l_ak", "odd72x104")],
)
def test_other_sizes(name, which):
    facts = golden_outputs.LATER_GOLDEN["models"][name][which]
    shape = (facts["B"], 3, 16, facts["H"], facts["W"])
    clips = np.random.default_rng(golden_outputs.SEED + 1).normal(size=shape).astype(np.float32)
    model = golden_outputs.build_golden_detector(name)
    with torch.inference_mode():
        logits = model(torch.as_tensor(clips), torch.tensor(facts["rois"])).numpy()
    assert compute_max_difference(logits, golden_outputs.LATER_ARRAYS[f"{name}/{which}_logits"]) < 1e-5


@pytest.mark.slow
def test_the_inference_form_gives_the_goldens():
    fused = for_inference(golden_outputs.build_golden_detector("videomae_vit_b_ak"), verbose=False)
    with torch.inference_mode():
        logits = fused(golden_outputs.draw_clips("videomae_vit_b_ak"), golden_outputs.load_vit_rois()).numpy()
    assert compute_max_difference(logits, golden_outputs.LATER_ARRAYS["videomae_vit_b_ak/logits"]) < 1e-5


# --- position table ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", slow_but(["videomae_vit_b_ak", "videomae_vit_l_ak"], "videomae_vit_b_ak"))
def test_the_position_table_is_the_published_one(name):
    expected = golden_outputs.LATER_GOLDEN["models"][name]["pos_embed"]
    table = build_position_table(*expected["shape"][1:])
    assert hashlib.sha256(table.numpy().tobytes()).hexdigest() == expected["sha256"]


def test_the_table_is_resized_as_the_original_does():
    expected = golden_outputs.LATER_GOLDEN["models"]["videomae_vit_b_ak"]["pos_embed_4x6"]
    with torch.device("meta"):
        backbone = VisionTransformer(zoo.get("videomae_vit_b_ak"))
    backbone.pos_embed = build_position_table(1568, 768)
    (table,) = backbone.resize_position_table(4, 6)
    assert list(table.shape) == expected["shape"]
    assert table.sum().item() == pytest.approx(expected["sum"], rel=1e-6)
    assert table.abs().sum().item() == pytest.approx(expected["abs_sum"], rel=1e-6)
    assert table[25, :8].tolist() == pytest.approx(expected["row25_first8"], abs=1e-6)


def test_a_grid_of_14x14_has_the_table_itself():
    backbone = VisionTransformer(tiny_vit.ENTRY)
    assert torch.equal(backbone.resize_position_table(14, 14), backbone.pos_embed)


def test_umts_table_is_not_in_its_files_and_is_resized_in_float32():
    backbone = VisionTransformer(tiny_vit.UMT_ENTRY).double()
    assert "pos_embed" not in backbone.state_dict()
    assert backbone.resize_position_table(3, 5).dtype == torch.float32
    assert "pos_embed" in VisionTransformer(tiny_vit.ENTRY).state_dict()


# --- the network ------------------------------------------------------------------------------------------------------


def build_small(kind="videomae"):
    """A small ViT whose biases and norms are not at their initial values."""
    torch.manual_seed(0)
    model = Detector(SMALL_ENTRIES[kind])
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 1.0 if parameter.dim() == 1 else 0.0, 0.2)
    return model.eval()


def draw_small_clips(kind="videomae", height=40, width=56):
    entry = SMALL_ENTRIES[kind]
    return torch.randn(2, 3, entry.clip_len, height, width, generator=torch.Generator().manual_seed(1))


def run_plainly(backbone, clips, kernel):
    """The ViT written out: a matrix of all scores, three linear maps."""
    x = F.conv3d(clips, backbone.patch_embed.projection.weight, backbone.patch_embed.projection.bias, kernel)
    grid = x.shape[2:]
    x = x.flatten(2).transpose(1, 2) + backbone.resize_position_table(*grid[1:])
    for block in backbone.blocks:
        y = F.layer_norm(x, x.shape[2:], block.norm1.weight, block.norm1.bias, 1e-6)
        q, k, v = (y @ weight.T for weight in block.attn.qkv.weight.chunk(3))
        scores = (q + block.attn.q_bias) / 8 @ k.transpose(1, 2)  # (B,N,N), one head of width 64
        y = scores.softmax(2) @ (v + block.attn.v_bias)
        x = x + F.linear(y, block.attn.proj.weight, block.attn.proj.bias)
        y = F.layer_norm(x, x.shape[2:], block.norm2.weight, block.norm2.bias, 1e-6)
        hidden, last = block.mlp.layers[0][0], block.mlp.layers[1]
        y = F.linear(y, hidden.weight, hidden.bias)
        x = x + F.linear(y * 0.5 * (1 + torch.erf(y / 2**0.5)), last.weight, last.bias)
    x = F.layer_norm(x, x.shape[2:], backbone.norm.weight, backbone.norm.bias, 1e-6)
    return x.transpose(1, 2).unflatten(2, grid)


@pytest.mark.parametrize(("kind", "kernel"), [("videomae", (2, 16, 16)), ("umt", (1, 16, 16))])
def test_attention_without_its_matrix_gives_the_same(kind, kernel):
    backbone = build_small(kind).backbone.double()
    clips = draw_small_clips(kind).double()
    with torch.inference_mode():
        (features,) = backbone(clips)
        expected = run_plainly(backbone, clips, kernel)
    torch.testing.assert_close(features, expected, rtol=1e-10, atol=1e-10)


class LargestTensor(TorchDispatchMode):
    """The number of elements of the largest tensor that any operation returns."""

    def __init__(self):
        super().__init__()
        self.n_elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        outputs = func(*args, **(kwargs or {}))
        for output in outputs if isinstance(outputs, tuple | list) else [outputs]:
            if isinstance(output, torch.Tensor):
                self.n_elements = max(self.n_elements, output.numel())
        return outputs


def test_no_matrix_of_all_pairs_of_tokens_is_stored():
    """Neither forward nor backward: at 224x224 and two slices in time there are 392 tokens."""
    backbone = VisionTransformer(tiny_vit.ENTRY)
    clip = torch.randn(1, 3, 4, 224, 224)
    with LargestTensor() as largest:
        backbone(clip)[0].sum().backward()
    n_tokens = 2 * 14 * 14
    assert largest.n_elements <= max(clip.numel(), n_tokens * 4 * 64) < n_tokens**2 * 4


def test_the_edge_that_fills_no_patch_is_left_out():
    backbone = build_small().backbone
    clips = draw_small_clips()
    with torch.inference_mode():
        torch.testing.assert_close(backbone(clips)[0], backbone(clips[..., :32, :48])[0])


def test_a_clip_of_another_length_is_refused():
    with pytest.raises(ValueError, match="clips of 4 frames, got 6: its position table has 2 slices in time"):
        VisionTransformer(tiny_vit.ENTRY)(torch.zeros(1, 3, 6, 32, 32))
    with pytest.raises(ValueError, match=r"videomae_vit_b_ak takes clips \(B,3,4,H,W\)"):
        Detector(tiny_vit.ENTRY)(torch.zeros(1, 3, 6, 32, 32), torch.zeros(1, 5))


def test_a_picture_without_a_whole_patch_is_refused():
    with pytest.raises(ValueError, match="patches are 16x16 pixels, the clip has 12x40"):
        VisionTransformer(tiny_vit.ENTRY)(torch.zeros(1, 3, 4, 12, 40))


def test_initial_weights():
    torch.manual_seed(0)
    model = Detector(tiny_vit.ENTRY)
    for name, module in model.backbone.named_modules():
        if isinstance(module, torch.nn.Linear):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.1), name
            assert module.bias is None or (module.bias == 0).all(), name
    fc = model.roi_head.bbox_head.fc_cls
    assert fc.weight.std().item() == pytest.approx((2 / (64 + 81)) ** 0.5, rel=0.05), "Xavier"


# --- drop path --------------------------------------------------------------------------------------------------------


def test_drop_path_rises_with_the_depth():
    expected = golden_outputs.LATER_GOLDEN["models"]["videomae_vit_b_ak"]["drop_path_rates"]
    with torch.device("meta"):
        backbone = VisionTransformer(zoo.get("videomae_vit_b_ak"))
    assert [block.drop_path_rate for block in backbone.blocks] == pytest.approx(expected, abs=1e-6)


def test_a_dropped_branch_is_zero_and_a_kept_one_is_larger():
    torch.manual_seed(0)
    x = torch.ones(4000, 2, 3)
    dropped = drop_path(x, 0.2)
    assert set(dropped.unique().tolist()) == {0, 1.25}
    assert (dropped[:, :1, :1] == dropped).all(), "a clip's branch is dropped whole"
    assert dropped.mean().item() == pytest.approx(1, abs=0.03)


def test_drop_path_acts_in_training_alone():
    model = build_small()
    clips, rois = draw_small_clips(), torch.tensor([[0, 4, 4, 30, 30], [1, 0, 0, 50, 39.0]])
    model.roi_head.bbox_head.dropout.p = 0.0
    with torch.no_grad():
        expected = model(clips, rois)
        model.train().backbone.set_drop_path(0.0)
        assert torch.equal(model(clips, rois), expected)
        model.backbone.set_drop_path(0.9)
        assert not torch.equal(model(clips, rois), expected)
        assert torch.equal(model.eval()(clips, rois), expected)


# --- inference form ---------------------------------------------------------------------------------------------------

SMALL_ROIS = torch.tensor([[0, 4, 4, 30, 30], [1, 0, 0, 50, 39.0]])


@pytest.mark.parametrize("kind", SMALL_ENTRIES)
def test_the_inference_form_gives_the_same(kind):
    model = build_small(kind)
    with torch.inference_mode():
        expected = model(draw_small_clips(kind), SMALL_ROIS)
        logits = FusedDetector(model, torch.float32)(draw_small_clips(kind), SMALL_ROIS)
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)


def test_bfloat16_keeps_norms_sums_and_table_in_float32():
    model = build_small()
    fused = for_inference(model, torch.bfloat16, verbose=False)
    types = {name: tensor.dtype for name, tensor in fused.detector.backbone.state_dict().items()}
    assert types["blocks.0.attn.q_bias"] == types["blocks.1.mlp.layers.1.weight"] == torch.bfloat16
    assert types["blocks.0.norm1.weight"] == types["pos_embed"] == types["norm.bias"] == torch.float32
    with torch.inference_mode():
        (features,) = fused.detector.backbone(draw_small_clips())
    assert features.dtype == torch.float32
    assert 0 < fused.deviation.logits < 0.03 * fused.deviation.largest_logit
    assert {p.dtype for p in model.parameters()} == {torch.float32}, "the model is left unchanged"


@pytest.mark.slow
@pytest.mark.parametrize("kind", SMALL_ENTRIES)
@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
def test_it_is_exported(kind, suffix, tmp_path):
    """The written file is compared on other sizes and batches; see export_model."""
    result = export_model(build_small(kind), tmp_path / f"vit{suffix}", verbose=False)
    assert {(check.height, check.width) for check in result.checks} == {(64, 80), (96, 131)}


# --- checkpoints ------------------------------------------------------------------------------------------------------


def test_the_entries_say_under_which_licence_the_weights_are():
    assert "CC BY-NC 4.0" in zoo.get("videomae_vit_b_ak").licence
    assert "MIT" in zoo.get("umt_vit_l").licence and "CC BY-NC 4.0" in zoo.get("umt_vit_l").licence


def test_a_block_has_no_layer_scale():
    names = {name.split(".")[0] for name, _ in Block(64).named_parameters()}
    assert names == {"norm1", "attn", "norm2", "mlp"}


def test_another_depth_is_refused():
    with pytest.raises(ValueError, match="depth 3: expected the number of a ViT's blocks, one of 12, 24"):
        VisionTransformer(dataclasses.replace(tiny_vit.ENTRY, depth=3))
