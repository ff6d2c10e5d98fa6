"""The seven entries of the AVA zoo as plain data, and the recipes they are trained with.

Every number stands where it is used: no inheritance, repetition on purpose. An experiment is
`dataclasses.replace(entry, …)` or `dataclasses.replace(recipe, …)`; `run.py` records the difference.

Source: MMAction2 v0.10.0, configs/detection/ava (README table, configs, released files).
"""

import difflib
from dataclasses import dataclass, fields, replace

_AVA = "https://download.openmmlab.com/mmaction/detection/ava/"
_RECOGNITION = "https://download.openmmlab.com/mmaction/recognition/"


@dataclass(frozen=True)
class Entry:
    """One row of the zoo: the network, what was published about it, and where its files are."""

    alias: str
    name: str  # the full published name
    modality: str
    pretrained: str  # what the backbone starts from
    backbone: str  # "SlowOnly" or "SlowFast"
    depth: int
    clip_len: int  # frames in a clip
    frame_interval: int  # frames (of 30 a second) between two of them
    resample_rate: int | None  # SlowFast: the slow pathway sees every resample_rate-th frame of the clip
    speed_ratio: int | None  # SlowFast: alpha, the laterals' stride over time
    channel_ratio: int | None  # SlowFast: the fast pathway is this much thinner
    fusion_kernel: int | None  # SlowFast: the laterals' length over time
    context: bool  # a global feature is appended to every RoI's
    resolution: str
    published_mAP: float  # mAP@0.5 in percent, AVA v2.1 val, protocol "mmaction"
    published_gpus: str
    videos_per_gpu: int
    lr: float  # for lr_for_gpus x videos_per_gpu clips a step
    lr_for_gpus: int
    checkpoint_url: str
    checkpoint_sha256: str  # the first 8 hex digits, as in the file's name
    log_url: str
    json_url: str
    pretrained_url: str
    pretrained_sha256: str
    licence: str = "Apache-2.0"
    source: str = "https://github.com/open-mmlab/mmaction2/tree/v0.10.0/configs/detection/ava"


# slowfast_r50_8x8: v0.10.0's configuration left fusion_kernel at 5, upstream's regression of August 2021 set 7 for
# the same released file, and the Kinetics weights it starts from have 7. The loader reads it from the file's shapes.
ENTRIES = (
    Entry(
        alias="slowonly_r50",
        name="slowonly_kinetics_pretrained_r50_4x16x1_20e_ava_rgb",
        modality="RGB",
        pretrained="Kinetics-400",
        backbone="SlowOnly",
        depth=50,
        clip_len=4,
        frame_interval=16,
        resample_rate=None,
        speed_ratio=None,
        channel_ratio=None,
        fusion_kernel=None,
        context=False,
        resolution="short side 256",
        published_mAP=20.1,
        published_gpus="8",
        videos_per_gpu=16,
        lr=0.2,
        lr_for_gpus=8,
        checkpoint_url=_AVA
        + "slowonly_kinetics_pretrained_r50_4x16x1_20e_ava_rgb/slowonly_kinetics_pretrained_r50_4x16x1_20e_ava_rgb_20201217-40061d5f.pth",
        checkpoint_sha256="40061d5f",
        log_url=_AVA
        + "slowonly_kinetics_pretrained_r50_4x16x1_20e_ava_rgb/slowonly_kinetics_pretrained_r50_4x16x1_20e_ava_rgb_20201127.log",
        json_url=_AVA
        + "slowonly_kinetics_pretrained_r50_4x16x1_20e_ava_rgb/slowonly_kinetics_pretrained_r50_4x16x1_20e_ava_rgb_20201127.json",
        pretrained_url=_RECOGNITION
        + "slowonly/slowonly_r50_4x16x1_256e_kinetics400_rgb/slowonly_r50_4x16x1_256e_kinetics400_rgb_20200704-a69556c6.pth",
        pretrained_sha256="a69556c6",
    ),
    Entry(
        alias="slowonly_omnisource_r50",
        name="slowonly_omnisource_pretrained_r50_4x16x1_20e_ava_rgb",
        modality="RGB",
        pretrained="OmniSource",
        backbone="SlowOnly",
        depth=50,
        clip_len=4,
        frame_interval=16,
        resample_rate=None,
        speed_ratio=None,
        channel_ratio=None,
        fusion_kernel=None,
        context=False,
        resolution="short side 256",
        published_mAP=21.8,
        published_gpus="8",
        videos_per_gpu=16,
        lr=0.2,
        lr_for_gpus=8,
        checkpoint_url=_AVA
        + "slowonly_omnisource_pretrained_r50_4x16x1_20e_ava_rgb/slowonly_omnisource_pretrained_r50_4x16x1_20e_ava_rgb_20201217-0c6d2e98.pth",
        checkpoint_sha256="0c6d2e98",
        log_url=_AVA
        + "slowonly_omnisource_pretrained_r50_4x16x1_20e_ava_rgb/slowonly_omnisource_pretrained_r50_4x16x1_20e_ava_rgb_20201127.log",
        json_url=_AVA
        + "slowonly_omnisource_pretrained_r50_4x16x1_20e_ava_rgb/slowonly_omnisource_pretrained_r50_4x16x1_20e_ava_rgb_20201127.json",
        pretrained_url=_RECOGNITION + "slowonly/omni/slowonly_r50_omni_4x16x1_kinetics400_rgb_20200926-51b1f7ea.pth",
        pretrained_sha256="51b1f7ea",
    ),
    Entry(
        alias="slowonly_r101",
        name="slowonly_kinetics_pretrained_r101_8x8x1_20e_ava_rgb",
        modality="RGB",
        pretrained="Kinetics-400",
        backbone="SlowOnly",
        depth=101,
        clip_len=8,
        frame_interval=8,
        resample_rate=None,
        speed_ratio=None,
        channel_ratio=None,
        fusion_kernel=None,
        context=False,
        resolution="short side 256",
        published_mAP=24.6,
        published_gpus="8x2",
        videos_per_gpu=6,
        lr=0.075,
        lr_for_gpus=8,
        checkpoint_url=_AVA
        + "slowonly_kinetics_pretrained_r101_8x8x1_20e_ava_rgb/slowonly_kinetics_pretrained_r101_8x8x1_20e_ava_rgb_20201217-1c9b4117.pth",
        checkpoint_sha256="1c9b4117",
        log_url=_AVA
        + "slowonly_kinetics_pretrained_r101_8x8x1_20e_ava_rgb/slowonly_kinetics_pretrained_r101_8x8x1_20e_ava_rgb_20201127.log",
        json_url=_AVA
        + "slowonly_kinetics_pretrained_r101_8x8x1_20e_ava_rgb/slowonly_kinetics_pretrained_r101_8x8x1_20e_ava_rgb_20201127.json",
        pretrained_url=_RECOGNITION
        + "slowonly/omni/slowonly_r101_without_omni_8x8x1_kinetics400_rgb_20200926-0c730aef.pth",
        pretrained_sha256="0c730aef",
    ),
    Entry(
        alias="slowonly_omnisource_r101",
        name="slowonly_omnisource_pretrained_r101_8x8x1_20e_ava_rgb",
        modality="RGB",
        pretrained="OmniSource",
        backbone="SlowOnly",
        depth=101,
        clip_len=8,
        frame_interval=8,
        resample_rate=None,
        speed_ratio=None,
        channel_ratio=None,
        fusion_kernel=None,
        context=False,
        resolution="short side 256",
        published_mAP=25.9,
        published_gpus="8x2",
        videos_per_gpu=6,
        lr=0.075,
        lr_for_gpus=8,
        checkpoint_url=_AVA
        + "slowonly_omnisource_pretrained_r101_8x8x1_20e_ava_rgb/slowonly_omnisource_pretrained_r101_8x8x1_20e_ava_rgb_20201217-16378594.pth",
        checkpoint_sha256="16378594",
        log_url=_AVA
        + "slowonly_omnisource_pretrained_r101_8x8x1_20e_ava_rgb/slowonly_omnisource_pretrained_r101_8x8x1_20e_ava_rgb_20201127.log",
        json_url=_AVA
        + "slowonly_omnisource_pretrained_r101_8x8x1_20e_ava_rgb/slowonly_omnisource_pretrained_r101_8x8x1_20e_ava_rgb_20201127.json",
        pretrained_url=_RECOGNITION + "slowonly/omni/slowonly_r101_omni_8x8x1_kinetics400_rgb_20200926-b5dbb701.pth",
        pretrained_sha256="b5dbb701",
    ),
    Entry(
        alias="slowfast_r50",
        name="slowfast_kinetics_pretrained_r50_4x16x1_20e_ava_rgb",
        modality="RGB",
        pretrained="Kinetics-400",
        backbone="SlowFast",
        depth=50,
        clip_len=32,
        frame_interval=2,
        resample_rate=8,
        speed_ratio=8,
        channel_ratio=8,
        fusion_kernel=5,
        context=False,
        resolution="short side 256",
        published_mAP=24.4,
        published_gpus="8x2",
        videos_per_gpu=9,
        lr=0.1125,
        lr_for_gpus=8,
        checkpoint_url=_AVA
        + "slowfast_kinetics_pretrained_r50_4x16x1_20e_ava_rgb/slowfast_kinetics_pretrained_r50_4x16x1_20e_ava_rgb_20201217-6e7c704d.pth",
        checkpoint_sha256="6e7c704d",
        log_url=_AVA
        + "slowfast_kinetics_pretrained_r50_4x16x1_20e_ava_rgb/slowfast_kinetics_pretrained_r50_4x16x1_20e_ava_rgb_20201217.log",
        json_url=_AVA
        + "slowfast_kinetics_pretrained_r50_4x16x1_20e_ava_rgb/slowfast_kinetics_pretrained_r50_4x16x1_20e_ava_rgb_20201217.json",
        pretrained_url=_RECOGNITION
        + "slowfast/slowfast_r50_4x16x1_256e_kinetics400_rgb/slowfast_r50_4x16x1_256e_kinetics400_rgb_20200704-bcde7ed7.pth",
        pretrained_sha256="bcde7ed7",
    ),
    Entry(
        alias="slowfast_context_r50",
        name="slowfast_context_kinetics_pretrained_r50_4x16x1_20e_ava_rgb",
        modality="RGB",
        pretrained="Kinetics-400",
        backbone="SlowFast",
        depth=50,
        clip_len=32,
        frame_interval=2,
        resample_rate=8,
        speed_ratio=8,
        channel_ratio=8,
        fusion_kernel=5,
        context=True,
        resolution="short side 256",
        published_mAP=25.4,
        published_gpus="8x2",
        videos_per_gpu=9,
        lr=0.1125,
        lr_for_gpus=8,
        checkpoint_url=_AVA
        + "slowfast_context_kinetics_pretrained_r50_4x16x1_20e_ava_rgb/slowfast_context_kinetics_pretrained_r50_4x16x1_20e_ava_rgb_20201222-f4d209c9.pth",
        checkpoint_sha256="f4d209c9",
        log_url=_AVA
        + "slowfast_context_kinetics_pretrained_r50_4x16x1_20e_ava_rgb/slowfast_context_kinetics_pretrained_r50_4x16x1_20e_ava_rgb_20201222.log",
        json_url=_AVA
        + "slowfast_context_kinetics_pretrained_r50_4x16x1_20e_ava_rgb/slowfast_context_kinetics_pretrained_r50_4x16x1_20e_ava_rgb_20201222.json",
        pretrained_url=_RECOGNITION
        + "slowfast/slowfast_r50_4x16x1_256e_kinetics400_rgb/slowfast_r50_4x16x1_256e_kinetics400_rgb_20200704-bcde7ed7.pth",
        pretrained_sha256="bcde7ed7",
    ),
    Entry(
        alias="slowfast_r50_8x8",
        name="slowfast_kinetics_pretrained_r50_8x8x1_20e_ava_rgb",
        modality="RGB",
        pretrained="Kinetics-400",
        backbone="SlowFast",
        depth=50,
        clip_len=32,
        frame_interval=2,
        resample_rate=4,
        speed_ratio=4,
        channel_ratio=8,
        fusion_kernel=7,
        context=False,
        resolution="short side 256",
        published_mAP=25.5,
        published_gpus="8x2",
        videos_per_gpu=5,
        lr=0.075,
        lr_for_gpus=8,
        checkpoint_url=_AVA
        + "slowfast_kinetics_pretrained_r50_8x8x1_20e_ava_rgb/slowfast_kinetics_pretrained_r50_8x8x1_20e_ava_rgb_20201217-ae225e97.pth",
        checkpoint_sha256="ae225e97",
        log_url=_AVA
        + "slowfast_kinetics_pretrained_r50_8x8x1_20e_ava_rgb/slowfast_kinetics_pretrained_r50_8x8x1_20e_ava_rgb_20201217.log",
        json_url=_AVA
        + "slowfast_kinetics_pretrained_r50_8x8x1_20e_ava_rgb/slowfast_kinetics_pretrained_r50_8x8x1_20e_ava_rgb_20201217.json",
        pretrained_url=_RECOGNITION
        + "slowfast/slowfast_r50_8x8x1_256e_kinetics400_rgb/slowfast_r50_8x8x1_256e_kinetics400_rgb_20200716-73547d2b.pth",
        pretrained_sha256="73547d2b",
    ),
)


@dataclass(frozen=True)
class Recipe:
    """How an entry is trained and tested. Sizes in pixels, `lr` for `clips_per_step` clips."""

    name: str
    dataset: str
    initial: str  # "pretrained" (the row's Kinetics recogniser; the head is new) or "random"
    epochs: int
    videos_per_gpu: int  # clips that one process takes at a time, over which batch norm and the loss take their means
    lr: float
    clips_per_step: int  # the global batch that `lr` is meant for
    optimizer: str  # "sgd" or "adamw"
    momentum: float  # adamw: the first beta
    weight_decay: float  # on every parameter, BN and biases too
    grad_clip: float  # L2 norm over all parameters
    warmup_epochs: float
    warmup_ratio: float  # the first step's share of lr
    schedule: str  # "step" or "cosine"
    milestones: tuple[int, ...]  # epochs before which "step" multiplies lr by gamma
    gamma: float
    train_short_side: tuple[int, int]  # uniform, both ends included
    crop: int
    test_short_side: int
    flip: float
    colour: float  # strength 0..1 of random colour changes in training; the published recipe has none
    person_score: float  # proposals at or above it (or the frame's best) are kept
    rois_per_frame: int
    assign_iou: float
    dropout: float
    shuffle_frames: bool  # an experiment: the clip's frames in random order, in training and test
    jitter_at_test: bool  # v0.10.0 jitters frames in test too; False takes the nominal ones
    zero_init_residual: bool  # the BN behind every conv3 starts at 0
    prior_bias: bool  # the classifier's biases start at each action's share of the boxes (published: at 0)
    cache_short_side: int | None  # read training clips from packed frames of this short side; None: from the videos
    validate_every: int
    seed: int = 0
    numbering: str = "v0.10.0"  # "v1.x": MMAction2's later versions read the frame after each, as their checkpoints do


def published_recipe(entry):
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


def mini_recipe(entry):
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


RECIPES = {"published": published_recipe, "mini": mini_recipe}


def recipe(entry, dataset):
    """The recipe of an entry on a data set by name: "mini", "large", "tiny" (rendered) or "ava2.1", "ava2.2"."""
    return RECIPES["published" if dataset.startswith("ava") else "mini"](entry)


# What two rows of one network may differ in: their names, what they start from and how AVA was trained.
APART = {
    "alias", "name", "pretrained", "published_mAP", "published_gpus", "videos_per_gpu", "lr", "lr_for_gpus",
    "checkpoint_url", "checkpoint_sha256", "log_url", "json_url", "pretrained_url", "pretrained_sha256",
}  # fmt: skip


def same_from_scratch(a, b, dataset):
    """Whether training on a data set is the same for two entries: one network, one recipe, random weights."""
    ours, theirs = recipe(a, dataset), recipe(b, dataset)
    return not difference(a, b).keys() - APART and ours == theirs and ours.initial == "random"


def names():
    """The seven aliases, in the published table's order."""
    return [entry.alias for entry in ENTRIES]


def get(name):
    """The entry with this alias or full published name.

    Raises KeyError that lists the names and suggests the nearest.
    """
    for entry in ENTRIES:
        if name in (entry.alias, entry.name):
            return entry
    near = difflib.get_close_matches(str(name), names() + [e.name for e in ENTRIES], n=1, cutoff=0.4)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise KeyError(f"no model {name!r} in the zoo.{hint} There are: {', '.join(names())}")


def scaled_lr(entry, gpus, videos_per_gpu):
    """The learning rate for `gpus` x `videos_per_gpu` clips a step by the linear rule (Source: arXiv:1706.02677).

    `entry` is anything with `lr` and the batch it is meant for: an Entry (lr_for_gpus x videos_per_gpu) or a Recipe
    (clips_per_step).
    """
    if gpus < 1 or videos_per_gpu < 1:
        raise ValueError(f"gpus={gpus}, videos_per_gpu={videos_per_gpu}: both must be at least 1")
    base = entry.clips_per_step if isinstance(entry, Recipe) else entry.lr_for_gpus * entry.videos_per_gpu
    return entry.lr * gpus * videos_per_gpu / base


def customise(base, *, short_side=None, batch_size=None, lr=None, **changes):
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


def override(base, changes):
    """A recipe with these of its numbers replaced, {field: value}; None is a value where the field may be None.

    Raises TypeError for a name that a recipe doesn't have (with the nearest one) or a value of another kind.
    """
    values, known = {}, {f.name: f.type for f in fields(base)}
    for name, value in changes.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"a recipe has no {name!r}.{hint} It has: {', '.join(known)}")
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


def difference(base, other):
    """{field: (base's value, other's value)} of two entries or two recipes, where they differ."""
    return {
        f.name: (getattr(base, f.name), getattr(other, f.name))
        for f in fields(base)
        if getattr(base, f.name) != getattr(other, f.name)
    }


def table():
    """The published README's table as a DataFrame: model, modality, pretrained, backbone, input, GPUs, resolution, mAP."""
    import pandas as pd

    rows = [
        {
            "model": e.alias,
            "modality": e.modality,
            "pretrained": e.pretrained,
            "backbone": f"{e.backbone} R{e.depth}" + (" + context" if e.context else ""),
            "input": f"{e.clip_len}x{e.frame_interval}",  # frames x interval
            "GPUs": e.published_gpus,
            "resolution": e.resolution,
            "mAP": e.published_mAP,
        }
        for e in ENTRIES
    ]
    return pd.DataFrame(rows)


def readme_table():
    """The same as markdown, with the row's published files; README.md holds it between `<!-- zoo table -->` marks."""
    frame = table()
    frame["files"] = [f"[ckpt]({e.checkpoint_url}) [log]({e.log_url}) [json]({e.json_url})" for e in ENTRIES]
    frame["model"] = [f"`{alias}`" for alias in frame["model"]]
    lines = [list(frame.columns), ["---"] * len(frame.columns), *frame.astype(str).values.tolist()]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
