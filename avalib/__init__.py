"""The AVA spatio-temporal action-detection zoo, reproducible. README.md shows the tree and the first steps."""

import importlib

__version__ = "0.1.0"

# public name -> the module that defines it; loaded at first use, so that scoring a csv does not load torch
_PUBLIC = {
    "AvalibError": "utils.errors",
    "build_model": "models.build",
    "check": "data.validation",
    "detect": "detection.detect_video",
    "detect_many": "detection.detect_many",
    "evaluate": "evaluation.evaluator",
    "for_inference": "models.fused",
    "import_data": "data.catalog",
    "lint_csv": "data.lint",
    "list_models": "zoo.entries",
    "make_proposals": "detection.proposal_generation",
    "prepare": "data.catalog",
    "read_detections": "detection.detections_file",
    "watch_live": "detection.watch_live",
}
_PACKAGES = ("data", "detection", "draw", "evaluation", "models", "training", "utils", "video", "zoo", "zoo_runner")
__all__ = [*_PUBLIC, *_PACKAGES]


def __getattr__(name):
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"avalib.{_PUBLIC[name]}"), name)
    if name in _PACKAGES:
        return importlib.import_module(f"avalib.{name}")
    raise AttributeError(f"module 'avalib' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
