"""What a training leaves in its folder when it is stopped, without the training."""

import torch


def leave_run(folder, config, epoch=1, step=3, **content):
    """Write what a run of this config leaves when it is stopped. Returns the folder."""
    folder.mkdir(parents=True)
    checkpoint = {
        "fingerprint": config.compute_fingerprint(),
        "clips_per_step": config.count_clips_per_step(),
        "minutes": config.minutes,
        "epoch": epoch,
        "step": step,
        "best_mAP": 0.25,
        "best_epoch": 1,
    }
    torch.save(checkpoint | content, folder / "last.pth")
    return folder
