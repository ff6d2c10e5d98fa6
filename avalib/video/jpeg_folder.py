"""A folder of a video's frames as pictures, read by AVA number."""

import os
import re
from pathlib import Path

from avalib.video.jpeg_reader import JpegReader
from avalib.video.video_error import VideoError


class JpegFolder(JpegReader):
    """A folder of a video's frames, `img_00001.jpg`, `VIDEO_000001.jpg`, `frame0.jpg`: the number in the name counts.

    The pictures are numbered from 1 or from 0 without gaps; the first is AVA number 1. A folder may hold several series
    of names: `img_` is read, else the one with the folder's name.

    Attributes
    ----------
    path : Path
    n_ava_frames : int
    width, height : int
        Pixels.
    original_size : (int, int)
        The same.

    Raises
    ------
    VideoError
        Numbers are missing, two pictures have one number, or it isn't clear which series is meant.
    """

    def __init__(self, path):
        from PIL import Image

        self.path = Path(path)
        name_by_number = self._choose_series()
        self._check_numbers(name_by_number)
        self._names = [name_by_number[n] for n in sorted(name_by_number)]
        self.n_ava_frames = len(self._names)
        try:
            with Image.open(self.path / self._names[0]) as picture:
                self.original_size = self.width, self.height = picture.size
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise VideoError(f"{self.path / self._names[0]}: not readable as a picture ({error})") from error

    def _check_numbers(self, name_by_number):
        """Raise VideoError unless the numbers are 0..N-1 or 1..N."""
        # 0..N-1 and 1..N are whole; every other range has gaps
        count = len(name_by_number)
        first = min(name_by_number)
        last = max(name_by_number)
        lowest = min(first, 1)
        if last - lowest + 1 == count:
            return
        # a number like a date's would make a list of millions of gaps: name only the first gap then
        if last < 10 * count + 10:
            missing = sorted(set(range(lowest, last + 1)) - name_by_number.keys())
        else:
            missing = [first + 1]
        raise VideoError(
            f"{self.path}: {count} pictures with the numbers {', '.join(map(str, sorted(name_by_number)[:4]))} … "
            f"{last}; expected every frame, numbered from 0 or 1 without gaps; {', '.join(map(str, missing[:4]))} … "
            "missing. Extract all frames at 30 a second, or give the video"
        )

    def _choose_series(self):
        """{number: file name} of the series of pictures that is read."""
        all_series = self._find_series()
        if not all_series:
            raise VideoError(
                f"{self.path}: no folder with frames named img_00001.jpg or {self.path.name}_000001.jpg; the number in "
                "the name is needed"
            )
        for key in (("img_", ""), (f"{self.path.name}_", "")):
            if key in all_series:
                return all_series[key]
        if len(all_series) > 1:
            examples = ", ".join(series[min(series)] for series in list(all_series.values())[:4])
            raise VideoError(
                f"{self.path}: pictures of {len(all_series)} series ({examples}); expected one video's frames"
            )
        return next(iter(all_series.values()))

    def _find_series(self):
        """{(text before the number, text after it): {number: file name}} of the pictures in the folder."""
        all_series = {}
        for name in sorted(os.listdir(self.path)) if self.path.is_dir() else []:
            # text before the number, number, text after it
            match = re.fullmatch(r"(.*?)(\d{1,9})(\D*)\.(jpe?g|png)", name, re.IGNORECASE)
            if match and not name.startswith((".", "flow_")):  # optical flow may lie in the same folder
                series = all_series.setdefault((match[1], match[3]), {})
                other = series.setdefault(int(match[2]), name)
                if other != name:
                    raise VideoError(f"{self.path}: {other} and {name} have the same number; remove one of them")
        return all_series

    def _read_jpeg(self, number):
        return (self.path / self._names[number - 1]).read_bytes()
