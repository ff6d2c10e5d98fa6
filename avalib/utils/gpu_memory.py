"""A GPU that runs out of memory: an error that says what to do."""

import torch

from avalib.utils.errors import AvalibError

ADVICE = "End other programs on it, choose a smaller model, precision='bfloat16', or device='cpu'"


class GpuMemoryError(AvalibError, MemoryError):
    """A GPU has too little free memory for what is to be computed at once; the message says what to do."""


def build_gpu_memory_error(amount: str, device: torch.device, advice: str = ADVICE) -> GpuMemoryError:
    """Build the error for a GPU that has too little memory.

    Parameters
    ----------
    amount : str
        For what, such as "one clip".
    device : torch.device
    advice : str
        What to do, as a sentence without its period.
    """
    free = ""
    if device.type == "cuda" and torch.cuda.is_available():
        free_bytes, total_bytes = torch.cuda.mem_get_info(device)
        free = f", which has {free_bytes / 2**30:.1f} of {total_bytes / 2**30:.1f} GB free"
    return GpuMemoryError(f"{device}{free}: out of memory with {amount}. {advice}")
