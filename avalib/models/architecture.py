"""Recognize the network that a state_dict is of, by its keys and shapes, in the names of any code base."""

import functools
from dataclasses import dataclass

import torch

from avalib import zoo
from avalib.data.labels import N_ACTIONS
from avalib.models.detector import Detector
from avalib.models.key_names import CLASSIFIER, HEAD, find_code_base, to_internal_keys
from avalib.models.resnet3d import LATERAL_NAMES, N_BLOCKS
from avalib.utils.plurals import format_count

POSITION_TABLE = "backbone.pos_embed"  # of a ViT; made from a formula, so a file may lack it
CONTEXT_WIDTHS = (4096, 4608)  # a classifier's inputs in models with context: SlowOnly, SlowFast
_CODE_BASE_TITLES = {"pyslowfast": "PySlowFast", "pytorchvideo": "PyTorchVideo", "umt": "UMT"}
_VIT_SIZES = {384: "S", 768: "B", 1024: "L", 1280: "H"}  # by width
_RECOGNIZER_CLASSES = (400, 600, 700, 710)  # Kinetics; in these code bases detectors' heads have the same name
# the fields of an entry that decide the keys and shapes of its state_dict
_SHAPE_FIELDS = (
    "backbone",
    "depth",
    "channel_ratio",
    "fusion_kernel",
    "context",
    "code_base",
    "inflated_blocks",
    "lateral_norm",
    "non_local",
    "non_local_blocks",
    "tubelet",
    "relation",
    "head_width",
    "reserved_column",
)


@dataclass(frozen=True)
class NetworkFacts:
    """What keys and shapes tell about a network; None where they tell nothing."""

    code_base: str
    backbone: str | None = None  # as in ZooEntry
    depth: int | None = None
    size: str | None = None  # of a ViT: "B", "L"
    is_detector: bool = False
    n_outputs: int | None = None  # of the classifier
    n_inputs: int | None = None  # of its first layer
    has_hidden_layer: bool = False
    has_relation: bool = False
    n_non_local: int = 0
    lateral_kernel: int | None = None
    tubelet: int | None = None


def read_network_facts(state_dict: dict) -> NetworkFacts:
    """Recognize the network of {key: tensor}."""
    code_base = find_code_base(state_dict)
    tensors = to_internal_keys(state_dict)
    # the head: weights (outputs, inputs) of its linear layers, the last one with a row for each class
    classifiers = [value for key, value in tensors.items() if ".fc_cls." in key and value.dim() == 2]
    n_outputs = classifiers[-1].shape[0] if classifiers else None
    is_recognizer = code_base != "mmaction" and n_outputs in _RECOGNIZER_CLASSES
    head_facts = {
        "is_detector": any(key.startswith(HEAD) for key in tensors) and not is_recognizer,
        "n_outputs": n_outputs,
        "n_inputs": classifiers[0].shape[1] if classifiers else None,
        "has_hidden_layer": len(classifiers) > 1,
        "has_relation": any(key.startswith(f"{HEAD}shared_head.") for key in tensors),
    }
    # a ViT, by its patch embedding (C,3,tubelet,16,16)
    patches = tensors.get("backbone.patch_embed.projection.weight")
    if patches is not None and patches.dim() == 5:
        # "backbone.blocks.11.attn.qkv.weight": ViT-B has 12
        blocks = [key for key in tensors if key.startswith("backbone.blocks.") and key.endswith(".attn.qkv.weight")]
        size = _VIT_SIZES.get(patches.shape[0])
        return NetworkFacts(code_base, "ViT", len(blocks), size, tubelet=patches.shape[2], **head_facts)
    # a ResNet: one pathway or two, and how deep
    is_slowfast = any(key.startswith("backbone.slow_path.") for key in tensors)
    prefix = "backbone.slow_path." if is_slowfast else "backbone."
    # "…layer3.5.conv1.conv.weight": the numbers of the third stage's bottlenecks tell the depth
    blocks = {key.split(".")[-4] for key in tensors if key.startswith(f"{prefix}layer3.") and ".conv1.conv." in key}
    depth = {N_BLOCKS[50][2]: 50, N_BLOCKS[101][2]: 101}.get(len(blocks))
    stem = tensors.get(f"{prefix}conv1.conv.weight")
    if depth is None or stem is None or stem.dim() != 5:
        return NetworkFacts(code_base, **head_facts)
    return NetworkFacts(
        code_base,
        "SlowFast" if is_slowfast else "SlowOnly",
        depth,
        n_non_local=sum(key.endswith("non_local_block.theta.conv.weight") for key in tensors),
        lateral_kernel=_get_lateral_kernel(tensors),
        **head_facts,
    )


def describe_checkpoint(state_dict: dict) -> str:
    """Describe the network: "SlowFast R50 detector, laterals 7x1x1"."""
    # backbone and kind of head, then what distinguishes it from others
    facts = read_network_facts(state_dict)
    if facts.backbone is None or (facts.backbone == "ViT" and facts.size is None):
        return f"a network that is not of this zoo ({len(state_dict)} tensors, the first is {next(iter(state_dict))!r})"
    name = f"ViT-{facts.size}" if facts.backbone == "ViT" else f"{facts.backbone} R{facts.depth}"
    parts = [f"{name} {'detector' if facts.is_detector else 'recognizer'}"]
    if not facts.is_detector and facts.n_outputs:
        parts[0] += f" for {format_count(facts.n_outputs, 'class', 'classes')}"
    if facts.n_inputs in CONTEXT_WIDTHS:
        parts[0] += " with context"
    if facts.has_hidden_layer:
        parts.append("a classifier of two layers")
    if facts.has_relation:
        parts.append("ACRN")
    if facts.n_non_local:
        parts.append(format_count(facts.n_non_local, "non-local block"))
    if facts.lateral_kernel:
        parts.append(f"laterals {facts.lateral_kernel}x1x1")
    if facts.tubelet:
        parts.append(f"tubelets of {format_count(facts.tubelet, 'frame')}")
    if facts.code_base in _CODE_BASE_TITLES:
        parts.append(f"in {_CODE_BASE_TITLES[facts.code_base]}'s names")
    if facts.is_detector and get_n_classes(state_dict) != N_ACTIONS:
        parts.append(format_count(facts.n_outputs, "output"))
    return ", ".join(parts)


def get_lateral_kernel(state_dict: dict) -> int | None:
    """The length in time of the kernels between SlowFast's pathways; None in other networks."""
    return _get_lateral_kernel(to_internal_keys(state_dict))


def _get_lateral_kernel(tensors):
    """`get_lateral_kernel` for tensors under internal names."""
    weight = tensors.get(f"backbone.slow_path.{LATERAL_NAMES[0]}.conv.weight")
    return weight.shape[2] if weight is not None and weight.dim() == 5 else None


def get_n_outputs(state_dict: dict) -> int | None:
    """The columns of a detector's classifier; None where there is no such head."""
    # with a hidden layer the last one counts
    keys = (f"{CLASSIFIER}.weight", f"{CLASSIFIER}.2.weight")
    weights = [value for key, value in to_internal_keys(state_dict).items() if key in keys and value.dim() == 2]
    return weights[-1].shape[0] if weights else None


def has_reserved_column(state_dict: dict) -> bool:
    """Whether a file's classifier has the unused column 0: MMAction2's have, those of other code bases have not."""
    return find_code_base(state_dict) == "mmaction"


def get_n_classes(state_dict: dict) -> int:
    """A detector's number of classes, without the reserved column; AVA's 80 where the file has no such head."""
    n_outputs = get_n_outputs(state_dict)
    if n_outputs is None:
        return N_ACTIONS
    return n_outputs - 1 if has_reserved_column(state_dict) else n_outputs


def has_shapes_of(state_dict: dict, entry: zoo.ZooEntry) -> bool:
    """Whether a state_dict has exactly the keys and shapes of a zoo entry's detector."""
    # {key: shape} of the entry's own detector; a file may lack the position table
    expected = _compute_shapes(Detector, _NetworkKey(entry), get_n_classes(state_dict))
    if POSITION_TABLE not in state_dict:
        expected = {key: shape for key, shape in expected.items() if key != POSITION_TABLE}
    return {key: tuple(value.shape) for key, value in state_dict.items()} == expected


def list_fitting_models(state_dict: dict) -> list[str]:
    """The aliases of the zoo's models that a state_dict fits."""
    facts = read_network_facts(state_dict)
    # build (without memory) only the networks that the facts allow
    candidates = [entry for entry in zoo.ENTRIES if _get_facts_of(entry) == _get_comparable_facts(facts)]
    return [entry.alias for entry in candidates if has_shapes_of(state_dict, entry)]


def _get_facts_of(entry):
    """What an entry tells about its network's keys, in the order of `_get_comparable_facts`."""
    return (
        entry.code_base,
        entry.backbone,
        entry.depth,
        entry.fusion_kernel,
        len(entry.non_local_blocks),
        entry.tubelet,
        entry.relation,
        entry.head_width is not None,
    )


def _get_comparable_facts(facts):
    """What keys tell about a network, in the order of `_get_facts_of`."""
    return (
        facts.code_base,
        facts.backbone,
        facts.depth,
        facts.lateral_kernel,
        facts.n_non_local,
        facts.tubelet,
        facts.has_relation,
        facts.has_hidden_layer,
    )


class _NetworkKey:
    """An entry that equals all entries whose state_dicts have its keys and shapes."""

    def __init__(self, entry):
        self.entry = entry
        # a ViT's position table is as long as the clip
        clip_len = entry.clip_len if entry.backbone == "ViT" else None
        self.values = (clip_len, *(getattr(entry, name) for name in _SHAPE_FIELDS))

    def __eq__(self, other):
        return self.values == other.values

    def __hash__(self):
        return hash(self.values)


@functools.lru_cache(maxsize=64)
def _compute_shapes(detector_class, network, n_classes):
    """{key: shape} of a network's state_dict; nothing is allocated."""
    with torch.device("meta"):
        detector = detector_class(network.entry, n_classes=n_classes)
    return {key: tuple(value.shape) for key, value in detector.state_dict().items()}
