"""Check the metadata in a checkpoint: types and ranges, before anything is built or allocated."""

import math
import types
import typing
from dataclasses import fields

from avalib.data.label_map import check_label_map
from avalib.models.resnet3d import N_BLOCKS
from avalib.models.vit import WIDTHS
from avalib.utils.limits import MAX_ACTION_ID, MAX_CLIP_LEN, MAX_FRAME_INTERVAL, MAX_SHORT_SIDE
from avalib.zoo.entry import ZooEntry

_SIDE = (16, MAX_SHORT_SIDE, "MAX_SHORT_SIDE")
_RATE = (1, 64, "")
# fields of entries, recipes and preprocessing: (lowest, highest, the limit's name)
_RANGES = {
    "clip_len": (1, MAX_CLIP_LEN, "MAX_CLIP_LEN"),
    "frame_interval": (1, MAX_FRAME_INTERVAL, "MAX_FRAME_INTERVAL"),
    "resample_rate": _RATE,
    "speed_ratio": _RATE,
    "channel_ratio": _RATE,
    "fusion_kernel": (1, 15, ""),
    "tubelet": (1, 16, ""),
    "roi_size": (1, 64, ""),
    "inflated_blocks": (0, 64, ""),
    "last_stage_dilation": (1, 16, ""),
    "head_width": (1, 65_536, ""),
    "videos_per_gpu": (1, 65_536, ""),
    "lr_for_gpus": (1, 65_536, ""),
    "clips_per_step": (1, 1 << 24, ""),
    "epochs": (0, 1 << 20, ""),
    "rois_per_frame": (1, 1 << 16, ""),
    "validate_every": (1, 1 << 20, ""),
    "fps": (1, 1_000, ""),
    "person_score": (0, 1, ""),
    "dropout": (0, 1, ""),
    "flip": (0, 1, ""),
    "short_side": _SIDE,
    "test_short_side": _SIDE,
    "train_short_side": _SIDE,
    "crop": _SIDE,
    "crop_aspect": (0.25, 4, ""),
    "cache_short_side": _SIDE,
}
_DEPTHS = {"SlowOnly": N_BLOCKS, "SlowFast": N_BLOCKS, "ViT": WIDTHS}  # by backbone
_CHOICES = {
    "backbone": _DEPTHS,
    "code_base": ("mmaction", "pyslowfast", "pytorchvideo", "umt"),
    "slow_frames": ("strided", "linspace"),
    "non_local": (None, "softmax", "dot_product"),
    "temporal_pool": ("avg", "max"),
}
_PREPROCESSING = {
    "fps": float,
    "clip_len": int,
    "frame_interval": int,
    "short_side": int,
    "channel_order": str,
    "mean": tuple[float, float, float],
    "std": tuple[float, float, float],
}


def get_kind_name(kind):
    """The word for a dataclass in messages: "entry", "recipe"."""
    return kind.__name__.lower().removeprefix("zoo")


def check_values(values, kind):
    """Raise ValueError for the first of {name: value} that is no value of this field of a ZooEntry or Recipe.

    Names that the dataclass lacks are ignored. A list will do for a tuple, an int for a float.
    """
    types_by_field = {field.name: field.type for field in fields(kind)}
    for name, value in values.items():
        if name in types_by_field:
            _check_value(f"{get_kind_name(kind)}'s {name}", name, value, types_by_field[name])
    if kind is ZooEntry:
        _check_network(values)


def _check_network(values):
    """Raise ValueError for a ZooEntry's values of which no network can be built."""
    backbone = values.get("backbone")
    depths = _DEPTHS.get(backbone, (*N_BLOCKS, *WIDTHS))
    if "depth" in values and values["depth"] not in depths:
        expected = ", ".join(map(str, depths))
        raise ValueError(f"its entry's depth is {_shorten(values['depth'])}; expected one of {expected}")
    for name in values.get("non_local_blocks", ()):
        _check_block_name(name, N_BLOCKS.get(values.get("depth"), ()))
    needed = {
        "SlowFast": ("resample_rate", "speed_ratio", "channel_ratio", "fusion_kernel"),
        "ViT": ("tubelet",),
    }
    if missing := [name for name in needed.get(backbone, ()) if name in values and values[name] is None]:
        raise ValueError(f"its entry is of a {backbone} without {', '.join(missing)}")


def _check_block_name(name, n_blocks):
    """Raise ValueError where "3.6" names no bottleneck of a ResNet with so many in its four stages."""
    names = [f"{stage}.{i}" for stage, count in enumerate(n_blocks, start=1) for i in range(count)]
    if name not in names:
        raise ValueError(f"its entry's non_local_blocks has {_shorten(name)}; expected stage and number, such as '3.5'")


def check_preprocessing(values):
    """Raise ValueError where the sizes and rates of clips are of another type or out of range."""
    if not isinstance(values, dict):
        raise ValueError(f"its preprocessing is {_shorten(values)}; expected a dict")
    for name, value in values.items():
        if name in _PREPROCESSING:
            _check_value(f"preprocessing's {name}", name, value, _PREPROCESSING[name])


def read_label_map(values, source):
    """{action_id: name} from a checkpoint's label map, whose ids are text. Raises ValueError for others."""
    if not isinstance(values, dict) or not values:
        raise ValueError(f"its label_map is {_shorten(values)}; expected a dict {{action_id: name}}")
    return check_label_map(values.items(), f"the label map of {source}")


def check_n_classes(n_classes, where):
    """Raise ValueError for a classifier's width that no label map has; before it is built."""
    if not 1 <= n_classes <= MAX_ACTION_ID:
        raise ValueError(f"{where}: {n_classes:,} classes; expected 1 to {MAX_ACTION_ID:,} (MAX_ACTION_ID)")


def _check_value(label, name, value, expected_type):
    """Raise ValueError for a value of another type, outside of its choices or its range."""
    if not _is_of_type(value, expected_type):
        is_class = isinstance(expected_type, type) and not typing.get_args(expected_type)
        expected = expected_type.__name__ if is_class else str(expected_type)
        raise ValueError(f"its {label} is {_shorten(value)}; expected {expected}")
    if name in _CHOICES and value not in _CHOICES[name]:
        raise ValueError(f"its {label} is {_shorten(value)}; expected one of {', '.join(map(str, _CHOICES[name]))}")
    if name in _RANGES:
        lowest, highest, limit = _RANGES[name]
        for number in value if isinstance(value, list | tuple) else [value]:
            if number is not None and not lowest <= number <= highest:
                limit_name = f" ({limit})" if limit else ""
                raise ValueError(f"its {label} is {_shorten(number)}; expected {lowest:,} to {highest:,}{limit_name}")


def _is_of_type(value, expected_type):
    """Whether a value has an annotated type: a plain one, `int | None`, tuple[int, ...] or tuple[float, float]."""
    if isinstance(expected_type, types.UnionType):
        return any(_is_of_type(value, option) for option in typing.get_args(expected_type))
    if expected_type in (None, types.NoneType):
        return value is None
    if typing.get_origin(expected_type) is tuple:
        item_types = typing.get_args(expected_type)
        is_fixed = item_types[-1] is not ...
        if not isinstance(value, list | tuple) or (is_fixed and len(value) != len(item_types)):
            return False
        return all(_is_of_type(item, item_types[0]) for item in value)
    if expected_type is float:
        return type(value) in (int, float) and abs(value) < 1e300 and math.isfinite(value)
    return type(value) is expected_type


def _shorten(value):
    """A value for a message."""
    if isinstance(value, str | int | float | None):
        text = repr(value)
        return text if len(text) <= 80 else f"{text[:77]}…"
    return f"a {type(value).__name__}"
