"""The names of a network's tensors in the files of each code base.

Internal names are those of the modules here: MMAction2's, in every network. `use_published_keys` makes a detector's
state_dict and load_state_dict use the names of the code base that its published file comes from, in that file's order.

Source: MMAction2 v1.2.0; PySlowFast 287ec007 (resnet_helper.py, video_model_builder.py); PyTorchVideo 0.1.5;
unmasked_teacher 4fb4049f (single_modality/action_detection).
"""

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from torch import nn

from avalib.models.resnet3d import LATERAL_NAMES

MAX_STAGE_BLOCKS = 40  # names exist for networks with up to so many bottlenecks in a stage; ResNet-101 has 23
MAX_VIT_BLOCKS = 48  # ViT-L has 24
HEAD = "roi_head."
RECOGNIZER_HEAD = "cls_head."
CLASSIFIER = f"{HEAD}bbox_head.fc_cls"
_BOTTLENECK_LETTERS = {"conv1": "a", "conv2": "b", "conv3": "c"}


@dataclass(frozen=True)
class KeyNames:
    """Names of modules: internal ones, and those in the files of one code base.

    Parameters
    ----------
    published : dict of str to str
        {internal name: name in a file}, in the file's order. Empty for MMAction2, whose names are the internal ones.
    """

    published: dict[str, str]

    @functools.cached_property
    def internal(self) -> dict[str, str]:
        """{name in a file: internal name}."""
        return {published: internal for internal, published in self.published.items()}

    @functools.cached_property
    def order(self) -> dict[str, int]:
        """{internal name: position in a file}."""
        return {internal: position for position, internal in enumerate(self.published)}

    def to_published(self, key: str) -> str:
        """Translate a tensor's internal name to the one in a file; a name that is not listed stays as it is."""
        return _rename_module(key, self.published)

    def to_internal(self, key: str) -> str:
        """Translate a tensor's name in a file to the internal one; a name that is not listed stays as it is."""
        return _rename_module(key, self.internal)

    def sort(self, keys: Iterable[str]) -> list[str]:
        """Sort internal names in the order of a file, those that are not listed last."""
        return sorted(keys, key=lambda key: self.order.get(key.rpartition(".")[0], len(self.order)))


@functools.cache
def get_key_names(code_base: str, two_pathways: bool) -> KeyNames:
    """Get the names of a code base.

    Parameters
    ----------
    code_base : {"mmaction", "pyslowfast", "pytorchvideo", "umt"}
    two_pathways : bool
        Whether the network is a SlowFast.

    Returns
    -------
    KeyNames

    Raises
    ------
    ValueError
        There is no such code base.
    """
    if code_base == "mmaction":
        return KeyNames({})
    if code_base == "pyslowfast":
        return KeyNames(dict(_list_pyslowfast_names(two_pathways)))
    if code_base == "pytorchvideo":
        return KeyNames(dict(_list_pytorchvideo_names(two_pathways)))
    if code_base == "umt":
        return KeyNames(dict(_list_umt_names()))
    raise ValueError(f"code base {code_base!r}: expected mmaction, pyslowfast, pytorchvideo or umt")


def find_code_base(keys: Iterable[str]) -> str:
    """Find the code base that a file's names are of; "mmaction" where they are of none."""
    keys = set(keys)
    if any(key.startswith("s1.pathway0_stem.") for key in keys):
        return "pyslowfast"
    if any(key.startswith("model.blocks.0.") for key in keys):
        return "pytorchvideo"
    if "patch_embed.proj.weight" in keys:
        return "umt"
    return "mmaction"


def to_internal_keys(state_dict: Mapping) -> dict:
    """Rename {name in a file of any code base: value} to internal names; names of no code base stay."""
    names = _find_key_names(state_dict)
    return {names.to_internal(key): value for key, value in state_dict.items()}


def list_head_keys(state_dict: Mapping) -> set[str]:
    """The names in a file of any code base that are of a detector's or recognizer's head, not of the backbone."""
    names = _find_key_names(state_dict)
    return {key for key in state_dict if names.to_internal(key).startswith((HEAD, RECOGNIZER_HEAD))}


def _find_key_names(keys):
    """The names that a file's keys are of."""
    two_pathways = any(key.startswith("s1.pathway1_") or ".multipathway_blocks." in key for key in keys)
    return get_key_names(find_code_base(keys), two_pathways)


def use_published_keys(model: nn.Module) -> None:
    """Let a detector's state_dict and load_state_dict have the names of its entry's code base.

    The modules keep their names (named_parameters, get_submodule). Copies and pickles of the model behave like it.

    Parameters
    ----------
    model : Detector
        With an `entry`. Changed in place; a second call changes nothing.
    """
    if not get_names_of(model.entry).published or _show_published_keys in model._state_dict_hooks.values():
        return
    model.register_state_dict_post_hook(_show_published_keys)
    model.register_load_state_dict_pre_hook(_take_published_keys)
    model.register_load_state_dict_post_hook(_report_published_keys)


def get_names_of(entry) -> KeyNames:
    """Get the names that a zoo entry's file has."""
    return get_key_names(entry.code_base, entry.backbone == "SlowFast")


def _rename_module(key, names):
    """A key with another name of its module: "s1_fuse.bn" + ".weight"."""
    module, dot, leaf = key.rpartition(".")
    return names.get(module, module) + dot + leaf


def _show_published_keys(model, state_dict, prefix, local_metadata):
    """After state_dict(): rename and sort the entries under the prefix, in place."""
    names = get_names_of(model.entry)
    tensors = {key[len(prefix) :]: state_dict.pop(key) for key in list(state_dict) if key.startswith(prefix)}
    for key in names.sort(tensors):
        state_dict[prefix + names.to_published(key)] = tensors[key]


def _take_published_keys(model, state_dict, prefix, *_):
    """Before load_state_dict(): rename the entries under the prefix, in place."""
    names = get_names_of(model.entry)
    for key in [key for key in state_dict if key.startswith(prefix)]:
        state_dict[prefix + names.to_internal(key[len(prefix) :])] = state_dict.pop(key)


def _report_published_keys(model, incompatible_keys):
    """After load_state_dict(): name what did not fit as the file does, in place."""
    names = get_names_of(model.entry)
    for keys in incompatible_keys:
        for i, key in enumerate(keys):
            # behind the prefix of a wrapper, internal names begin with one of these
            start = max(key.find("backbone."), key.find("roi_head."), 0)
            keys[i] = key[:start] + names.to_published(key[start:])


def _list_pathways(two_pathways):
    """The internal names of the pathways, slow before fast."""
    return ("backbone.slow_path.", "backbone.fast_path.") if two_pathways else ("backbone.",)


def _list_pyslowfast_names(two_pathways) -> Iterator[tuple[str, str]]:
    """(internal name, PySlowFast's), in PySlowFast's order: stage by stage, the slow pathway before the fast."""
    pathways = list(enumerate(_list_pathways(two_pathways)))
    for number, pathway in pathways:
        yield f"{pathway}conv1.conv", f"s1.pathway{number}_stem.conv"
        yield f"{pathway}conv1.bn", f"s1.pathway{number}_stem.bn"
    for stage in range(1, 5):
        # what joins the pathways behind the stem (s1) or the stage before (s2, s3, s4)
        if two_pathways:
            lateral = f"backbone.slow_path.{LATERAL_NAMES[stage - 1]}"
            yield f"{lateral}.conv", f"s{stage}_fuse.conv_f2s"
            yield f"{lateral}.bn", f"s{stage}_fuse.bn"
        for number, pathway in pathways:
            for i in range(MAX_STAGE_BLOCKS):
                block = f"{pathway}layer{stage}.{i}"
                published = f"s{stage + 1}.pathway{number}_res{i}"
                yield f"{block}.downsample.conv", f"{published}.branch1"
                yield f"{block}.downsample.bn", f"{published}.branch1_bn"
                for unit, letter in _BOTTLENECK_LETTERS.items():
                    yield f"{block}.{unit}.conv", f"{published}.branch2.{letter}"
                    yield f"{block}.{unit}.bn", f"{published}.branch2.{letter}_bn"
                non_local = f"{block}.non_local_block"
                published = f"s{stage + 1}.pathway{number}_nonlocal{i}"
                yield f"{non_local}.theta.conv", f"{published}.conv_theta"
                yield f"{non_local}.phi.0.conv", f"{published}.conv_phi"
                yield f"{non_local}.g.0.conv", f"{published}.conv_g"
                yield f"{non_local}.conv_out.conv", f"{published}.conv_out"
                yield f"{non_local}.conv_out.bn", f"{published}.bn"
    yield CLASSIFIER, "head.projection"


def _list_pytorchvideo_names(two_pathways) -> Iterator[tuple[str, str]]:
    """(internal name, PyTorchVideo's), in PyTorchVideo's order, which is PySlowFast's."""
    for number, pathway in enumerate(_list_pathways(two_pathways)):
        stem = _get_pytorchvideo_block(0, number, two_pathways)
        yield f"{pathway}conv1.conv", f"{stem}.conv"
        yield f"{pathway}conv1.bn", f"{stem}.norm"
    for stage in range(1, 5):
        if two_pathways:
            lateral = f"backbone.slow_path.{LATERAL_NAMES[stage - 1]}"
            yield f"{lateral}.conv", f"model.blocks.{stage - 1}.multipathway_fusion.conv_fast_to_slow"
            yield f"{lateral}.bn", f"model.blocks.{stage - 1}.multipathway_fusion.norm"
        for number, pathway in enumerate(_list_pathways(two_pathways)):
            for i in range(MAX_STAGE_BLOCKS):
                block = f"{pathway}layer{stage}.{i}"
                published = f"{_get_pytorchvideo_block(stage, number, two_pathways)}.res_blocks.{i}"
                yield f"{block}.downsample.conv", f"{published}.branch1_conv"
                yield f"{block}.downsample.bn", f"{published}.branch1_norm"
                for unit, letter in _BOTTLENECK_LETTERS.items():
                    yield f"{block}.{unit}.conv", f"{published}.branch2.conv_{letter}"
                    yield f"{block}.{unit}.bn", f"{published}.branch2.norm_{letter}"
    yield CLASSIFIER, "detection_head.proj"


def _get_pytorchvideo_block(stage, pathway, two_pathways):
    """PyTorchVideo's name of a stage (0: the stem) of a pathway."""
    block = f"model.blocks.{stage}"
    return f"{block}.multipathway_blocks.{pathway}" if two_pathways else block


def _list_umt_names() -> Iterator[tuple[str, str]]:
    """(internal name, UMT's), in UMT's order."""
    yield "backbone.patch_embed.projection", "patch_embed.proj"
    for i in range(MAX_VIT_BLOCKS):
        block = f"backbone.blocks.{i}"
        published = f"blocks.{i}"
        # "attn" itself has the biases of q and v
        for part in ("norm1", "attn", "attn.qkv", "attn.proj", "norm2"):
            yield f"{block}.{part}", f"{published}.{part}"
        yield f"{block}.mlp.layers.0.0", f"{published}.mlp.fc1"
        yield f"{block}.mlp.layers.1", f"{published}.mlp.fc2"
    yield "backbone.norm", "norm"
    yield CLASSIFIER, "head"
