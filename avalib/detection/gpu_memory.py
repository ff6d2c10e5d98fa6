"""A GPU that runs out of memory: less at once, and an error that says what to do when there is nothing less."""

import torch

from avalib.utils.errors import AvalibError


class GpuMemoryError(AvalibError, MemoryError):
    """A GPU has too little free memory for the least that can be computed at once; the message says what to do."""


def explain_full_gpu(error: torch.OutOfMemoryError, amount: str, device: torch.device) -> GpuMemoryError:
    """The error for a GPU that has too little memory for `amount`, such as "one clip"."""
    free = ""
    if device.type == "cuda" and torch.cuda.is_available():
        free_bytes, total_bytes = torch.cuda.mem_get_info(device)
        free = f", which has {free_bytes / 2**30:.1f} of {total_bytes / 2**30:.1f} GB free"
    return GpuMemoryError(
        f"{device}{free}: out of memory with {amount}. End other programs on it, choose a smaller model, "
        "precision='bfloat16', or device='cpu'"
    )
