"""Frame protocols: which frames a keyframe's clip has in each code base, whose checkpoints were trained with them.

They read the same second up to three frames apart. Frame numbers are those of files: 30 a second, from 1.
"""

from dataclasses import dataclass

import numpy as np

from avalib.video.frame_numbers import compute_clip_frames


@dataclass(frozen=True)
class FrameProtocol:
    """How a code base chooses the frames of a clip."""

    offset: int  # frames by which a clip lies later than one whose middle frame is the keyframe's
    past_last_frame: float  # how far behind a data set's `last_frame` a clip may reach
    can_jitter: bool = True  # whether training moves each frame at random


FRAME_PROTOCOLS = {  # by recipe.numbering
    "v0.10.0": FrameProtocol(offset=0, past_last_frame=0),
    # MMAction2 1.x, AVADataset: adds the index of the first frame a second time
    "v1.x": FrameProtocol(offset=1, past_last_frame=1),
    # MMAction2 1.x, AVAKineticsDataset: adds it not at all
    "ava_kinetics": FrameProtocol(offset=-1, past_last_frame=1),
    # PySlowFast: positions in a list of all frames, the first of which is 0
    "pyslowfast": FrameProtocol(offset=0, past_last_frame=np.inf, can_jitter=False),
    # UMT: positions 121, 129, … 177 of the 300 frames around the second, 8 frames at an interval of 8
    "umt": FrameProtocol(offset=3, past_last_frame=np.inf, can_jitter=False),
}


def get_frame_protocol(numbering: str) -> FrameProtocol:
    """The protocol of a recipe's `numbering`. Raises ValueError that lists the names for an unknown one."""
    if numbering not in FRAME_PROTOCOLS:
        raise ValueError(f"numbering {numbering!r}: expected {' or '.join(map(repr, FRAME_PROTOCOLS))}")
    return FRAME_PROTOCOLS[numbering]


def choose_clip_frames(
    numbering: str,
    timestamp: float,
    clip_len: int,
    interval: int,
    n_ava_frames: int,
    start_s: float,
    last_frame: float,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Choose the frames of the clip of a keyframe.

    Parameters
    ----------
    numbering : str
        A key of FRAME_PROTOCOLS.
    timestamp : float
        The keyframe's second.
    clip_len, interval : int
        Frames of the clip, and frames (of 30 a second) between two of them.
    n_ava_frames : int
        Frames of the video, 30 a second.
    start_s : float
        The second of the video's first frame.
    last_frame : float
        The data set's last frame number that a clip of v0.10.0 contains: 26999 for AVA.
    rng : Generator, optional
        Where the jitter is drawn from; None: no jitter. Protocols without jitter draw nothing.

    Returns
    -------
    (clip_len,) int64
        Frame numbers from 1.
    """
    protocol = get_frame_protocol(numbering)
    return compute_clip_frames(
        timestamp,
        clip_len,
        interval,
        last=int(min(n_ava_frames, last_frame + protocol.past_last_frame)),
        rng=rng if protocol.can_jitter else None,
        first=1,
        start_s=start_s,
        offset=protocol.offset,
    )
