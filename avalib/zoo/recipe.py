"""What a recipe holds, and how one is changed for an experiment."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import UnionType
from typing import get_args, get_origin

from avalib.utils.suggest import suggest

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
    "crop_aspect": 0.25,
    "test_short_side": 16,
    "rois_per_frame": 1,
    "cache_short_side": 16,
    "validate_every": 1,
    "seed": 0,
    "flip_shift": 0,
    "final_ratio": 0,
    "focal_alpha": 0,
    "focal_gamma": 0,
}
FRACTIONS = ("flip", "color_jitter", "person_score", "assign_iou", "dropout", "layer_decay", "drop_path")  # 0 to 1


@dataclass(frozen=True)
class Recipe:
    """How a model is trained and tested. The texts below are also the help of the options of `avalib train`.

    Parameters
    ----------
    name : str
        "published" or "mini"
    dataset : str
        the data set that the recipe is for
    initial : str
        "pretrained" (the entry's Kinetics recognizer; the head is new) or "random"
    epochs : int
        passes over the training keyframes
    videos_per_gpu : int
        clips of a micro-batch; batch norm and the loss take their means over them
    lr : float
        learning rate for `clips_per_step` clips
    clips_per_step : int
        clips in a step for which `lr` is meant (the global batch)
    optimizer : str
        "sgd" or "adamw"
    momentum : float
        adamw: the first beta
    weight_decay : float
        on every parameter; on batch norms and biases only with `decay_1d`
    grad_clip : float
        largest L2 norm of the gradient over all parameters; larger ones are scaled down
    warmup_epochs : float
        epochs in which the learning rate rises linearly to lr
    warmup_ratio : float
        the first step's share of lr
    schedule : str
        "step", "cosine" (over all epochs) or "warmup_cosine" (over those behind the warm-up)
    milestones : tuple of int
        epochs after which "step" multiplies lr by gamma
    gamma : float
        factor of the "step" schedule at each milestone
    train_short_side : (int, int)
        short side of the training pictures, pixels: uniform, both ends included
    crop : int
        height of the training crop, pixels; also its width, but for `crop_aspect`
    test_short_side : int
        short side of the test pictures, pixels
    flip : float
        probability of mirroring a training clip
    color_jitter : float
        strength 0..1 of random color changes in training; the published recipe has none
    person_score : float
        lowest score of the proposals that are used; a frame without one uses its best
    rois_per_frame : int
        largest number of boxes in a training frame; of more, some are drawn
    assign_iou : float
        IoU from which a proposal takes the labels of an annotated box
    dropout : float
        probability in the head
    shuffle_frames : bool
        an experiment: the clip's frames in random order, in training and test
    jitter_at_test : bool
        move frames at random in tests too, as v0.10.0 does; False: the nominal frames
    zero_init_residual : bool
        the batch norm behind every conv3 starts with weight 0
    prior_bias : bool
        the classifier's biases start at each action's share of the boxes (published: at 0)
    cache_short_side : int or None
        read training clips from a frame cache with this short side, pixels; None: from the videos
    validate_every : int
        epochs between validations
    seed : int
        of initialization, sampling and dropout
    numbering : str
        which frames a keyframe's clip has: "v0.10.0", "v1.x", "ava_kinetics", "pyslowfast" or "umt"
    focal_alpha : float
        factor of the loss
    focal_gamma : float
        how much less the loss weighs what is predicted well already; 0: cross entropy
    nesterov : bool
        sgd: Nesterov's momentum
    decay_1d : bool
        whether weight decay acts on biases and norms too
    layer_decay : float
        ViT: the learning rate of each block is that of the next one times this
    drop_path : float
        ViT: probability of leaving out the last block in training; earlier blocks less often
    warmup_by : str
        "iteration" or "epoch": how often the learning rate rises during the warm-up
    final_ratio : float
        warmup_cosine: the share of lr at its end
    flip_shift : int
        a mirrored box's edge lies at width - x - flip_shift: 1, or 0 as in MMAction2 1.x
    crop_aspect : float
        width of the training crop over its height; 1: a square
    """

    name: str
    dataset: str

    # model
    initial: str

    # duration and batch
    epochs: int
    videos_per_gpu: int

    # optimizer and learning rate
    lr: float
    clips_per_step: int
    optimizer: str
    momentum: float
    weight_decay: float
    grad_clip: float
    warmup_epochs: float
    warmup_ratio: float
    schedule: str
    milestones: tuple[int, ...]
    gamma: float

    # data: pictures
    train_short_side: tuple[int, int]
    crop: int
    test_short_side: int
    flip: float
    color_jitter: float

    # data: boxes
    person_score: float
    rois_per_frame: int
    assign_iou: float

    # head and frames
    dropout: float
    shuffle_frames: bool
    jitter_at_test: bool

    # initialization
    zero_init_residual: bool
    prior_bias: bool

    # running
    cache_short_side: int | None
    validate_every: int
    seed: int = 0
    numbering: str = "v0.10.0"

    # loss, optimizer and schedule of the later models
    focal_alpha: float = 1.0
    focal_gamma: float = 0.0
    nesterov: bool = False
    decay_1d: bool = True
    layer_decay: float = 1.0
    drop_path: float = 0.0
    warmup_by: str = "iteration"
    final_ratio: float = 0.0
    flip_shift: int = 1
    crop_aspect: float = 1.0

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

    @property
    def crop_shape(self) -> tuple[int, int]:
        """Height and width of the training crop, pixels."""
        return self.crop, round(self.crop * self.crop_aspect)


def update_recipe(
    base: Recipe,
    overrides: Mapping[str, object] | None = None,
    *,
    short_side: int | None = None,
    batch_size: int | None = None,
    **changes: object,
) -> Recipe:
    """Change some values of a recipe. `compare_fields(base, ...)` gives the differences.

    Parameters
    ----------
    base : Recipe
        It stays as it is.
    overrides : mapping of str to object, optional
        {field: value}, taken as they are: None is a value where the field may be None. They come last.
    short_side : int, optional
        Pixels of the test pictures and of the training crop. The range of training sizes and the frame cache's short
        side follow in proportion.
    batch_size : int, optional
        Clips in a micro-batch of one process. The learning rate follows by the linear rule.
    **changes
        Values of the recipe's own fields; None leaves a field as it is. `lr` is for the recipe's own batch.

    Returns
    -------
    Recipe

    Raises
    ------
    TypeError
        A recipe has no such field (the message suggests the nearest), or the value has another type.
    ValueError
        No training can have such a value, such as 0 epochs.
    """
    # values of the recipe's own fields, then those that follow from sizes and batch, then the overrides
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
    values |= rename_old_fields(overrides or {})
    return replace(base, **{name: _to_field_type(name, value) for name, value in values.items()})


OLD_FIELD_NAMES = {"colour": "color_jitter"}  # in records and checkpoints of earlier versions


def rename_old_fields(values: Mapping[str, object]) -> dict[str, object]:
    """{field: value} of a recipe as another version may have stored it, under today's names."""
    return {OLD_FIELD_NAMES.get(name, name): value for name, value in values.items()}


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
