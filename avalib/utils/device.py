"""Which processor networks run on."""

import difflib

import torch

DEVICES = {  # the types that the networks run on, "auto" takes the first that is there
    "cuda": torch.cuda.is_available,
    "mps": torch.backends.mps.is_available,
    "cpu": lambda: True,
}


def choose_device(device="auto"):
    """torch.device for "auto" (cuda, else mps, else cpu) or a name that torch knows and this machine has.

    Raises ValueError for another name, with those that there are, and for a device that this machine lacks.
    """
    if device == "auto":
        return torch.device(next(name for name, is_there in DEVICES.items() if is_there()))
    try:
        chosen = torch.device(device)
        known = chosen.type in DEVICES and (chosen.type == "cuda" or not chosen.index)
    except (RuntimeError, TypeError):
        known = False
    if not known:
        near = {"gpu": "cuda"}.get(str(device).lower().split(":")[0])
        near = near or next(iter(difflib.get_close_matches(str(device).lower(), DEVICES, n=1)), None)
        hint = f" Did you mean {near!r}?" if near else ""
        raise ValueError(
            f"device={device!r}: expected 'auto', 'cpu', 'cuda', 'cuda:1' (the second GPU) or 'mps'.{hint}"
        )
    if not DEVICES[chosen.type]():
        which = "CUDA" if chosen.type == "cuda" else "Metal (MPS)"
        raise ValueError(f"device={device!r}: this machine or this torch build has no {which}; use 'cpu' or 'auto'")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        last = torch.cuda.device_count() - 1
        raise ValueError(f"device={device!r}: the GPUs of this machine are numbered 0 to {last}")
    return chosen
