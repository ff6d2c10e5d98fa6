"""What the readers of frames kept as JPEGs share: JPEG bytes by AVA number, to arrays.

All readers of frames have the same attributes and methods: path, width, height, n_ava_frames,
read_ava_frames(numbers) -> (T,H,W,3) uint8, iter_ava_frames, iter_numbered_frames, close().
"""

from collections.abc import Iterable, Iterator

import numpy as np

from avalib.video.frame_numbers import validate_frame_numbers
from avalib.video.video_error import VideoError


class JpegReader:
    """Base class. A subclass sets path, width, height and n_ava_frames, and has `_read_jpeg`."""

    def _read_jpeg(self, number):
        """The JPEG bytes of one AVA number."""
        raise NotImplementedError

    def read_ava_frames(self, numbers: Iterable[int]) -> np.ndarray:
        """Frames by AVA number: numbers (T,) 1..n_ava_frames, any order, repeats allowed -> (T,H,W,3) uint8 RGB.

        Raises IndexError outside the range, VideoError for a frame that can't be decoded.
        """
        import torch
        from torchvision.io import ImageReadMode, decode_image

        numbers = validate_frame_numbers(numbers, 1, self.n_ava_frames, self.path, "AVA frame number")
        # all frames in one array, filled one by one
        frames = np.empty((len(numbers), self.height, self.width, 3), np.uint8)
        for i, number in enumerate(numbers.tolist()):
            try:
                # JPEG bytes -> (3,H,W) -> (H,W,3)
                data = torch.frombuffer(bytearray(self._read_jpeg(number)), dtype=torch.uint8)
                frames[i] = decode_image(data, ImageReadMode.RGB).permute(1, 2, 0).numpy()
            except (RuntimeError, ValueError, OSError) as error:
                reason = str(error).splitlines()[0]
                raise VideoError(f"{self.path}: frame {number} can't be decoded ({reason})") from error
        return frames

    def iter_ava_frames(self, start: int = 1, stop: int | None = None) -> Iterator[np.ndarray]:
        """Frames of AVA numbers start..stop-1 in order, one (H,W,3) uint8 at a time."""
        for number in range(start, self.n_ava_frames + 1 if stop is None else stop):
            yield self.read_ava_frames([number])[0]

    def iter_numbered_frames(self, numbers: Iterable[int]) -> Iterator[tuple[int, np.ndarray | VideoError]]:
        """(number, frame (H,W,3) uint8) of some AVA numbers, each once, ascending; a VideoError for one that fails."""
        numbers = validate_frame_numbers(numbers, 1, self.n_ava_frames, self.path, "AVA frame number")
        for number in np.unique(numbers).tolist():
            try:
                frame = self.read_ava_frames([number])[0]
            except VideoError as error:
                frame = error
            yield number, frame

    def close(self) -> None:
        """Close the files that are open."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
