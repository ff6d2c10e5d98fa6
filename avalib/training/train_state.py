"""The state of a training run between its steps: weights, optimizer, and what is done."""

import logging
from dataclasses import dataclass, field

import torch

from avalib.training.logger import TrainingLog

logger = logging.getLogger(__name__)

PROGRESS_FIELDS = {  # attribute of TrainState: key of last.pth
    "epoch": "epoch",
    "step": "step",
    "last_validated_epoch": "validated",
    "best_mAP": "best_mAP",
    "best_epoch": "best_epoch",
    "seconds": "seconds",
}


@dataclass
class TrainState:
    """Where a run stands: weights, optimizer, and what is done."""

    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    ddp_model: torch.nn.Module  # averages gradients over the processes; `model` itself if there is one process
    scaler: torch.amp.GradScaler  # for float16; else it does nothing
    epoch: int = 0  # finished epochs
    step: int = 0  # finished steps of the epoch after them
    last_validated_epoch: int = 0  # the last finished epoch with a validation
    best_mAP: float = -1.0
    best_epoch: int = 0
    seconds: float = 0.0  # of training so far
    log: TrainingLog = field(default_factory=TrainingLog)

    @property
    def position(self) -> tuple[int, int]:
        """(finished epochs, finished steps of the next one)."""
        return self.epoch, self.step

    def build_checkpoint(self, fingerprint: dict, clips_per_step: int, minutes: float | None) -> dict:
        """The content of last.pth: a dict of tensors and plain values."""
        return {
            "fingerprint": fingerprint,
            "clips_per_step": clips_per_step,
            "minutes": minutes,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "log": list(self.log.rows),
            **{key: getattr(self, name) for name, key in PROGRESS_FIELDS.items()},
        }

    def load_checkpoint(self, checkpoint: dict, clips_per_step: int) -> None:
        """Take over the content of last.pth, all but the log.

        clips_per_step: the global batch size from now on. If it was another one, the run resumes at the same clip of
        the epoch, rounded down to a whole step.
        """
        self.model.load_state_dict(checkpoint["model"])
        self.optimizer.load_state_dict(checkpoint["optimizer"])
        self.scaler.load_state_dict(checkpoint["scaler"])
        for name, key in PROGRESS_FIELDS.items():
            setattr(self, name, checkpoint[key])
        # steps of another size: keep the place in the epoch, counted in clips
        old_clips_per_step = checkpoint["clips_per_step"]
        if old_clips_per_step != clips_per_step:
            self.step = self.step * old_clips_per_step // clips_per_step
            logger.info(
                f"clips in a step: {old_clips_per_step} so far, {clips_per_step} from now on; the learning rate is "
                "scaled accordingly"
            )
