"""The AVA spatio-temporal action-detection zoo, reproducible. See README.md for what each room does."""

import importlib

__version__ = "0.1.0"

# public name -> its room; loaded when first used, so that scoring a csv does not load torch
_ROOMS = {
    "build_model": "weights",
    "evaluate": "metrics",
    "lint_csv": "annotations",
    "prepare": "sources",
}
_SUBMODULES = (
    "actions", "annotations", "boxes", "checkpoints", "dataset", "draw", "errors", "export", "fetch", "infer",
    "history", "launch", "metrics", "mini", "models", "run", "sources", "state", "train", "transforms", "tubes",
    "video", "weights", "zoo",
)  # fmt: skip
__all__ = [*_ROOMS, *_SUBMODULES]


def __getattr__(name):
    if name in _ROOMS:
        return getattr(importlib.import_module(f"avalib.{_ROOMS[name]}"), name)
    if name in _SUBMODULES:
        return importlib.import_module(f"avalib.{name}")
    raise AttributeError(f"module 'avalib' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
