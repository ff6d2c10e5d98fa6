"""Read last.pth: what it says about its run, and everything that resuming needs."""

import dataclasses
import zipfile
from dataclasses import dataclass
from pathlib import Path

from avalib.training.train_config import TrainConfig
from avalib.utils.errors import AvalibError
from avalib.utils.pickled_arrays import PickleError
from avalib.utils.pickled_tensors import TensorRef
from avalib.utils.plurals import format_count
from avalib.utils.torch_files import TorchFile
from avalib.zoo.recipe import rename_old_fields


class DamagedCheckpointError(AvalibError, OSError):
    """last.pth can't be read; the message names it and says what to do."""


@dataclass(frozen=True)
class SavedRun:
    """What last.pth says about its run."""

    fingerprint: dict  # of its TrainConfig
    clips_per_step: int
    epoch: int  # finished epochs
    step: int  # finished steps of the next epoch
    minutes: float | None = None  # the time limit that the number of epochs was set from
    best_mAP: float = -1.0
    best_epoch: int = 0

    @classmethod
    def from_checkpoint(cls, checkpoint: dict | None) -> "SavedRun | None":
        """The run of last.pth's content, or None for None."""
        if checkpoint is None:
            return None
        names = [field.name for field in dataclasses.fields(cls)]
        values = {name: checkpoint[name] for name in names if name in checkpoint}
        fingerprint = values["fingerprint"]
        values["fingerprint"] = fingerprint | {"recipe": rename_old_fields(fingerprint["recipe"])}
        return cls(**values)

    @property
    def epochs(self) -> int:
        """The epochs of its recipe."""
        return self.fingerprint["recipe"]["epochs"]

    @property
    def is_finished(self) -> bool:
        """Whether all epochs are done."""
        return self.epoch >= self.epochs

    def describe(self) -> str:
        """In a line: "an unfinished run (3 of 9 epochs and 12 steps, best mAP 0.2134 after epoch 3)"."""
        if self.is_finished:
            progress = f"a finished run ({format_count(self.epochs, 'epoch')}"
        else:
            steps = f" and {format_count(self.step, 'step')}" if self.step else ""
            progress = f"an unfinished run ({self.epoch} of {format_count(self.epochs, 'epoch')}{steps}"
        if self.best_mAP < 0:
            return f"{progress}, not validated yet)"
        return f"{progress}, best mAP {self.best_mAP:.4f} after epoch {self.best_epoch})"

    def list_differences(self, config: TrainConfig) -> dict:
        """{setting: (value in this run, value in a config)} of all settings that differ."""
        saved = _flatten(self.fingerprint)
        current = _flatten(config.compute_fingerprint())
        names = sorted(saved | current)
        return {name: (saved.get(name), current.get(name)) for name in names if saved.get(name) != current.get(name)}


def load_last_checkpoint(output_dir: str | Path, with_tensors: bool = True) -> dict | None:
    """Read last.pth.

    Like all checkpoints it is read by TorchFile, which runs no code that a file names.

    Parameters
    ----------
    output_dir : str or Path
        The folder of the training.
    with_tensors : bool
        False leaves a TensorRef in the place of each tensor, which is quick.

    Returns
    -------
    dict or None
        None without a last.pth.

    Raises
    ------
    DamagedCheckpointError
    """
    path = Path(output_dir) / "last.pth"
    if not path.exists():
        return None
    # torch.save has written a zip; whatever is wrong with it becomes one kind of error
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is truncated, or another kind of file")
        with TorchFile(path) as file:
            checkpoint = _load_tensors(file.content, file.load) if with_tensors else file.content
        missing = {"fingerprint", "clips_per_step", "epoch", "step"} - set(checkpoint)
        problem = f"it has no {', '.join(sorted(missing))}" if missing else ""
    except (PickleError, OSError, ValueError, TypeError, MemoryError) as error:
        problem = str(error).strip().split("\n")[0] or type(error).__name__
    if problem:
        raise DamagedCheckpointError(
            f"{path}: not a complete training checkpoint ({problem[:200]}). Put a copy in its place, or remove it and "
            'train with existing="new"; best.pth and final.pth, if they exist, can still be evaluated.'
        )
    return checkpoint


def _load_tensors(value, load):
    """A value of a checkpoint with each TensorRef in it replaced by load(ref)."""
    if isinstance(value, TensorRef):
        return load(value)
    if isinstance(value, dict):
        return {key: _load_tensors(item, load) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_load_tensors(item, load) for item in value)
    return value


def load_saved_run(output_dir: str | Path) -> SavedRun | None:
    """The run in a folder as a SavedRun, or None without a last.pth. Raises DamagedCheckpointError."""
    return SavedRun.from_checkpoint(load_last_checkpoint(output_dir, with_tensors=False))


def _flatten(tree, prefix=""):
    """A nested dict as a flat one: {"recipe.lr": 0.1}."""
    items = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            items |= _flatten(value, f"{prefix}{key}.")
        else:
            items[prefix + key] = value
    return items
