"""The names of tensors in the files of each code base: one to one, in the files' order, through state_dict."""

import copy
import pickle
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from torch import nn

from avalib.models.key_names import (
    CLASSIFIER,
    find_code_base,
    get_key_names,
    to_internal_keys,
    use_published_keys,
)

TABLE = pd.read_csv(Path(__file__).parents[1] / "golden" / "state_dicts2.csv.gz", dtype=str)
KEY_LISTS = {name: list(rows["key"]) for name, rows in TABLE.groupby("state_dict", sort=False)}
CODE_BASES = {"psf": "pyslowfast", "ptv": "pytorchvideo", "umt": "umt", "vmaead": "umt"}  # by the name's first part
# the same tensor in the three code bases of the SlowFast networks
SAME_TENSORS = [
    (
        "backbone.fast_path.layer3.0.conv2.bn.running_var",
        "s4.pathway1_res0.branch2.b_bn.running_var",
        "model.blocks.3.multipathway_blocks.1.res_blocks.0.branch2.norm_b.running_var",
    ),
    (
        "backbone.slow_path.layer2_lateral.conv.weight",
        "s3_fuse.conv_f2s.weight",
        "model.blocks.2.multipathway_fusion.conv_fast_to_slow.weight",
    ),
    (
        "backbone.slow_path.layer1.0.downsample.conv.weight",
        "s2.pathway0_res0.branch1.weight",
        "model.blocks.1.multipathway_blocks.0.res_blocks.0.branch1_conv.weight",
    ),
    (f"{CLASSIFIER}.bias", "head.projection.bias", "detection_head.proj.bias"),
]


def get_code_base(name):
    return CODE_BASES.get(name.partition("_")[0], "mmaction")


def get_names(name):
    return get_key_names(get_code_base(name), "slowfast" in name)


@pytest.mark.parametrize("name", KEY_LISTS)
def test_the_code_base_is_found_by_the_names(name):
    assert find_code_base(KEY_LISTS[name]) == get_code_base(name)


@pytest.mark.parametrize("name", KEY_LISTS)
def test_names_are_one_to_one(name):
    names, keys = get_names(name), KEY_LISTS[name]
    internal = [names.to_internal(key) for key in keys]
    assert len(set(internal)) == len(keys)
    assert all(key.startswith(("backbone.", "roi_head.")) for key in internal)
    assert [names.to_published(key) for key in internal] == keys


@pytest.mark.parametrize("name", [name for name in KEY_LISTS if get_code_base(name) != "mmaction"])
def test_sorted_names_are_in_the_files_order(name):
    names, keys = get_names(name), KEY_LISTS[name]
    internal = [names.to_internal(key) for key in keys]
    # a module's own order: MMAction2's, where the downsampling comes after the other convolutions
    modules_in_another_order = sorted(internal, key=lambda key: key.rpartition(".")[0])
    assert names.sort(modules_in_another_order) == internal


@pytest.mark.parametrize(("internal", "pyslowfast", "pytorchvideo"), SAME_TENSORS)
def test_the_same_tensor_in_three_code_bases(internal, pyslowfast, pytorchvideo):
    assert get_key_names("pyslowfast", True).to_published(internal) == pyslowfast
    assert get_key_names("pytorchvideo", True).to_published(internal) == pytorchvideo


def test_pytorchvideo_names_are_pyslowfasts_networks():
    for pytorchvideo, pyslowfast in (
        ("ptv_slow_r50_detection", "psf_slow_r50_4x16_v22"),
        ("ptv_slowfast_r50_detection", "psf_slowfast_r50_32x2"),
    ):
        ours = [to_internal_keys(dict.fromkeys(KEY_LISTS[name])) for name in (pytorchvideo, pyslowfast)]
        assert list(ours[0]) == list(ours[1])


def test_the_slow_network_has_mmactions_slowonly_keys():
    slow = to_internal_keys(dict.fromkeys(KEY_LISTS["psf_slow_r50_4x16_v22"]))
    assert set(slow) == set(KEY_LISTS["slowonly_r50_8x8_ak"])


def test_an_unknown_code_base():
    with pytest.raises(ValueError, match="'detectron': expected mmaction, pyslowfast, pytorchvideo or umt"):
        get_key_names("detectron", False)


class Unit(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(2, 2, 1, bias=False)
        self.bn = nn.BatchNorm3d(2)


class Network(nn.Module):
    """A slow pathway's stem and classifier under internal names, registered in another order than the file's."""

    def __init__(self):
        super().__init__()
        self.entry = SimpleNamespace(code_base="pyslowfast", backbone="SlowOnly")
        self.roi_head = nn.Module()
        self.roi_head.bbox_head = nn.Module()
        self.roi_head.bbox_head.fc_cls = nn.Linear(2, 2)
        self.backbone = nn.Module()
        self.backbone.conv1 = Unit()
        self.own = nn.Parameter(torch.zeros(1))
        use_published_keys(self)
        use_published_keys(self)  # a second call changes nothing

    def forward(self, x):
        return self.roi_head.bbox_head.fc_cls(self.backbone.conv1.bn(self.backbone.conv1.conv(x)).amax((2, 3, 4)))


BN_LEAVES = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
PUBLISHED = ["s1.pathway0_stem.conv.weight", *(f"s1.pathway0_stem.bn.{leaf}" for leaf in BN_LEAVES)]
PUBLISHED += ["head.projection.weight", "head.projection.bias", "own"]


def make_weights(prefix=""):
    """The weights of a Network that has another value in every tensor, under the file's names."""
    return {prefix + key: value + 1 for key, value in Network().state_dict().items()}


def test_state_dict_shows_the_files_names_in_its_order():
    assert list(Network().state_dict()) == PUBLISHED


def test_parameters_keep_the_names_of_their_modules():
    assert "backbone.conv1.conv.weight" in dict(Network().named_parameters())


@pytest.mark.parametrize("make_copy", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_has_the_files_names_too(make_copy):
    network, weights = make_copy(Network()), make_weights()
    assert list(network.state_dict()) == PUBLISHED
    network.load_state_dict(weights)
    assert all(torch.equal(value, weights[key]) for key, value in network.state_dict().items())


def test_a_copy_takes_weights_after_its_original_is_gone():
    network = copy.deepcopy(Network())
    assert not network.load_state_dict(make_weights()).missing_keys


@pytest.mark.parametrize(
    ("wrap", "prefix"),
    [
        (lambda network: network, ""),
        (nn.DataParallel, "module."),
        (lambda network: nn.ModuleDict({"a": nn.Linear(2, 2), "model": network}), "model."),
        (lambda network: nn.ModuleList([nn.Linear(2, 2), nn.ModuleList([network])]), "1.0."),
    ],
)
def test_names_behind_a_prefix(wrap, prefix):
    wrapper = wrap(Network())
    keys = [key for key in wrapper.state_dict() if key.startswith(prefix)]
    assert keys == [prefix + key for key in PUBLISHED]
    weights = wrapper.state_dict() | make_weights(prefix)
    wrapper.load_state_dict(weights)
    assert all(torch.equal(value, weights[key]) for key, value in wrapper.state_dict().items())


def test_loading_leaves_the_dict_as_it_is():
    weights = make_weights()
    Network().load_state_dict(weights)
    assert list(weights) == PUBLISHED


@pytest.mark.parametrize("prefix", ["", "module."])
def test_what_does_not_fit_has_the_files_names(prefix):
    wrapper = nn.DataParallel(Network()) if prefix else Network()
    weights = make_weights(prefix)
    del weights[f"{prefix}s1.pathway0_stem.bn.bias"]
    weights[f"{prefix}s1.pathway0_stem.bn.scale"] = torch.zeros(2)
    report = wrapper.load_state_dict(weights, strict=False)
    assert report.missing_keys == [f"{prefix}s1.pathway0_stem.bn.bias"]
    assert report.unexpected_keys == [f"{prefix}s1.pathway0_stem.bn.scale"]
    with pytest.raises(RuntimeError, match="pathway0_stem.bn.bias"):
        wrapper.load_state_dict(weights)


def test_an_exported_program_gives_the_same():
    network, x = Network().eval(), torch.ones(1, 2, 2, 4, 4)
    program = torch.export.export(network, (x,))
    assert torch.equal(program.module()(x), network(x))


def test_a_network_of_mmaction_has_no_hooks():
    network = nn.Module()
    network.entry = SimpleNamespace(code_base="mmaction", backbone="SlowOnly")
    use_published_keys(network)
    assert not network._state_dict_hooks
