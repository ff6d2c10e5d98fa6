"""Videos that are folders of pictures, one picture per frame, with the frame number in each name."""

import re
from pathlib import Path

import numpy as np
from PIL import Image

from avalib.video.video_error import VideoError

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")
MAX_NUMBERS_PER_PICTURE = 300  # gaps between the numbers are filled with repeated pictures
MAX_NUMBER_DIGITS = 15


def list_pictures(folder):
    """{frame number: path} of the pictures in a folder, ascending.

    The frame number is the last number in a name. Pictures without any number in any name count from 0 in the order of
    their names. Raises ValueError if two pictures have one number, if only some have a number, and if the numbers are
    too far apart to be frame numbers.
    """
    paths = sorted(
        path
        for path in Path(folder).iterdir()
        if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")
    )
    pictures = {}
    unnumbered = []
    for path in paths:
        number = parse_picture_number(path.stem)
        if number is None:
            unnumbered.append(path)
            continue
        if number in pictures:
            raise ValueError(
                f"{folder}: {pictures[number].name} and {path.name} are both number {number}; expected the frames of "
                "one video, one picture per number"
            )
        pictures[number] = path
    if not pictures:
        return dict(enumerate(paths))
    if unnumbered:
        raise ValueError(f"{unnumbered[0]}: a picture without a frame number in its name, among pictures with numbers")
    # Gaps are filled with repeats, so that dates or hashes in names would make endless videos.
    span = max(pictures) - min(pictures) + 1
    if span > MAX_NUMBERS_PER_PICTURE * len(pictures):
        raise ValueError(
            f"{folder}: {len(pictures)} pictures with the numbers {min(pictures)}..{max(pictures)}; expected frame "
            f"numbers, at least one picture in {MAX_NUMBERS_PER_PICTURE} of {span:,}"
        )
    return dict(sorted(pictures.items()))


def parse_picture_number(stem):
    """The last number in a file name without suffix; None if it has none, or one that is too long."""
    # In "cam2_000012" the last number counts.
    digits = re.findall(r"\d+", stem)
    return int(digits[-1]) if digits and len(digits[-1]) <= MAX_NUMBER_DIGITS else None


def read_picture(path):
    """The RGB pixels (H,W,3) uint8 of a picture. Raises VideoError for a file that is not a picture."""
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise VideoError(f"{path}: not readable as a picture ({error})") from error


def iter_picture_frames(folder):
    """The frames (H,W,3) uint8 of a folder of pictures, one per number; a missing number repeats the frame before it.

    Raises VideoError for a picture of another size.
    """
    frame = None
    frame_number = None
    for number, path in list_pictures(folder).items():
        if frame is not None:
            # Fill the gap before this picture.
            for _ in range(number - frame_number - 1):
                yield frame
        picture = read_picture(path)
        if frame is not None and picture.shape != frame.shape:
            sizes = " and ".join(f"{pixels.shape[1]}x{pixels.shape[0]}" for pixels in (frame, picture))
            raise VideoError(f"{path}: the pictures of one folder are {sizes}; expected one size")
        frame = picture
        frame_number = number
        yield frame
