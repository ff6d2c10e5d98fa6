"""Which processor networks run on, and what it can do."""

import platform
import warnings

import torch

from avalib.utils.suggest import suggest

DEVICES = {  # type: whether this machine has it; "auto" takes the first that it has
    "cuda": torch.cuda.is_available,
    "mps": torch.backends.mps.is_available,
    "cpu": lambda: True,
}


def choose_device(device: str | torch.device = "auto") -> torch.device:
    """The torch.device of a name: "auto" (cuda, else mps, else cpu), "cpu", "cuda", "cuda:1", "mps".

    Raises
    ------
    ValueError
        The name is unknown (the message suggests one), or this machine has no such device.
    """
    if device == "auto":
        return torch.device(next(name for name, is_available in DEVICES.items() if is_available()))
    # a type that this package knows; only CUDA has several devices
    try:
        chosen = torch.device(device)
        is_valid = chosen.type in DEVICES and (chosen.type == "cuda" or not chosen.index)
    except (RuntimeError, TypeError):
        is_valid = False
    if not is_valid:
        hint = suggest(str(device).lower().split(":")[0], DEVICES, synonyms={"gpu": "cuda"})
        raise ValueError(
            f"device={device!r}: expected 'auto', 'cpu', 'cuda', 'cuda:1' (the second GPU) or 'mps'.{hint}"
        )
    if not DEVICES[chosen.type]():
        platform_name = "CUDA" if chosen.type == "cuda" else "Metal (MPS)"
        raise ValueError(
            f"device={device!r}: this machine or this torch build has no {platform_name}; use 'cpu' or 'auto'"
        )
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        last = torch.cuda.device_count() - 1
        raise ValueError(f"device={device!r}: the GPUs of this machine are numbered 0 to {last}")
    return chosen


PRECISION_SYNONYMS = {"fp32": "float32", "float": "float32", "fp16": "float16", "half": "float16", "bf16": "bfloat16"}
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_precision(precision: str | torch.dtype, device: torch.device) -> torch.dtype:
    """The dtype of the arithmetic. Weights stay float32 in every case.

    Parameters
    ----------
    precision : str or torch.dtype
        "float32", "bfloat16", "float16", or "auto": bfloat16 where the hardware computes in it (CUDA 8.0+, CPUs with
        AMX or AVX512-BF16), else float32.
    device : torch.device

    Raises
    ------
    ValueError
        The name is unknown; the message suggests one.

    Warns
    -----
    UserWarning
        The processor has to emulate bfloat16.
    """
    # a name or a dtype, as a dtype
    if precision == "auto":
        precision = "bfloat16" if supports_bfloat16(device) else "float32"
    if not isinstance(precision, str | torch.dtype) or precision not in {*PRECISIONS, *PRECISIONS.values()}:
        hint = suggest(precision, PRECISIONS, synonyms=PRECISION_SYNONYMS)
        raise ValueError(f"precision={precision!r}: expected 'auto', {', '.join(map(repr, PRECISIONS))}.{hint}")
    dtype = PRECISIONS.get(precision, precision)
    if dtype == torch.bfloat16 and device.type == "cpu" and not supports_bfloat16(device):
        warnings.warn(
            "bfloat16 on a processor without AMX or AVX512-BF16: about 400 times slower than float32; use 'auto'",
            stacklevel=2,
        )
    return dtype


def supports_bfloat16(device: torch.device) -> bool:
    """Whether the hardware computes in bfloat16 instead of emulating it: CUDA 8.0+, CPUs with AMX or AVX512-BF16."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu" and platform.machine() in ("x86_64", "AMD64"):
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False


def enable_autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """The context that computes in `dtype`; it changes nothing for float32."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def find_compiler_problem(device: torch.device) -> str | None:
    """Find out why torch.compile can't work here, in one line; None if it compiles and runs a small function."""
    # forward and backward, as compilers for the two may differ
    try:
        with torch.enable_grad():
            compiled = torch.compile(lambda x: (x.sin() + 1).sum(), fullgraph=True)
            compiled(torch.ones(8, device=device, requires_grad=True)).backward()
    except Exception as error:  # a missing compiler, header or driver raises errors of many classes
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}"
    return None
