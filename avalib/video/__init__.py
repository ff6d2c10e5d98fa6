"""Exact frames from video files, and writing mp4 and GIF. The only package that imports PyAV (FFmpeg)."""

import importlib

# public name -> the module that defines it; loaded at first use, so that frame numbers do not load PyAV
_PUBLIC = {
    "FrameCache": "frame_cache",
    "JpegFolder": "jpeg_folder",
    "PacketIndex": "packet_index",
    "Video": "reader",
    "VideoError": "video_error",
    "read_duration_s": "container",
    "write_gif": "writer",
    "write_mp4": "writer",
}
__all__ = list(_PUBLIC)


def __getattr__(name):
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"avalib.video.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module 'avalib.video' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
