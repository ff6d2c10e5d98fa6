"""Exact frames from video files, and writing mp4 and GIF. The only package that imports PyAV (FFmpeg)."""

from avalib.video.container import read_duration_s
from avalib.video.frame_cache import FrameCache
from avalib.video.jpeg_folder import JpegFolder
from avalib.video.packet_index import PacketIndex
from avalib.video.reader import Video
from avalib.video.video_error import VideoError
from avalib.video.writer import write_gif, write_mp4

__all__ = [
    "FrameCache",
    "JpegFolder",
    "PacketIndex",
    "Video",
    "VideoError",
    "read_duration_s",
    "write_gif",
    "write_mp4",
]
