"""Blobs of Caffe2 files: every tensor of PySlowFast's networks has one, and no others are taken."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from avalib.models.caffe2_names import convert_blobs, is_training_state, rename_blob

TABLE = pd.read_csv(Path(__file__).parents[1] / "golden" / "state_dicts2.csv.gz", dtype=str)
PYSLOWFAST = ["psf_slow_r50_4x16_v22", "psf_slowfast_r50_32x2", "psf_slowfast_r101_32x2_v22"]
EXAMPLES = {  # from the comments of PySlowFast's own converter, and its rules
    "conv1_w": "s1.pathway0_stem.conv.weight",
    "t_conv1_w": "s1.pathway1_stem.conv.weight",
    "res_conv1_bn_riv": "s1.pathway0_stem.bn.running_var",
    "t_res_conv1_bn_s": "s1.pathway1_stem.bn.weight",
    "res4_0_branch1_w": "s4.pathway0_res0.branch1.weight",
    "res4_0_branch1_bn_b": "s4.pathway0_res0.branch1_bn.bias",
    "res4_4_branch2c_bn_b": "s4.pathway0_res4.branch2.c_bn.bias",
    "t_res2_1_branch2a_w": "s2.pathway1_res1.branch2.a.weight",
    "t_pool1_subsample_w": "s1_fuse.conv_f2s.weight",
    "t_pool1_subsample_bn_rm": "s1_fuse.bn.running_mean",
    "t_res4_5_branch2c_bn_subsample_w": "s4_fuse.conv_f2s.weight",
    "t_res4_5_branch2c_bn_subsample_bn_rm": "s4_fuse.bn.running_mean",
    "nonlocal_conv4_13_theta_w": "s4.pathway0_nonlocal13.conv_theta.weight",
    "nonlocal_conv4_13_out_b": "s4.pathway0_nonlocal13.conv_out.bias",
    "nonlocal_conv4_6_bn_s": "s4.pathway0_nonlocal6.bn.weight",
    "pred_w": "head.projection.weight",
    "pred_b": "head.projection.bias",
}
LAST_BLOCKS = {"1": None, "2": 2, "3": 3, "4": {True: 22, False: 5}}


def name_blob(key, is_r101):
    """The blob of a tensor of PySlowFast, written from the tensor's side; None for num_batches_tracked."""
    module, _, leaf = key.rpartition(".")
    if leaf == "num_batches_tracked":
        return None
    is_norm = module.endswith("bn")
    last = {"weight": "s" if is_norm else "w", "bias": "b", "running_mean": "rm", "running_var": "riv"}[leaf]
    if module == "head.projection":
        return f"pred_{last}"
    if fuse := re.fullmatch(r"s(\d)_fuse\.(conv_f2s|bn)", module):
        stage, part = fuse.groups()
        block = LAST_BLOCKS[stage][is_r101] if stage == "4" else LAST_BLOCKS[stage]
        lateral = "t_pool1_subsample" if stage == "1" else f"t_res{stage}_{block}_branch2c_bn_subsample"
        return f"{lateral}_bn_{last}" if part == "bn" else f"{lateral}_{last}"
    if non_local := re.fullmatch(r"s(\d)\.pathway0_nonlocal(\d+)\.(?:conv_)?(\w+)", module):
        return "nonlocal_conv{}_{}_{}_".format(*non_local.groups()) + last
    fast = "t_" if "pathway1" in module else ""
    if module.endswith("_stem.conv"):
        return f"{fast}conv1_{last}"
    if module.endswith("_stem.bn"):
        return f"{fast}res_conv1_bn_{last}"
    stage, block, branch = re.fullmatch(r"s(\d)\.pathway\d_res(\d+)\.(.*)", module).groups()
    return f"{fast}res{stage}_{block}_{branch.replace('.', '')}_{last}"


def list_shapes(name):
    """{key: shape} of a network of PySlowFast."""
    rows = TABLE[TABLE["state_dict"] == name]
    shapes = [tuple(int(n) for n in text.split("x")) if isinstance(text, str) else () for text in rows["shape"]]
    return dict(zip(rows["key"], shapes, strict=True))


def make_blobs(name, rng):
    """A Caffe2 file's blobs of a network, float32, every tensor with other numbers."""
    blobs = {}
    for key, shape in list_shapes(name).items():
        if blob := name_blob(key, "r101" in name):
            blobs[blob] = np.broadcast_to(np.float32(rng.random()), shape)
    return blobs


@pytest.mark.parametrize("blob", EXAMPLES)
def test_examples(blob):
    assert rename_blob(blob) == EXAMPLES[blob]


@pytest.mark.parametrize("name", PYSLOWFAST)
def test_every_tensor_has_one_blob(name):
    keys = [key for key in list_shapes(name) if not key.endswith("num_batches_tracked")]
    blobs = [name_blob(key, "r101" in name) for key in keys]
    assert len(set(blobs)) == len(keys)
    assert [rename_blob(blob) for blob in blobs] == keys


@pytest.mark.parametrize("name", PYSLOWFAST)
def test_the_tensors_are_pyslowfasts(name):
    state_dict = convert_blobs(make_blobs(name, np.random.default_rng(0)))
    assert {key: tuple(value.shape) for key, value in state_dict.items()} == list_shapes(name)
    assert all(value.dtype == torch.float32 or key.endswith("tracked") for key, value in state_dict.items())


@pytest.mark.parametrize("blob", ["conv1_w_momentum", "pred_b_momentum", "lr", "model_iter"])
def test_training_state_is_left_out(blob):
    assert is_training_state(blob)
    assert convert_blobs({blob: np.zeros(3)}) == {}


@pytest.mark.parametrize(
    "blob", ["conv1_x", "res4_branch2a_w", "pred", "xres4_0_branch1_w", "res4_0_branch2d_w", "weight", ""]
)
def test_a_blob_without_a_rule_keeps_its_name(blob):
    assert rename_blob(blob) is None
    assert list(convert_blobs({blob: np.zeros(3)})) == [blob]


@pytest.mark.parametrize(
    ("blob", "shape", "expected"),
    [
        ("res2_0_branch2a_w", (64, 64), (64, 64, 1, 1, 1)),
        ("nonlocal_conv4_6_g_w", (8, 16, 1, 1), (8, 16, 1, 1, 1)),
        ("conv1_w", (64, 3, 1, 7, 7), (64, 3, 1, 7, 7)),
        ("pred_w", (80, 32), (80, 32)),
        ("res2_0_branch2a_bn_s", (64,), (64,)),
        ("nonlocal_conv4_6_bn_s", (16,), (16,)),
        ("t_pool1_subsample_bn_s", (16,), (16,)),
    ],
)
def test_shapes_get_ones_behind(blob, shape, expected):
    tensor = convert_blobs({blob: np.zeros(shape)})[rename_blob(blob)]
    assert tuple(tensor.shape) == expected


def test_batch_norms_get_a_count():
    state_dict = convert_blobs({"res_conv1_bn_riv": np.ones(3)})
    assert state_dict["s1.pathway0_stem.bn.num_batches_tracked"] == torch.tensor(0)


def test_a_blob_that_is_no_array():
    with pytest.raises(ValueError, match="blob 'pred_w' is a list; expected an array"):
        convert_blobs({"pred_w": [1.0]})


def test_a_tensor_that_comes_twice():
    with pytest.raises(ValueError, match="s4_fuse.conv_f2s.weight a second time"):
        convert_blobs(
            dict.fromkeys(["t_res4_5_branch2c_bn_subsample_w", "t_res4_22_branch2c_bn_subsample_w"], np.ones(3))
        )
