"""Weight files of ViTs: position tables that are missing or others, recognizers' norms, UMT's files, other sizes."""

import golden_outputs
import pytest
import tiny_vit
import torch

from avalib.models.architecture import describe_checkpoint, list_fitting_models
from avalib.models.build import build_model
from avalib.models.checkpoint_file import CheckpointError
from avalib.models.detector import Detector

TABLE = "backbone.pos_embed"


def make_weights(entry=tiny_vit.ENTRY):
    """Weights of a small ViT that differ from those that a new one starts with."""
    torch.manual_seed(1)
    weights = Detector(entry).state_dict()
    return {key: value if key == TABLE else value + torch.rand_like(value) for key, value in weights.items()}


def load(tmp_path, content, entry=tiny_vit.ENTRY, **options):
    torch.save(content, tmp_path / "vit.pth")
    return build_model(entry, tmp_path / "vit.pth", verbose=False, **options)


def has_weights(model, weights):
    state_dict = model.state_dict()
    return all(torch.equal(state_dict[key], value) for key, value in weights.items())


def test_a_missing_position_table_is_built(tmp_path):
    weights = make_weights()
    table = weights.pop(TABLE)
    model = load(tmp_path, {"state_dict": weights})
    assert has_weights(model, weights) and torch.equal(model.state_dict()[TABLE], table)
    assert model.report.ok and model.report.initialized == (TABLE,)
    assert "the file has no backbone.pos_embed: it was built from its formula" in str(model.report)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_a_position_table_of_any_precision_is_the_formulas(tmp_path, dtype):
    weights = make_weights()
    weights[TABLE] = weights[TABLE].to(dtype)
    assert TABLE in load(tmp_path, {"state_dict": weights}).report.matched


def test_a_position_table_that_was_trained_is_refused(tmp_path):
    weights = make_weights()
    weights[TABLE] = weights[TABLE] + 0.1
    with pytest.raises(CheckpointError, match="vit.pth: backbone.pos_embed differs by up to 0.1 from the table"):
        load(tmp_path, {"state_dict": weights})


def test_a_position_table_for_longer_clips_is_refused(tmp_path):
    weights = make_weights()
    weights[TABLE] = torch.cat([weights[TABLE], weights[TABLE]], dim=1)
    message = r"1 of another shape: backbone.pos_embed \(1x784x64 in the file, 1x392x64 in the model\)"
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path, {"state_dict": weights})


def test_a_recognizers_norm_is_not_taken_over(tmp_path):
    weights = make_weights()
    backbone = {key: value for key, value in weights.items() if not key.startswith(("backbone.norm.", "roi_head."))}
    others = {f"backbone.fc_norm.{leaf}": torch.full((64,), 3.0) for leaf in ("weight", "bias")}
    others |= {"cls_head.fc_cls.weight": torch.zeros(400, 64), "cls_head.fc_cls.bias": torch.zeros(400)}
    model = load(tmp_path, {"state_dict": backbone | others}, backbone_only=True)
    assert has_weights(model, backbone) and set(model.report.left_out) == set(others)
    assert (model.backbone.norm.weight == 1).all() and (model.backbone.norm.bias == 0).all()


@pytest.mark.parametrize("key", ["model", "module"])
@pytest.mark.parametrize("prefix", ["", "backbone.", "encoder."])
def test_a_file_of_umt(tmp_path, key, prefix):
    weights = make_weights(tiny_vit.UMT_ENTRY)
    assert list(weights)[0] == "patch_embed.proj.weight" and list(weights)[-1] == "head.bias"
    content = {key: {prefix + name: value for name, value in weights.items()}, "epoch": 29}
    model = load(tmp_path, content, tiny_vit.UMT_ENTRY)
    assert has_weights(model, weights) and model.meta.extra == {"epoch": 29}


def make_shapes(name):
    """The tensors of a published file, without numbers."""
    return {key: torch.empty(shape, device="meta") for key, (shape, _) in golden_outputs.read_keys(name).items()}


DESCRIPTIONS = {
    "videomae_vit_b_ak": "ViT-B detector, tubelets of 2 frames",
    "videomae_vit_l_ak": "ViT-L detector, tubelets of 2 frames",
    "umt_vit_b": "ViT-B detector, tubelets of 1 frame, in UMT's names",
    "umt_vit_l": "ViT-L detector, tubelets of 1 frame, in UMT's names",
}


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_a_vit_is_described(name):
    assert describe_checkpoint(make_shapes(name)) == DESCRIPTIONS[name]


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_the_model_that_a_vits_file_fits(name):
    assert list_fitting_models(make_shapes(name)) == [name]


def test_a_file_without_its_position_table_fits_too():
    shapes = make_shapes("videomae_vit_b_ak")
    del shapes[TABLE]
    assert list_fitting_models(shapes) == ["videomae_vit_b_ak"]


def test_a_vit_with_tubelets_of_two_frames_in_umts_names_is_none_of_the_zoos():
    shapes = golden_outputs.read_keys("umt_vit_b")
    shapes = {key: torch.empty(shape, device="meta") for key, (shape, _) in shapes.items()}
    shapes["patch_embed.proj.weight"] = torch.empty(768, 3, 2, 16, 16, device="meta")
    assert describe_checkpoint(shapes) == "ViT-B detector, tubelets of 2 frames, in UMT's names"
    assert list_fitting_models(shapes) == []
