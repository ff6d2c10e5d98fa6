"""Exact frames from video files (reading), and mp4 and GIF (writing). The only room that knows PyAV (FFmpeg)."""

from avalib.packed import JpegFolder, PackedFrames, VideoError
from avalib.video.container import duration_s
from avalib.video.index import PacketIndex
from avalib.video.reader import Video
from avalib.video.writing import write_gif, write_mp4

__all__ = ["JpegFolder", "PackedFrames", "PacketIndex", "Video", "VideoError", "duration_s", "write_gif", "write_mp4"]
