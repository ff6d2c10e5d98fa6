"""What a training run is started from: model, recipe, data, device and options."""

import dataclasses
import hashlib
import json
import logging
from dataclasses import dataclass

import torch

from avalib import zoo
from avalib.data.layout import DatasetLayout
from avalib.utils.device import choose_device, choose_precision, find_compiler_problem
from avalib.utils.distributed import SINGLE_PROCESS, DistributedContext

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainConfig:
    """Everything that a training run is started from."""

    # model and data
    entry: zoo.ZooEntry
    recipe: zoo.Recipe
    layout: DatasetLayout
    # device
    device: torch.device
    dtype: torch.dtype  # of the arithmetic; weights stay float32
    workers: int  # processes that read clips, for each process that trains
    # options
    checkpoint: str | None = None  # the initial weights; None: random ones
    accumulate: int = 1  # micro-batches that one process runs one after the other in each step
    channels_last: bool = False  # weights in memory as the activations are; on a CPU they always are
    recompute: bool = False  # compute activations again in backward instead of storing them
    compile: bool = False  # torch.compile the backbone
    deterministic: bool = False  # deterministic algorithms only
    resize_on_device: bool = False  # resize and crop clips on the device, not in the processes that read them
    minutes: float | None = None  # the time limit that `recipe.epochs` was set from; None: no limit

    def count_clips_per_step(self, context: DistributedContext = SINGLE_PROCESS) -> int:
        """The global batch size."""
        return self.recipe.videos_per_gpu * self.accumulate * context.size

    def compute_base_lr(self, context: DistributedContext = SINGLE_PROCESS) -> float:
        """The learning rate after the warm-up: the recipe's, scaled linearly to the global batch size."""
        return zoo.scale_lr(self.recipe, self.accumulate * context.size, self.recipe.videos_per_gpu)

    def compute_fingerprint(self) -> dict:
        """{setting: value} of everything that changes the result, except the global batch size.

        Two runs with the same fingerprint are the same run; last.pth stores it.
        """
        annotations = hashlib.sha256(self.layout.get_csv_path("train").read_bytes()).hexdigest()[:16]
        return {
            "entry": dataclasses.asdict(self.entry),
            "recipe": json.loads(json.dumps(dataclasses.asdict(self.recipe))),  # tuples become lists, as in a file
            "annotations": annotations,
            "precision": str(self.dtype).removeprefix("torch."),
            "checkpoint": self.checkpoint,
        }


def configure_training(
    entry: zoo.ZooEntry,
    recipe: zoo.Recipe,
    layout: DatasetLayout,
    device: str | torch.device = "auto",
    precision: str | torch.dtype = "auto",
    *,
    workers: int | None = None,
    checkpoint: str | None = None,
    accumulate: int = 1,
    channels_last: bool = False,
    recompute: bool = False,
    compile: bool = False,
    deterministic: bool = False,
    resize_on_device: bool = False,
    minutes: float | None = None,
) -> TrainConfig:
    """Choose device, precision and the other defaults of a training run.

    Parameters
    ----------
    entry : zoo.ZooEntry
        The model.
    recipe : zoo.Recipe
        How it is trained.
    layout : DatasetLayout
        The data set.
    device : str
        "auto", "cpu", "cuda", "cuda:1", "mps".
    precision : str
        "auto", "float32", "bfloat16" or "float16", see `choose_precision`.
    workers : int, optional
        Processes that read clips, for each process that trains. Default: 4 on a GPU, 1 on a CPU.
    checkpoint : str, optional
        "random", "pretrained", "published", a path or a URL. Default: what the recipe says.
    accumulate : int
        Micro-batches that each process runs in one step.
    channels_last, recompute, compile, deterministic, resize_on_device : bool
        See TrainConfig. `compile` is turned off, with a message, where torch.compile does not work.
    minutes : float, optional
        The time limit that `recipe.epochs` was set from.

    Returns
    -------
    TrainConfig

    Raises
    ------
    ValueError
        An option has a value that it can't have, or two options exclude each other.
    """
    # defaults
    device = choose_device(device)
    dtype = choose_precision(precision, device)
    if workers is None:
        workers = 4 if device.type == "cuda" else 1
    if checkpoint is None:
        checkpoint = recipe.initial
        if layout.is_own and checkpoint == "random":
            logger.warning(
                f"{layout.root}: the default recipe is that of the rendered mini-AVA: random weights, a short side of "
                f"{recipe.test_short_side} pixels. Real videos on a GPU: checkpoint='published', short_side=256 "
                "(--checkpoint published --short-side 256)"
            )
    # combinations that do not work
    if accumulate < 1:
        raise ValueError(f"accumulate={accumulate}: expected at least 1")
    if compile and recompute:
        raise ValueError("compile and recompute don't go together: the compiler itself decides what it stores")
    if compile and (problem := find_compiler_problem(device)):
        logger.info(f"torch.compile is off: {problem}")
        compile = False
    return TrainConfig(
        entry=entry,
        recipe=recipe,
        layout=layout,
        device=device,
        dtype=dtype,
        workers=workers,
        checkpoint=None if checkpoint in ("", "random") else checkpoint,
        accumulate=accumulate,
        channels_last=channels_last,
        recompute=recompute,
        compile=compile,
        deterministic=deterministic,
        resize_on_device=resize_on_device,
        minutes=minutes,
    )
