"""Which network a state_dict belongs to, read off its keys and shapes."""

import torch

from avalib import zoo
from avalib.data.labels import N_ACTIONS
from avalib.models.detector import Detector
from avalib.models.resnet3d import LATERAL_NAMES, N_BLOCKS

HEAD = "roi_head."
RECOGNIZER_HEAD = "cls_head."
CLASSIFIER_KEY = f"{HEAD}bbox_head.fc_cls.weight"
CONTEXT_WIDTHS = (4096, 4608)  # a classifier's inputs in models with context: SlowOnly, SlowFast


def describe_checkpoint(state_dict):
    """The network in words: "SlowFast R50 detector, laterals 7x1x1"."""
    is_slowfast = any(key.startswith("backbone.slow_path.") for key in state_dict)
    prefix = "backbone.slow_path." if is_slowfast else "backbone."
    # "…layer3.5.conv1.conv.weight": the numbers of the third stage's bottlenecks tell the depth
    stage_keys = [key for key in state_dict if key.startswith(f"{prefix}layer3.") and ".conv1.conv." in key]
    n_blocks = len({key.split(".")[-4] for key in stage_keys})
    depth = {N_BLOCKS[50][2]: "R50", N_BLOCKS[101][2]: "R101"}.get(n_blocks)
    stem = state_dict.get(f"{prefix}conv1.conv.weight")
    if depth is None or stem is None or stem.dim() != 5:
        return f"a network that is not of this zoo ({len(state_dict)} tensors, the first is {next(iter(state_dict))!r})"
    parts = ["SlowFast" if is_slowfast else "SlowOnly", depth]
    is_detector = any(key.startswith(HEAD) for key in state_dict)
    parts.append("detector" if is_detector else "recognizer")
    classifiers = [value for key, value in state_dict.items() if key.endswith("fc_cls.weight")]
    if classifiers and classifiers[0].dim() == 2:
        n_outputs, n_inputs = classifiers[0].shape
        if not is_detector:
            parts.append(f"for {n_outputs} classes")
        if n_inputs in CONTEXT_WIDTHS:
            parts.append("with context")
    kernel = get_lateral_kernel(state_dict)
    return " ".join(parts) + (f", laterals {kernel}x1x1" if kernel else "")


def get_lateral_kernel(state_dict):
    """The length in time of the kernels between SlowFast's pathways; None in other networks."""
    weight = state_dict.get(f"backbone.slow_path.{LATERAL_NAMES[0]}.conv.weight")
    return weight.shape[2] if weight is not None and weight.dim() == 5 else None


def get_n_classes(state_dict):
    """A detector's number of classes, without the reserved column; AVA's 80 where the file has no such head."""
    weight = state_dict.get(CLASSIFIER_KEY)
    if weight is None or weight.dim() != 2:
        return N_ACTIONS
    return weight.shape[0] - 1


def has_shapes_of(state_dict, entry):
    """Whether a state_dict has exactly the keys and shapes of a zoo entry's detector."""
    with torch.device("meta"):
        detector = Detector(entry, n_classes=get_n_classes(state_dict))
    return _get_shapes(state_dict) == _get_shapes(detector.state_dict())


def list_fitting_models(state_dict):
    """The aliases of the zoo's models that a state_dict fits."""
    return [entry.alias for entry in zoo.ENTRIES if has_shapes_of(state_dict, entry)]


def _get_shapes(state_dict):
    return {key: tuple(value.shape) for key, value in state_dict.items()}
