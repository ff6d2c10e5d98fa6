"""PyAV, imported at its first use: frames from the cache, and so training from it, need no PyAV.

from avalib.video.pyav import av
"""

import importlib


class LazyPyAV:
    """Stands for the module `av`: every name is that module's."""

    def __getattr__(self, name):
        try:
            return getattr(importlib.import_module("av"), name)
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("PyAV, which reads and writes videos, is missing: pip install av") from error


av = LazyPyAV()
