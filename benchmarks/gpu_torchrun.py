"""What check_gpu.py starts by torchrun: a training, a sum, and gradients through DistributedDataParallel.

torchrun --nproc-per-node 1 benchmarks/gpu_torchrun.py FOLDER cuda|cpu [--small]
"""

import sys
from pathlib import Path

import torch
from gpu_numbers import build_batch, build_gradient_config, collect_gradients, measure_relative_difference
from gpu_settings import Settings
from gpu_trainings import MODEL, build_config
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from avalib.training.engine import train_model
from avalib.training.profiling import build_untrained_state
from avalib.training.reproducibility import seed_everything
from avalib.training.step import train_step
from avalib.utils.distributed import close_distributed, init_distributed
from avalib.utils.files import write_json


def main(folder: Path, device_type: str, small: bool):
    context, device = init_distributed(torch.device(device_type))
    settings = Settings(device, small, folder.parent, None, (MODEL,), batch=2, repeats=1)
    # a single process exchanges nothing in train_model: the collectives on their own
    total = torch.tensor([1.25, 2.25], device=device)
    distributed.all_reduce(total)
    distributed.barrier()
    gradients = [compute_gradients(settings, wrap) for wrap in (False, True)]
    config = build_config(settings, settings.low_name)
    log = train_model(config, folder / "run", progress=False, context=context)
    results = {
        "backend": distributed.get_backend(),
        "sum": total.sum().item(),
        "gradients": measure_relative_difference(*gradients),
        "loss": float(log["loss"].dropna().mean()),
    }
    write_json(folder / "results.json", results)
    close_distributed()


def compute_gradients(settings: Settings, wrap: bool) -> torch.Tensor:
    """All gradients of a step in float32; wrap: through DistributedDataParallel, as with several processes."""
    config = build_gradient_config(MODEL, torch.float32, settings.device, settings)
    seed_everything(0)
    state = build_untrained_state(config)
    if wrap:
        device_ids = [settings.device] if settings.device.type == "cuda" else None
        options = {"device_ids": device_ids, "gradient_as_bucket_view": True, "broadcast_buffers": False}
        state.ddp_model = DistributedDataParallel(state.model, **options)
    train_step(state, [build_batch(MODEL, settings)], config, lr=0.0)
    return collect_gradients(state.model)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], "--small" in sys.argv)
