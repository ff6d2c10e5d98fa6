"""Clips of consecutive keyframes, decoded in one pass through the video."""

from collections.abc import Iterator

import numpy as np

from avalib.video.clip_stream import iter_scaled, iter_windows
from avalib.video.video_error import VideoError


class SequentialReader:
    """Reads the clips of consecutive keyframes of one video; frames that they share are decoded once.

    if not reader.has_next(k):
        reader.start(video, k, frame_numbers)  # of the clips of keyframes k, k+1, …
    clip = reader.read_next()
    """

    def __init__(self, short_side: int):
        self.short_side = short_side  # of the clips, in pixels
        self.next_keyframe: int | None = None  # whose clip the pass gives next
        self.n_left = 0  # clips that the pass has still to give
        self.clips: Iterator | None = None  # the pass: gives each clip as a list of frames

    def __getstate__(self):
        return {"short_side": self.short_side, "next_keyframe": None, "n_left": 0, "clips": None}

    def has_next(self, k):
        """Whether the clip of keyframe k comes next."""
        return self.next_keyframe == k

    def start(self, video, k, frame_numbers):
        """Begin a pass through a video at keyframe k. frame_numbers (N,T): AVA numbers of the clips from k on."""
        # each frame is decoded and scaled once, and dropped after the last clip that has it
        frames = iter_scaled(video.iter_numbered_frames(frame_numbers), self.short_side)
        self.clips = iter_windows(frames, frame_numbers)
        self.next_keyframe = k
        self.n_left = len(frame_numbers)

    def read_next(self):
        """The next clip (T,h,w,3) uint8. Raises VideoError if one of its frames can't be read."""
        clips, k, n_left = self.clips, self.next_keyframe, self.n_left
        self.stop()  # so that after an exception the next clip starts a new pass
        frames = next(clips)
        if n_left > 1:
            self.clips, self.next_keyframe, self.n_left = clips, k + 1, n_left - 1
        # a frame that can't be read costs the clips it is in, not the pass
        for frame in frames:
            if isinstance(frame, VideoError):
                raise frame
        return np.stack(frames)

    def stop(self):
        """End the pass."""
        self.clips, self.next_keyframe, self.n_left = None, None, 0
