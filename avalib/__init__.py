"""The AVA spatio-temporal action-detection zoo, reproducible. See README.md for what each room does."""

import importlib

__version__ = "0.1.0"

# public name -> its room; loaded when first used, so that scoring a csv does not load torch. `detect` isn't here: it is
# a room that can be called.
_ROOMS = {
    "build_model": "weights",
    "check": "doctor",
    "evaluate": "metrics",
    "for_inference": "models.fast",
    "import_data": "sources",
    "lint_csv": "lint",
    "make_proposals": "persons",
    "prepare": "sources",
}
_SUBMODULES = (
    "actions", "annotations", "ava", "batches", "boxes", "checkpoints", "dataset", "detect", "doctor", "draw",
    "errors", "export", "fetch", "formats", "frames", "headless", "history", "infer", "jitter", "lint", "metrics",
    "mini", "models", "parallel", "persons", "publish", "run", "scoreboard", "slim", "sources", "stream", "tracks",
    "train", "transforms", "video", "weights", "zoo",
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
