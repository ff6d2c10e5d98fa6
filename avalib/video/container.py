"""Open a video file, and no playlist, second file or network address; choose the stream that players show.

FFmpeg recognizes a file by its content, not by its name. Of its 400 formats some are texts that name other files
(ffconcat, m3u8, sdp, dash), some are patterns of names, devices or addresses. Only formats that hold their pictures
themselves are allowed here.
"""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from avalib.video.container_header import check_declared_frames, has_box
from avalib.video.pyav import av
from avalib.video.video_error import VideoError

# formats of video inside the file itself, and of sound, so that a message can say that there is only sound
FORMATS = (
    "3g2 3gp amr ac3 aac aiff asf av1 avi caf dts dv eac3 flac flv gif gxf h263 h264 hevc ivf kux m4v matroska mj2 "
    "mjpeg mov mp3 mp4 mpeg mpegts mpegvideo mxf nsv nut obu ogg rm vc1 w64 wav webm wtv wv y4m yuv4mpegpipe"
).split()
MAX_PIXELS = 1 << 27  # of a picture: 16K video has 133 million, and as RGB this is 0.4 GB
OPTIONS = {
    "format_whitelist": ",".join(FORMATS),
    "protocol_whitelist": "file",
    "enable_drefs": "0",  # a mov track may name another file with its pictures
    "max_pixels": str(MAX_PIXELS),
}

# files that are no video: (the first bytes, the kind of file, what to do); "?" stands for any byte
SIGNATURES = [
    (b"\x1f\x8b", "gzip-compressed", "unpack it (gunzip) first"),
    (b"PK\x03\x04", "a zip archive", "unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first"),
    (b"Rar!", "a rar archive", "unpack it first"),
    (b"\xff\xd8\xff", "a JPEG picture", "give a video, or a folder of numbered jpgs where one is expected"),
    (b"\x89PNG", "a PNG picture", "give a video"),
    (b"BM", "a BMP picture", "give a video"),
    (b"RIFF????WEBP", "a WebP picture", "give a video"),
    (b"%PDF", "a PDF", "give a video"),
    (b"#EXTM3U", "a playlist (m3u8), which names other files", "give the video itself"),
    (b"ffconcat", "a list of files (ffconcat)", "join them first: ffmpeg -f concat -i LIST -c copy joined.mp4"),
    (b"v=0", "a description of a stream (sdp)", "record the stream to a file first"),
    (b"<!doctype html", "a web page", "the download gave no video; fetch it again"),
    (b"<html", "a web page", "the download gave no video; fetch it again"),
    (b"<?xml", "an XML text", "give the video itself"),
    (b"version https://git-lfs", "a Git LFS pointer", "fetch the content: git lfs pull"),
]


def get_metadata_options() -> dict[str, str]:
    """Options of `av.open`: before PyAV 19, metadata that is not UTF-8 was an error without this one."""
    return {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}


def open_container(path: str | Path) -> av.container.InputContainer:
    """Open a file that has moving pictures.

    Raises
    ------
    VideoError
        The path is no video; the message says what it is instead.
    """
    check_is_file(path)
    path = Path(path)
    try:
        check_declared_frames(path)
    except OSError as error:
        raise error if isinstance(error, VideoError) else VideoError(f"{path}: not readable ({error})") from error
    try:
        # after "file:", colons, percent signs and dashes in an absolute path have no meaning to FFmpeg
        container = av.open(f"file:{path.absolute()}", options=OPTIONS, **get_metadata_options())
    except (av.error.FFmpegError, OSError, ValueError, MemoryError) as error:
        raise VideoError(f"{path}: not readable as a video: {_describe(path, error)}") from error
    if not any(_is_moving(stream) for stream in container.streams.video):
        # no video: name what the file has
        kinds = sorted({stream.type for stream in container.streams if stream.type != "video"})
        kinds += ["a still picture (a cover)"] if container.streams.video else []
        container.close()
        content = " and ".join(kinds) or "an empty container"
        hint = "" if {"audio", "a still picture (a cover)"} & set(kinds) else "; is the file complete?"
        raise VideoError(f"{path}: has no video in it, only {content}{hint}")
    return container


def open_stream(
    path: str | Path, threads: int = 1, strict: bool = False
) -> tuple[av.container.InputContainer, av.video.stream.VideoStream]:
    """Open a file and prepare its best stream for decoding.

    Parameters
    ----------
    path : str or Path
    threads : int
        Threads of the decoder; 0 means one per core.
    strict : bool
        Whether damaged pictures are errors. Otherwise, and always in avi, the decoder conceals the damage.

    Returns
    -------
    container
    stream

    Raises
    ------
    VideoError
    """
    container = open_container(path)
    stream = find_best_stream(container)
    try:
        context = stream.codec_context
        if context is None:
            raise VideoError(f"{path}: its video is coded in a way that FFmpeg has no decoder for")
        context.thread_count = threads
        context.thread_type = "AUTO"
        context.copy_opaque = True  # a frame carries the `opaque` of its packet
        strict = strict and container.format.name != "avi"
        context.options = {"max_pixels": str(MAX_PIXELS)} | ({"err_detect": "explode"} if strict else {})
    except BaseException:
        container.close()
        raise
    return container, stream


def find_best_stream(container: av.container.InputContainer) -> av.video.stream.VideoStream:
    """Find the video stream that ffmpeg chooses by default: the most pixels, a default stream first, no cover."""
    moving = [stream for stream in container.streams.video if _is_moving(stream)]

    def score(stream):
        # ffmpeg adds 5 million pixels for the default stream
        is_default = bool(stream.disposition & av.stream.Disposition.default)
        context = stream.codec_context  # None where FFmpeg has no decoder
        return (context.width * context.height if context else 0) + 5_000_000 * is_default

    # of equal scores the first
    return max(moving, key=score)


def explain_undecodable(stream: av.video.stream.VideoStream) -> str:
    """Explain, for a message, why no frame of a stream can be decoded."""
    # FFmpeg clears a size beyond the limit
    if not stream.codec_context.width:
        return f"its header gives no picture size, or one above {MAX_PIXELS:,} pixels (MAX_PIXELS); is it damaged?"
    return "is the file complete?"


def read_duration_s(path: str | Path) -> float:
    """Read the duration in seconds that the header declares; 0 if it has none. Raises VideoError."""
    with open_container(path) as container:
        stream = find_best_stream(container)
        stream_s = float(stream.duration * stream.time_base) if stream.duration else 0.0
        return stream_s or (container.duration or 0) / av.time_base


def _is_moving(stream):
    """Whether a video stream is no cover picture."""
    return not stream.disposition & av.stream.Disposition.attached_pic


def check_is_file(path: str | Path) -> None:
    """Raise VideoError for a path that is no file; the message says what it is instead."""
    path = str(path)
    try:
        is_folder = os.path.isdir(path)
        is_file = os.path.isfile(path)
        exists = os.path.lexists(path)
    except (OSError, ValueError) as error:  # a name that is too long, or has a zero byte in it
        raise VideoError(f"{path}: no such video file ({error})") from error
    if is_folder:
        raise VideoError(f"{path}: is a folder; expected a video file")
    # an address; one letter before the colon is a drive of Windows
    if not exists and (address := re.match(r"([a-z][a-z0-9+.-]+)://?", path, re.IGNORECASE)) and len(address[1]) > 1:
        raise VideoError(f"{path}: {address[1]} addresses and streams are not read; record it to a file first")
    if not is_file:
        raise VideoError(f"{path}: is not a regular file" if exists else f"{path}: no such video file")


def _describe(path, error):
    """Describe a file that FFmpeg can't open, and what to do."""
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
    except OSError as unreadable:
        return f"{unreadable.strerror or unreadable}"
    if not head:
        return "the file is empty; copy or download it again"
    # another kind of file, by its first bytes
    for signature, kind, advice in SIGNATURES:
        start = head[: len(signature)].lower()
        if all(b == a or a == ord("?") for a, b in zip(signature.lower(), start, strict=False)):
            return f"it is {kind}; {advice}"
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return "its header asks for more memory than there is; is the file damaged?"
    if not head.strip(b"\0"):
        return "it begins with zeros only; copy or download it again"
    if _is_text(head):
        return f"it is a text that begins with {head[:40].decode(errors='replace').split(chr(10))[0]!r}; give a video"
    if head[4:8] == b"ftyp" and not has_box(path, b"moov"):
        return "the file was cut off before its table of contents (moov); copy or download it again"
    return f"{getattr(error, 'strerror', None) or error}; is the file complete, and a video?"


def _is_text(head):
    """Whether the first bytes of a file are text in UTF-8."""
    try:
        head[:-4].decode("utf-8")  # the last character may be cut
    except UnicodeDecodeError:
        return False
    # text has none of the first control characters
    return not set(head) & set(range(8))
