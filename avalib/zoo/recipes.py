"""The recipes that the entries are trained and tested with, and how one is changed.

Source: MMAction2 v0.10.0, configs/detection/ava.
"""

from dataclasses import dataclass, fields, replace

from avalib.utils.suggest import suggest
from avalib.zoo.entries import compare_fields

LOWEST = {  # of the numbers that have a lowest value
    "epochs": 1, "videos_per_gpu": 1, "clips_per_step": 1, "lr": 0, "momentum": 0, "weight_decay": 0, "grad_clip": 0,
    "warmup_epochs": 0, "warmup_ratio": 0, "gamma": 0, "milestones": 0, "train_short_side": 16, "crop": 16,
    "test_short_side": 16, "rois_per_frame": 1, "cache_short_side": 16, "validate_every": 1, "seed": 0,
}  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """How an entry is trained and tested. Sizes in pixels, `lr` for `clips_per_step` clips."""

    name: str
    dataset: str
    initial: str  # "pretrained" (the row's Kinetics recogniser; the head is new) or "random"
    epochs: int  # passes over the training keyframes
    videos_per_gpu: int  # clips that one process takes at a time, over which batch norm and the loss take their means
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
    train_short_side: tuple[int, int]  # uniform, both ends included
    crop: int  # side of the training crop, pixels
    test_short_side: int  # short side of the test pictures, pixels
    flip: float  # probability of mirroring a training clip
    colour: float  # strength 0..1 of random colour changes in training; the published recipe has none
    person_score: float  # proposals at or above it (or the frame's best) are kept
    rois_per_frame: int  # boxes sampled from a training frame
    assign_iou: float  # IoU from which a proposal takes the labels of an annotated box
    dropout: float  # probability in the head
    shuffle_frames: bool  # an experiment: the clip's frames in random order, in training and test
    jitter_at_test: bool  # v0.10.0 jitters frames in test too; False takes the nominal ones
    zero_init_residual: bool  # the BN behind every conv3 starts at 0
    prior_bias: bool  # the classifier's biases start at each action's share of the boxes (published: at 0)
    cache_short_side: int | None  # read training clips from packed frames of this short side; None: from the videos
    validate_every: int  # epochs between validations
    seed: int = 0  # of initialisation, sampling and dropout
    numbering: str = "v0.10.0"  # "v1.x": MMAction2's later versions read the frame after each, as their checkpoints do

    def __post_init__(self):
        """Raise ValueError for numbers that no training can have, such as 0 epochs."""
        for name, lowest in LOWEST.items():
            values = getattr(self, name)
            for value in values if isinstance(values, tuple) else (values,):
                if value is not None and not (lowest <= value < float("inf")):
                    raise ValueError(f"{name}={values!r}: expected at least {lowest}")
        for name in ("flip", "colour", "person_score", "assign_iou", "dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)!r}: expected 0 to 1")


def build_published_recipe(entry):
    """The recipe behind the published row (Source: v0.10.0 configs; 20 epochs of SGD, steps after 10 and 15)."""
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


# The mini's epochs: what two CPU cores train in about eight minutes, so fewer for the rows that cost more a clip.
MINI_EPOCHS = {
    "slowonly_r50": 9,
    "slowonly_omnisource_r50": 9,
    "slowonly_r101": 3,
    "slowonly_omnisource_r101": 3,
    "slowfast_r50": 5,
    "slowfast_context_r50": 5,
    "slowfast_r50_8x8": 3,
}


def build_mini_recipe(entry):
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


def get_recipe(entry, dataset):
    """The recipe of an entry on a data set by name: "mini", "large", "tiny" (rendered) or "ava2.1", "ava2.2"."""
    return RECIPES["published" if dataset.startswith("ava") else "mini"](entry)


# What two rows of one network may differ in: their names, what they start from and how AVA was trained.
FIELDS_WITHOUT_EFFECT = {
    "alias", "name", "pretrained", "published_mAP", "published_gpus", "videos_per_gpu", "lr", "lr_for_gpus",
    "checkpoint_url", "checkpoint_sha256", "log_url", "json_url", "pretrained_url", "pretrained_sha256",
}  # fmt: skip


def find_equal_network(a, b, dataset):
    """Whether training on a data set is the same for two entries: one network, one recipe, random weights."""
    ours, theirs = get_recipe(a, dataset), get_recipe(b, dataset)
    return not compare_fields(a, b).keys() - FIELDS_WITHOUT_EFFECT and ours == theirs and ours.initial == "random"


def scale_lr(entry, gpus, videos_per_gpu):
    """The learning rate for `gpus` x `videos_per_gpu` clips a step by the linear rule (Source: arXiv:1706.02677).

    `entry` is anything with `lr` and the batch it is meant for: an Entry (lr_for_gpus x videos_per_gpu) or a Recipe
    (clips_per_step).
    """
    if gpus < 1 or videos_per_gpu < 1:
        raise ValueError(f"gpus={gpus}, videos_per_gpu={videos_per_gpu}: both must be at least 1")
    base = entry.clips_per_step if isinstance(entry, Recipe) else entry.lr_for_gpus * entry.videos_per_gpu
    return entry.lr * gpus * videos_per_gpu / base


def customize_recipe(base, *, short_side=None, batch_size=None, lr=None, **changes):
    """A recipe with some numbers changed; None leaves one as it is. `difference(base, …)` tells what changed.

    short_side: of the test pictures and of the training crop; the range of training sizes moves in proportion, and so
    does the cache. batch_size: clips a step on one device; the learning rate follows by the linear rule. lr: for the
    recipe's own batch. Other names are the recipe's own fields.
    """
    known = {f.name for f in fields(base)}
    if unknown := sorted(set(changes) - known):
        raise TypeError(f"a recipe has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    if short_side is not None:
        factor = short_side / base.test_short_side
        sides = tuple(round(side * factor) for side in base.train_short_side)
        cache = base.cache_short_side and round(base.cache_short_side * factor)
        changes |= dict(crop=short_side, test_short_side=short_side, train_short_side=sides, cache_short_side=cache)
    changes |= {"lr": lr} | ({} if batch_size is None else {"videos_per_gpu": batch_size})
    return replace(base, **{name: value for name, value in changes.items() if value is not None})


def override_recipe(base, changes):
    """A recipe with these of its numbers replaced, {field: value}; None is a value where the field may be None.

    Raises TypeError for a name that a recipe doesn't have (with the nearest one) or a value of another kind.
    """
    values, known = {}, {f.name: f.type for f in fields(base)}
    for name, value in changes.items():
        if name not in known:
            raise TypeError(f"a recipe has no {name!r}.{suggest(name, known)} It has: {', '.join(known)}")
        values[name] = _as_kind(value, known[name], name)
    return replace(base, **values)


def _as_kind(value, kind, name):
    """`value`, if it is of the annotated kind of a recipe's field (an int will do for a float, a list for a tuple)."""
    if value is None and kind.__class__.__name__ == "UnionType":
        return None
    if hasattr(kind, "__args__") and kind.__class__.__name__ != "UnionType":  # tuple[int, ...] or tuple[int, int]
        fixed = 2 if ... not in kind.__args__ else None
        if isinstance(value, list | tuple) and all(type(v) is int for v in value) and fixed in (None, len(value)):
            return tuple(value)
    elif kind is float and type(value) in (int, float):
        return float(value)
    elif type(value) in (kind, *getattr(kind, "__args__", ())):
        return value
    raise TypeError(
        f"recipe: {name}={value!r}: expected {getattr(kind, '__name__', kind) if type(kind) is type else kind}"
    )
