"""Where live video comes from: a camera's number, the address of a stream, or a file that is played at its own speed.

Addresses of streams often hold a user name and a password. No message shows them: it shows the source's `name`.
"""

import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

from avalib.video.container import MAX_PIXELS, find_best_stream, get_metadata_options, open_container
from avalib.video.pyav import av
from avalib.video.video_error import VideoError

OPEN_TIMEOUT_S = 10.0
# scheme: the protocols of FFmpeg that it may use; "file" is in none, so that no stream names a file of this machine
PROTOCOLS = {
    "rtsp": "rtsp,rtp,srtp,udp,tcp",
    "rtsps": "rtsps,rtsp,rtp,srtp,udp,tcp,tls",
    "rtmp": "rtmp,tcp",
    "udp": "udp",
    "tcp": "tcp",
    "srt": "srt",
    "http": "http,https,tcp,tls,crypto,httpproxy",
    "https": "http,https,tcp,tls,crypto,httpproxy",
}
# containers and codes that a stream may have; of the texts that name other addresses only http's playlist
FORMATS = "asf flv h264 hevc hls live_flv matroska mjpeg mov mp4 mpeg mpegts mpjpeg ogg rtsp rtp webm".split()
CREDENTIALS_ADVICE = "give them as in rtsp://USER:PASSWORD@HOST/PATH, with %40 for an @ in the password"


class StreamError(VideoError):
    """A camera or stream that cannot be opened or read; the message never shows user names, passwords or tokens."""


class StreamRefusedError(StreamError):
    """The source exists and will not give video however often it is tried: wrong credentials, a missing decoder."""


@dataclass(frozen=True)
class LiveSource:
    """A camera, a stream or a file.

    Parameters
    ----------
    kind : {"camera", "stream", "file"}
    address : str
        What FFmpeg opens. It may hold credentials.
    name : str
        For messages, without credentials.
    """

    kind: str
    address: str = field(repr=False)
    name: str = ""


def parse_live_source(source: int | str | Path) -> LiveSource:
    """Tell cameras (0, "0", "/dev/video0"), streams ("rtsp://…") and files apart. Nothing is opened.

    Raises
    ------
    ValueError
        `source` is none of these.
    StreamError
        The scheme of the address is not supported.
    """
    is_path_or_number = isinstance(source, (int, str, os.PathLike)) and not isinstance(source, bool)
    text = str(source).strip()
    if not is_path_or_number or not text or text.startswith("-"):
        raise ValueError(
            f"source={hide_secrets(text[:80])!r}: expected a camera's number (0), a stream's address "
            "(rtsp://…, udp://…, http://…) or a file"
        )
    if re.fullmatch(r"\d{1,3}|/dev/video\d{1,3}", text, re.A):
        number = text.removeprefix("/dev/video")
        return LiveSource("camera", number, f"camera {number}")
    # one letter before the colon is a drive of Windows
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", text)
    if not scheme:
        return LiveSource("file", text, Path(text).name)
    if scheme[1].lower() not in PROTOCOLS:
        raise StreamError(
            f"{hide_secrets(text)}: {scheme[1]} is not supported; expected a stream by {', '.join(PROTOCOLS)}"
        )
    return LiveSource("stream", text, hide_secrets(text))


def hide_secrets(address: str) -> str:
    """An address without user name, password and query, and without parts of its path that set a value.

    Some cameras take the password in the path: rtsp://host/user=admin_password=1234_channel=1.
    """
    scheme, separator, rest = address.partition("://")
    if not separator:
        return address
    # all before the last @, as a password may have an @, a / or a ? in it
    host, *segments = re.split(r"[?#]", rest.rpartition("@")[2])[0].split("/")
    return f"{scheme}://" + "/".join([host, *("…" if "=" in segment else segment for segment in segments)])


def open_live(source: LiveSource, open_timeout_s: float, read_timeout_s: float):
    """Open a source and prepare its best video stream for decoding with little delay.

    Parameters
    ----------
    source : LiveSource
    open_timeout_s, read_timeout_s : float
        The longest wait for the source to answer, and for its next data.

    Returns
    -------
    container, stream

    Raises
    ------
    StreamError
        StreamRefusedError where another attempt is useless.
    VideoError
        A file that is no video.
    """
    if source.kind == "file":
        container = open_container(source.address)
    else:
        container = _open_device_or_address(source, open_timeout_s, read_timeout_s)
    try:
        stream = _choose_stream(source, container)
    except BaseException:
        container.close()
        raise
    # slices, not frames, in parallel: frames would each wait for the ones after them
    stream.codec_context.thread_type = "SLICE"
    stream.codec_context.thread_count = 2
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    return container, stream


def _open_device_or_address(source, open_timeout_s, read_timeout_s):
    options = {"max_pixels": str(MAX_PIXELS)}
    device = CameraDevice(None, source.address)
    if source.kind == "camera":
        device = locate_camera(int(source.address))
    else:
        scheme = source.address.partition("://")[0].lower()
        # a second of data is enough to recognize the streams; its pictures are decoded at once after that
        options |= {"analyzeduration": "1000000", "format_whitelist": ",".join(FORMATS)}
        options |= {"protocol_whitelist": PROTOCOLS[scheme]}
        # over TCP no packet of RTSP is lost, and firewalls let it through
        options |= {"rtsp_transport": "tcp"} if scheme.startswith("rtsp") else {}
        # a burst that UDP's buffer has no place for is lost, and no reason to connect again
        options |= {"overrun_nonfatal": "1"} if scheme == "udp" else {}
    try:
        return av.open(
            device.name,
            format=device.format,
            options=options,
            timeout=(open_timeout_s, read_timeout_s),
            **get_metadata_options(),
        )
    except (av.error.FFmpegError, OSError, ValueError, MemoryError) as error:
        # FFmpeg's own message has the address in it, so it is neither quoted nor chained
        raise explain_open_error(source, error, open_timeout_s) from None


@dataclass(frozen=True)
class CameraDevice:
    """What FFmpeg opens: the format (None: by the content) and the name."""

    format: str | None
    name: str = field(repr=False)


def locate_camera(number: int) -> CameraDevice:
    """Locate a camera on this system.

    Raises
    ------
    StreamError
        This machine has no such camera; the message lists those that it has.
    """
    if sys.platform == "darwin":
        return CameraDevice("avfoundation", str(number))
    if os.name == "nt":
        # DirectShow opens cameras by name
        devices = [device.name for device in av.enumerate_input_devices("dshow") if "video" in device.media_types]
        if number < len(devices):
            return CameraDevice("dshow", f"video={devices[number]}")
    else:
        if Path(f"/dev/video{number}").exists():
            return CameraDevice("v4l2", f"/dev/video{number}")
        devices = sorted(str(path) for path in Path("/dev").glob("video*"))
    cameras = f"it has {', '.join(devices)}" if devices else "no camera is connected"
    raise StreamError(f"camera {number}: this machine has no such camera; {cameras}. Files and addresses work too")


def explain_open_error(source: LiveSource, error: Exception, timeout_s: float) -> StreamError:
    """The error that says why a source cannot be opened and what to do, without its address."""
    if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
        has_credentials = "@" in source.address
        reason = "the user name or the password is wrong" if has_credentials else "it needs a user name and a password"
        return StreamRefusedError(f"{source.name}: access denied: {reason}; {CREDENTIALS_ADVICE}")
    if isinstance(error, PermissionError) and source.kind == "camera":
        return StreamRefusedError(f"{source.name}: this user may not open it; add the user to the group of /dev/video*")
    if isinstance(error, av.error.ExitError | TimeoutError):
        return StreamError(
            f"{source.name}: no video within {timeout_s:g} s; is the address right, and is the stream on?"
        )
    reason = getattr(error, "strerror", None) or type(error).__name__
    return StreamError(f"{source.name}: cannot be opened: {reason}; is the address right, and is the stream on?")


def _choose_stream(source, container):
    """The stream of a container that is decoded."""
    if not container.streams.video:
        kinds = sorted({stream.type for stream in container.streams}) or ["nothing"]
        raise StreamRefusedError(f"{source.name}: has no video in it, only {' and '.join(kinds)}")
    stream = find_best_stream(container)
    if stream.codec_context is None:
        raise StreamRefusedError(
            f"{source.name}: its video is coded in a way that this PyAV (FFmpeg {av.ffmpeg_version_info}) has no "
            "decoder for; set the camera to H.264, or convert the stream"
        )
    return stream
