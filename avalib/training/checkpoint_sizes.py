"""The sizes of a run's checkpoints, and whether they fit on the disk."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from avalib.training.train_config import TrainConfig
from avalib.utils.disk_space import check_free_space

VALUES_PER_WEIGHT = {"sgd": 1, "adamw": 2}  # that the optimizer stores


@dataclass(frozen=True)
class CheckpointSizes:
    """Bytes of a run's files."""

    last: int  # last.pth
    weights: int  # best.pth and final.pth each


def estimate_checkpoint_sizes(config: TrainConfig, model: nn.Module) -> CheckpointSizes:
    """Estimate the sizes of a run's files from the model's parameters and the optimizer."""
    # float32 has four bytes; the optimizer stores one or two more values per weight
    weights = 4 * sum(parameter.numel() for parameter in model.parameters())
    return CheckpointSizes(last=weights * (1 + VALUES_PER_WEIGHT[config.recipe.optimizer]), weights=weights)


def check_checkpoint_space(config: TrainConfig, model: nn.Module, output_dir: str | Path) -> None:
    """Raise DiskFullError if the run's files don't fit. While last.pth is replaced there are two of it."""
    output_dir = Path(output_dir)
    sizes = estimate_checkpoint_sizes(config, model)
    files = [output_dir / name for name in ("last.pth", "best.pth", "final.pth")]
    existing_bytes = sum(path.stat().st_size for path in files if path.exists())
    # last.pth old and new; best.pth, final.pth and one of them while it is replaced
    needed_bytes = max(sizes.last, 2 * sizes.last + 3 * sizes.weights - existing_bytes)
    purpose = f"two checkpoints of {sizes.last / 1e6:,.0f} MB, one while it is replaced, and the best and final weights"
    check_free_space(output_dir, needed_bytes, purpose)
