"""Opening a video file and nothing else: no playlist, no second file, no network; and which of its streams is shown.

FFmpeg decides by content what a file is, whatever its name says. Of its 400 formats some are texts that name other
files (ffconcat, m3u8, sdp, dash), some are patterns of names, devices or addresses; only those that hold their pictures
themselves are allowed here.
"""

import os
import re
import struct
from pathlib import Path

import av

from avalib.video.video_error import VideoError

# Video, and sound (so that the message can say that there is only sound), inside the file itself.
FORMATS = (
    "3g2 3gp amr ac3 aac aiff asf av1 avi caf dts dv eac3 flac flv gif gxf h263 h264 hevc ivf kux m4v matroska mj2 "
    "mjpeg mov mp3 mp4 mpeg mpegts mpegvideo mxf nsv nut obu ogg rm vc1 w64 wav webm wtv wv y4m yuv4mpegpipe"
).split()
MAX_PIXELS = 1 << 27  # of a picture: 16K video has 133 million, and as RGB this is 0.4 GB
MAX_FRAMES = 1 << 24  # of a file: a day at 120 frames a second has 10 million
OPTIONS = {
    "format_whitelist": ",".join(FORMATS),
    "protocol_whitelist": "file",
    "enable_drefs": "0",  # a mov track may name another file that its pictures are in
    "max_pixels": str(MAX_PIXELS),
}
# PyAV 19 takes metadata that isn't UTF-8 as it is, and no such option.
TOLERANT = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}

# What a file is that no format above takes: (its first bytes, what it is, what to do).
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


def open_container(path):
    """An open av container that has moving pictures. Raises VideoError, which says what else the path is."""
    check_is_file(path)
    path = Path(path)
    try:
        _check_declared_frames(path)
    except OSError as error:
        raise error if isinstance(error, VideoError) else VideoError(f"{path}: not readable ({error})") from error
    try:
        # an absolute path after "file:" is taken as it is, whatever colons, percent signs or dashes it has
        container = av.open(f"file:{path.absolute()}", options=OPTIONS, **TOLERANT)
    except (av.error.FFmpegError, OSError, ValueError, MemoryError) as error:
        raise VideoError(f"{path}: not readable as a video: {_describe(path, error)}") from error
    if not any(_is_moving(stream) for stream in container.streams.video):
        kinds = sorted({stream.type for stream in container.streams if stream.type != "video"})
        kinds += ["a still picture (a cover)"] if container.streams.video else []
        container.close()
        only = " and ".join(kinds) or "an empty container"
        hint = "" if {"audio", "a still picture (a cover)"} & set(kinds) else "; is the file complete?"
        raise VideoError(f"{path}: has no video in it, only {only}{hint}")
    return container


def open_stream(path, threads=1, strict=False):
    """(container, stream) of a file, ready to decode. Raises VideoError.

    threads: the decoder's, 0 means one per core. strict: it refuses damaged pictures instead of painting over the
    damage (those of avi can't).
    """
    container = open_container(path)
    stream = find_best_stream(container)
    try:
        context = stream.codec_context
        if context is None:
            raise VideoError(f"{path}: its video is coded in a way that FFmpeg has no decoder for")
        context.thread_count, context.thread_type = threads, "AUTO"
        context.copy_opaque = True  # a frame says which packet it is from
        strict = strict and container.format.name != "avi"
        context.options = {"max_pixels": str(MAX_PIXELS)} | ({"err_detect": "explode"} if strict else {})
    except BaseException:
        container.close()
        raise
    return container, stream


def find_best_stream(container):
    """The video stream that ffmpeg takes by itself: the most pixels, the default one before others, no cover."""
    moving = [stream for stream in container.streams.video if _is_moving(stream)]

    def score(stream):
        is_default = bool(stream.disposition & av.stream.Disposition.default)
        context = stream.codec_context  # None where FFmpeg has no decoder
        return (context.width * context.height if context else 0) + 5_000_000 * is_default

    return max(moving, key=score)  # of equals the first


def explain_undecodable(stream):
    """What to say of a stream of which nothing can be decoded."""
    if not stream.codec_context.width:  # FFmpeg clears a size beyond the limit
        return f"its header gives no picture size, or one above {MAX_PIXELS:,} pixels (MAX_PIXELS); is it damaged?"
    return "is the file complete?"


def read_duration_s(path):
    """How long the container says it is, in seconds, without reading it through. Raises VideoError."""
    with open_container(path) as container:
        stream = find_best_stream(container)
        own = float(stream.duration * stream.time_base) if stream.duration else 0.0
        return own or (container.duration or 0) / av.time_base


def _is_moving(stream):
    return not stream.disposition & av.stream.Disposition.attached_pic


def check_is_file(path):
    """Raise VideoError, which says what it is instead, where a path is no file."""
    path = str(path)
    try:
        is_folder, is_file, exists = os.path.isdir(path), os.path.isfile(path), os.path.lexists(path)
    except (OSError, ValueError) as error:  # a name that is too long, or has a zero byte in it
        raise VideoError(f"{path}: no such video file ({error})") from error
    if is_folder:
        raise VideoError(f"{path}: is a folder; expected a video file")
    if not exists and (address := re.match(r"([a-z][a-z0-9+.-]+)://?", path, re.IGNORECASE)) and len(address[1]) > 1:
        raise VideoError(f"{path}: {address[1]} addresses and streams are not read; record it to a file first")
    if not is_file:
        raise VideoError(f"{path}: is not a regular file" if exists else f"{path}: no such video file")


def _describe(path, error):
    """What is wrong with a file that FFmpeg doesn't open, and what to do."""
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
    except OSError as unreadable:
        return f"{unreadable.strerror or unreadable}"
    if not head:
        return "the file is empty; copy or download it again"
    for signature, what, advice in SIGNATURES:
        given = head[: len(signature)].lower()
        if all(b == a or a == ord("?") for a, b in zip(signature.lower(), given, strict=False)) and given:
            return f"it is {what}; {advice}"
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == 12:
        return "its header asks for more memory than there is; is the file damaged?"
    if not head.strip(b"\0"):
        return "it begins with zeros only; copy or download it again"
    if _is_text(head):
        return f"it is a text that begins with {head[:40].decode(errors='replace').split(chr(10))[0]!r}; give a video"
    if head[4:8] == b"ftyp" and not _has_box(path, b"moov"):
        return "the file was cut off before its table of contents (moov); copy or download it again"
    return f"{getattr(error, 'strerror', None) or error}; is the file complete, and a video?"


def _is_text(head):
    try:
        head[:-4].decode("utf-8")  # the last character may be cut
    except UnicodeDecodeError:
        return False
    return not set(head) & set(range(8))


# --- what a header promises -------------------------------------------------------------------------------------------


def is_torn(path, format_name):
    """Whether the container says that it goes on beyond the end of the file (mkv, webm, avi; else False)."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        if format_name == "avi":
            return int.from_bytes(file.read(8)[4:], "little") + 8 > size
        if "matroska" not in format_name:
            return False
        file.seek(4)  # the EBML header, of which only the length matters, then the one segment
        header = _ebml_length(file)
        file.seek(header or 0, os.SEEK_CUR)
        if file.read(4) != b"\x18\x53\x80\x67":
            return False
        segment = _ebml_length(file)
        return segment is not None and file.tell() + segment > size


def _ebml_length(file):
    """The length at the file's position; None where it is left open, as live recordings do."""
    first = file.read(1)
    n_bytes = 9 - first[0].bit_length() if first else 9
    if n_bytes > 8:
        return None
    rest = file.read(n_bytes - 1)
    value = int.from_bytes(first + rest, "big") & ((1 << 7 * n_bytes) - 1)
    return None if value == (1 << 7 * n_bytes) - 1 else value


_PARENTS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf"}
_NUMBER_AT = {b"stsz": 8, b"stz2": 8, b"trun": 4, b"hdlr": 8}  # bytes from the box's content to the number in it
_SOUND = int.from_bytes(b"soun", "big")


def _check_declared_frames(path):
    """Raise VideoError for an mp4 whose header declares more frames than the file has bytes.

    FFmpeg makes an entry for each before it reads any, 24 bytes of memory a frame: a header of 1 kB can ask for 100 GB.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        if file.read(8)[4:] not in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"moof", b"styp", b"sidx"):
            return
        for kind, count in _declared(file, 0, size):
            if kind != b"hdlr" and count > min(size, MAX_FRAMES):
                raise VideoError(
                    f"{path}: the header ({kind.decode()}) declares {count:,} frames in a file of {size:,} bytes; "
                    f"up to one a byte and {MAX_FRAMES:,} are read (MAX_FRAMES). Is the file damaged?"
                )


def _has_box(path, kind):
    """Whether one of an mp4's outermost boxes is of this kind."""
    with open(path, "rb") as file:
        return any(name == kind for name, _, _ in _boxes(file, 0, os.path.getsize(path)))


def _declared(file, start, end):
    """(kind of box, number) of every box between two positions that gives a number of frames, or what a track is."""
    for kind, first, stop in _boxes(file, start, end):
        if kind in _PARENTS:
            inside = list(_declared(file, first, stop))
            # sound may have millions of samples of two bytes, and no entry for each
            yield from [] if (b"hdlr", _SOUND) in inside else inside
        elif kind in _NUMBER_AT:
            file.seek(first + _NUMBER_AT[kind])
            yield kind, int.from_bytes(file.read(4), "big")


def _boxes(file, start, end):
    """(kind, first byte of the content, byte after it) of the boxes between two positions."""
    while start + 8 <= end:
        file.seek(start)
        head = file.read(16)
        length, kind, first = int.from_bytes(head[:4], "big"), head[4:8], start + 8
        if length == 1 and len(head) == 16:
            length, first = struct.unpack(">Q", head[8:])[0], start + 16
        stop = end if length == 0 else min(start + length, end)
        if len(head) < 8 or stop < first:
            return
        yield kind, first, stop
        start = stop
