"""Translate the blobs of PySlowFast's Caffe2 files (.pkl) into its tensors: names and shapes.

Source: PySlowFast 287ec007, c2_model_loading.py and checkpoint.py.
"""

import re

import numpy as np
import torch

# what the last part of a blob's name is in torch; "riv" is the variance itself
_LEAVES = {
    "w": "weight",
    "b": "bias",
    "s": "weight",
    "rm": "running_mean",
    "riv": "running_var",
}
# (pattern of a blob's name up to the last "_", PySlowFast's module); "t_" in front: the fast pathway
_MODULES = (
    (r"(?P<fast>t_)?conv1", "s1.pathway{pathway}_stem.conv"),
    (r"(?P<fast>t_)?res_conv1_bn", "s1.pathway{pathway}_stem.bn"),
    (r"t_pool1_subsample", "s1_fuse.conv_f2s"),
    (r"t_pool1_subsample_bn", "s1_fuse.bn"),
    (r"t_res(?P<stage>\d+)_\d+_branch2c_bn_subsample", "s{stage}_fuse.conv_f2s"),
    (r"t_res(?P<stage>\d+)_\d+_branch2c_bn_subsample_bn", "s{stage}_fuse.bn"),
    (r"(?P<fast>t_)?res(?P<stage>\d+)_(?P<block>\d+)_branch1", "s{stage}.pathway{pathway}_res{block}.branch1"),
    (r"(?P<fast>t_)?res(?P<stage>\d+)_(?P<block>\d+)_branch1_bn", "s{stage}.pathway{pathway}_res{block}.branch1_bn"),
    (
        r"(?P<fast>t_)?res(?P<stage>\d+)_(?P<block>\d+)_branch2(?P<letter>[abc])",
        "s{stage}.pathway{pathway}_res{block}.branch2.{letter}",
    ),
    (
        r"(?P<fast>t_)?res(?P<stage>\d+)_(?P<block>\d+)_branch2(?P<letter>[abc])_bn",
        "s{stage}.pathway{pathway}_res{block}.branch2.{letter}_bn",
    ),
    (
        r"nonlocal_conv(?P<stage>\d+)_(?P<block>\d+)_(?P<part>theta|phi|g|out)",
        "s{stage}.pathway0_nonlocal{block}.conv_{part}",
    ),
    (r"nonlocal_conv(?P<stage>\d+)_(?P<block>\d+)_bn", "s{stage}.pathway0_nonlocal{block}.bn"),
    (r"pred", "head.projection"),
)
_RULES = tuple((re.compile(pattern), module) for pattern, module in _MODULES)
_NORM = re.compile(r"(^|[._])(bn|\w+_bn)$")  # a module whose tensors have one dimension
_CONV_DIMENSIONS = 5  # (O,I,T,H,W)


def rename_blob(name: str) -> str | None:
    """Translate a blob's name into that of PySlowFast's tensor.

    Parameters
    ----------
    name : str
        "res4_0_branch2a_bn_rm"

    Returns
    -------
    str or None
        "s4.pathway0_res0.branch2.a_bn.running_mean"; None where no rule fits.
    """
    # "res4_0_branch2a_bn" is the module, "rm" the tensor in it
    stem, _, last = name.rpartition("_")
    if last not in _LEAVES:
        return None
    for pattern, module in _RULES:
        if match := pattern.fullmatch(stem):
            groups = match.groupdict()
            pathway = 1 if groups.get("fast") else 0
            return f"{module.format(pathway=pathway, **groups)}.{_LEAVES[last]}"
    return None


def is_training_state(name: str) -> bool:
    """Tell whether a blob belongs to the optimizer: momentum, learning rate, number of the iteration."""
    return name.endswith("_momentum") or name in ("lr", "model_iter")


def convert_blobs(blobs: dict) -> dict[str, torch.Tensor]:
    """Make PySlowFast's state_dict out of a Caffe2 file's blobs.

    Parameters
    ----------
    blobs : dict of str to ndarray
        Those of the optimizer are left out. A blob that no rule names keeps its name, so that a strict load reports it.

    Returns
    -------
    dict of str to Tensor
        float32. Weights of convolutions get trailing dimensions of size 1 up to five; batch norms get
        num_batches_tracked, which Caffe2 lacks.

    Raises
    ------
    ValueError
        A blob is no array of numbers, or two are the same tensor.
    """
    state_dict = {}
    for name, blob in blobs.items():
        if not isinstance(name, str) or is_training_state(name):
            continue
        if not isinstance(blob, np.ndarray):
            raise ValueError(f"blob {name!r:.60} is a {type(blob).__name__}; expected an array")
        key = rename_blob(name) or name
        if key in state_dict:
            raise ValueError(f"blob {name!r:.60} is {key} a second time")
        state_dict[key] = _to_tensor(key, blob)
        # torch's batch norm also counts its batches
        if key.endswith(".running_var"):
            state_dict[key.replace("running_var", "num_batches_tracked")] = torch.tensor(0)
    return state_dict


def _to_tensor(key, blob):
    """The float32 tensor of a blob, a copy that can be written to; weights of convolutions are (O,I,T,H,W)."""
    tensor = torch.from_numpy(np.array(blob, np.float32))
    module, _, leaf = key.rpartition(".")
    # (O,I) or (O,I,T) or … -> (O,I,T,H,W)
    is_conv = leaf == "weight" and module != "head.projection" and not _NORM.search(module)
    if is_conv and tensor.dim() < _CONV_DIMENSIONS:
        tensor = tensor.reshape(*tensor.shape, *[1] * (_CONV_DIMENSIONS - tensor.dim()))
    return tensor
