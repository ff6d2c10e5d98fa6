"""The recipes that the entries are trained and tested with, and how one is changed.

Source: MMAction2 v0.10.0, configs/detection/ava.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import UnionType
from typing import get_args, get_origin

from avalib.utils.suggest import suggest
from avalib.zoo.entries import ZooEntry

MINIMA = {  # of the numbers that have a lowest value
    "epochs": 1,
    "videos_per_gpu": 1,
    "clips_per_step": 1,
    "lr": 0,
    "momentum": 0,
    "weight_decay": 0,
    "grad_clip": 0,
    "warmup_epochs": 0,
    "warmup_ratio": 0,
    "gamma": 0,
    "milestones": 0,
    "train_short_side": 16,
    "crop": 16,
    "test_short_side": 16,
    "rois_per_frame": 1,
    "cache_short_side": 16,
    "validate_every": 1,
    "seed": 0,
}
FRACTIONS = ("flip", "colour", "person_score", "assign_iou", "dropout")  # numbers from 0 to 1


@dataclass(frozen=True)
class Recipe:
    """How a model is trained and tested. Sizes are in pixels; `lr` is for `clips_per_step` clips."""

    name: str
    dataset: str

    # model
    initial: str  # "pretrained" (the entry's Kinetics recognizer; the head is new) or "random"

    # duration and batch
    epochs: int  # passes over the training keyframes
    videos_per_gpu: int  # clips that one process takes at a time, over which batch norm and the loss take their means

    # optimizer and learning rate
    lr: float  # learning rate for `clips_per_step` clips
    clips_per_step: int  # the global batch that `lr` is meant for
    optimizer: str  # "sgd" or "adamw"
    momentum: float  # adamw: the first beta
    weight_decay: float  # on every parameter, BN and biases too
    grad_clip: float  # L2 norm over all parameters
    warmup_epochs: float  # epochs in which the learning rate rises linearly to lr
    warmup_ratio: float  # the first step's share of lr
    schedule: str  # "step" or "cosine"
    milestones: tuple[int, ...]  # epochs before which "step" multiplies lr by gamma
    gamma: float  # factor of the "step" schedule at each milestone

    # data: pictures
    train_short_side: tuple[int, int]  # uniform, both ends included
    crop: int  # side of the training crop, pixels
    test_short_side: int  # short side of the test pictures, pixels
    flip: float  # probability of mirroring a training clip
    colour: float  # strength 0..1 of random color changes in training; the published recipe has none

    # data: boxes
    person_score: float  # proposals at or above it (or the frame's best) are kept
    rois_per_frame: int  # boxes sampled from a training frame
    assign_iou: float  # IoU from which a proposal takes the labels of an annotated box

    # head and frames
    dropout: float  # probability in the head
    shuffle_frames: bool  # an experiment: the clip's frames in random order, in training and test
    jitter_at_test: bool  # v0.10.0 jitters frames in test too; False takes the nominal ones

    # initialization
    zero_init_residual: bool  # the BN behind every conv3 starts at 0
    prior_bias: bool  # the classifier's biases start at each action's share of the boxes (published: at 0)

    # running
    cache_short_side: int | None  # read training clips from packed frames of this short side; None: from the videos
    validate_every: int  # epochs between validations
    seed: int = 0  # of initialisation, sampling and dropout
    numbering: str = "v0.10.0"  # "v1.x": MMAction2's later versions read the frame after each, as their checkpoints do

    def __post_init__(self):
        """Raise ValueError for numbers that no training can have, such as 0 epochs."""
        for name, minimum in MINIMA.items():
            values = getattr(self, name)
            for value in values if isinstance(values, tuple) else (values,):
                if value is not None and not (minimum <= value < float("inf")):
                    raise ValueError(f"{name}={values!r}: expected at least {minimum}")
        for name in FRACTIONS:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)!r}: expected 0 to 1")


def build_published_recipe(entry: ZooEntry) -> Recipe:
    """The recipe behind the published checkpoint (Source: v0.10.0 configs; 20 epochs of SGD, steps after 10 and 15)."""
    return Recipe(
        name="published",
        dataset="ava2.1",
        initial="pretrained",
        epochs=20,
        videos_per_gpu=entry.videos_per_gpu,
        lr=entry.lr,
        clips_per_step=entry.lr_for_gpus * entry.videos_per_gpu,
        optimizer="sgd",
        momentum=0.9,
        weight_decay=1e-5,
        grad_clip=40.0,
        warmup_epochs=5,
        warmup_ratio=0.1,
        schedule="step",
        milestones=(10, 15),
        gamma=0.1,
        train_short_side=(256, 320),
        crop=256,
        test_short_side=256,
        flip=0.5,
        colour=0.0,
        person_score=0.9,
        rois_per_frame=32,
        assign_iou=0.9,
        dropout=0.5,
        shuffle_frames=False,
        jitter_at_test=True,
        zero_init_residual=True,
        prior_bias=False,
        cache_short_side=None,
        validate_every=1,
    )


# the mini-AVA's epochs: what two CPU cores train in about eight minutes, so fewer for models that cost more a clip
MINI_EPOCHS = {
    "slowonly_r50": 9,
    "slowonly_omnisource_r50": 9,
    "slowonly_r101": 3,
    "slowonly_omnisource_r101": 3,
    "slowfast_r50": 5,
    "slowfast_context_r50": 5,
    "slowfast_r50_8x8": 3,
}


def build_mini_recipe(entry: ZooEntry) -> Recipe:
    """The recipe for the rendered mini-AVA, from random initialisation: small pictures, few epochs, two CPU cores."""
    return Recipe(
        name="mini",
        dataset="mini",
        initial="random",
        epochs=MINI_EPOCHS[entry.alias],
        videos_per_gpu=12,
        lr=1e-3,
        clips_per_step=12,
        optimizer="adamw",
        momentum=0.9,
        weight_decay=0.05,
        grad_clip=40.0,
        warmup_epochs=0.5,
        warmup_ratio=0.1,
        schedule="cosine",
        milestones=(),
        gamma=0.1,
        train_short_side=(64, 76),
        crop=64,
        test_short_side=64,
        flip=0.5,
        colour=0.3,
        person_score=0.9,
        rois_per_frame=32,
        assign_iou=0.7,
        dropout=0.0,
        shuffle_frames=False,
        jitter_at_test=False,
        zero_init_residual=False,  # starting as identities costs the first fifty steps
        prior_bias=True,
        cache_short_side=80,
        validate_every=3,
    )


RECIPES = {"published": build_published_recipe, "mini": build_mini_recipe}


def get_recipe(entry: ZooEntry, dataset: str) -> Recipe:
    """The recipe of an entry on a data set by name: "mini", "large", "tiny" (rendered) or "ava2.1", "ava2.2"."""
    return RECIPES["published" if dataset.startswith("ava") else "mini"](entry)


# the fields of an entry that make the network
NETWORK_FIELDS = (
    "modality",
    "backbone",
    "depth",
    "clip_len",
    "frame_interval",
    "resample_rate",
    "speed_ratio",
    "channel_ratio",
    "fusion_kernel",
    "context",
)


def is_same_training(a: ZooEntry, b: ZooEntry, dataset: str) -> bool:
    """Whether training on a data set is the same for two entries: one network, one recipe, random weights."""
    recipe = get_recipe(a, dataset)
    is_same_network = all(getattr(a, name) == getattr(b, name) for name in NETWORK_FIELDS)
    return is_same_network and recipe == get_recipe(b, dataset) and recipe.initial == "random"


def scale_lr(model: ZooEntry | Recipe, gpus: int, videos_per_gpu: int) -> float:
    """The learning rate for `gpus` x `videos_per_gpu` clips a step, by the linear rule.

    Parameters
    ----------
    model : ZooEntry or Recipe
        Its `lr`, and the batch that it is for: lr_for_gpus x videos_per_gpu, or clips_per_step.
    gpus, videos_per_gpu : int

    Raises
    ------
    ValueError
        One of the numbers is below 1.

    Source: Goyal et al., Accurate, Large Minibatch SGD, arXiv:1706.02677.
    """
    if gpus < 1 or videos_per_gpu < 1:
        raise ValueError(f"gpus={gpus}, videos_per_gpu={videos_per_gpu}: both must be at least 1")
    if isinstance(model, Recipe):
        base_clips = model.clips_per_step
    else:
        base_clips = model.lr_for_gpus * model.videos_per_gpu
    return model.lr * gpus * videos_per_gpu / base_clips


def update_recipe(
    base: Recipe,
    overrides: Mapping[str, object] | None = None,
    *,
    short_side: int | None = None,
    batch_size: int | None = None,
    **changes,
) -> Recipe:
    """A recipe with some values changed. `compare_fields(base, ...)` gives the differences.

    Parameters
    ----------
    base : Recipe
    overrides : mapping of str to object, optional
        {field: value}, taken as they are: None is a value where the field may be None. They come last.
    short_side : int, optional
        Pixels of the test pictures and of the training crop. The range of training sizes and the frame cache's short
        side follow in proportion.
    batch_size : int, optional
        Clips a step on one device. The learning rate follows by the linear rule.
    **changes
        Values of the recipe's own fields; None leaves a field as it is. `lr` is for the recipe's own batch.

    Raises
    ------
    TypeError
        A recipe has no such field (the message suggests the nearest), or its values are of another kind.
    ValueError
        No training can have such a value, such as 0 epochs.
    """
    values = {name: value for name, value in changes.items() if value is not None or name not in _FIELD_TYPES}
    if batch_size is not None:
        values["videos_per_gpu"] = batch_size
    if short_side is not None:
        factor = short_side / base.test_short_side
        values["crop"] = short_side
        values["test_short_side"] = short_side
        values["train_short_side"] = tuple(round(side * factor) for side in base.train_short_side)
        if base.cache_short_side is not None:
            values["cache_short_side"] = round(base.cache_short_side * factor)
    values |= overrides or {}
    return replace(base, **{name: _to_field_type(name, value) for name, value in values.items()})


_FIELD_TYPES = {field.name: field.type for field in fields(Recipe)}


def _to_field_type(name, value):
    """A field's value in the field's type: an int will do for a float, a list for a tuple. Raises TypeError."""
    if name not in _FIELD_TYPES:
        raise TypeError(f"a recipe has no {name!r}.{suggest(name, _FIELD_TYPES)} It has: {', '.join(_FIELD_TYPES)}")
    field_type = _FIELD_TYPES[name]
    if isinstance(field_type, UnionType):  # int | None
        if type(value) in field_type.__args__:
            return value
    elif get_origin(field_type) is tuple:  # tuple[int, ...] or tuple[int, int]
        item_types = get_args(field_type)
        length = None if item_types[-1] is ... else len(item_types)
        if isinstance(value, list | tuple) and all(type(item) is int for item in value):
            if length in (None, len(value)):
                return tuple(value)
    elif field_type is float:
        if type(value) in (int, float):
            return float(value)
    elif type(value) is field_type:
        return value
    expected = field_type.__name__ if type(field_type) is type else field_type
    raise TypeError(f"recipe: {name}={value!r}: expected {expected}")
