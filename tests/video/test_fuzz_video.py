"""A damaged video gives its frames or a VideoError: no crash, no hang, no bare exception, no memory beyond a bound."""

import av
import fuzzing
import pytest
from numbered_videos import draw_number

from avalib.video.reader import Video
from avalib.video.video_error import VideoError

KINDS = {  # suffix: (codec, options)
    "mp4": ("libx264", {"bf": "2", "g": "8", "x264-params": "open-gop=1"}),
    "mkv": ("libx264", {"bf": "2", "g": "8"}),
    "avi": ("mpeg4", {"bf": "2", "g": "8"}),
    "ts": ("mpeg2video", {"bf": "2", "g": "8"}),
    "webm": ("libvpx", {"deadline": "realtime", "cpu-used": "8", "g": "8"}),
}


def small(folder, suffix, codec, options):
    """The bytes of a video of 20 frames, 64x32, with a second of sound where the container takes it."""
    path = folder / f"seed.{suffix}"
    with av.open(str(path), "w", options={"movflags": "+faststart"} if suffix == "mp4" else {}) as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt, stream.codec_context.thread_count = 64, 32, "yuv420p", 1
        container.metadata["title"] = "a seed"
        for n in range(20):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(draw_number(n)[::2, ::2].copy(), format="rgb24")))
        container.mux(stream.encode(None))
    return path.read_bytes()


def read(path):
    """Open a video and read some frames alone, then all in order."""
    with Video(path) as opened:
        for n in {0, opened.n_frames // 2, opened.n_frames - 1}:
            try:
                opened.read_frames([n])
            except VideoError as error:
                assert path.name in str(error)  # that one frame is damaged; the others are read all the same
        assert len(opened.ava_index) == opened.n_ava_frames
        assert sum(1 for _ in opened.iter_frames(allow_missing=True)) == opened.n_frames


@pytest.mark.slow
@pytest.mark.parametrize("suffix", KINDS)
def test_mutated_videos(tmp_path, suffix):
    seed = small(tmp_path, suffix, *KINDS[suffix])
    fuzzing.run(read, [seed], (VideoError,), count=200, suffix=f".{suffix}")
