"""The text of labels, its size in pixels, and painting it: each label is a tag, a person's tags are a stack."""

from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from avalib.data.labels import shorten_action_name

SMALLEST_FONT = 12  # pixels; smaller text is not legible
SCORE_FORMATS = ("number", "bar", "none")


@dataclass(frozen=True)
class TagLine:
    """One tag of a stack: its text and, where the score is drawn as a bar, the score (0..1)."""

    text: str
    bar: float | None = None


@cache
def load_font(font_size):
    """Matplotlib's own bold sans at `font_size` pixels."""
    path = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans-Bold.ttf"
    return ImageFont.truetype(str(path), font_size)  # Pillow 10.1 takes no Path


@lru_cache(maxsize=1 << 16)
def measure_text_width(text, font_size):
    """The width of a text in pixels."""
    return int(np.ceil(load_font(font_size).getlength(text)))


def choose_font_size(height, width):
    """The font size, in pixels, for a frame."""
    return max(SMALLEST_FONT, round(min(height, width) / 42))


def build_tag_lines(labels, label_map, font_size, max_width, scores="number", prefix=""):
    """The tags of a person's labels ((action_id, score), …); `prefix` stands before the first."""
    lines = []
    for action_id, score in labels:
        first = "" if lines else prefix
        lines.append(build_tag_line(action_id, score, label_map, font_size, max_width, scores, first))
    return tuple(lines)


def build_tag_line(action_id, score, label_map, font_size, max_width, scores="number", prefix=""):
    """The tag of one label, its name shortened until the tag is at most `max_width` pixels wide.

    scores: "number" gives TagLine("walk 0.93"), "bar" TagLine("walk", 0.93), "none" TagLine("walk").
    """
    if scores not in SCORE_FORMATS:
        raise ValueError(f"scores={scores!r}: expected 'number', 'bar' or 'none'")
    name = (label_map or {}).get(action_id) or shorten_action_name(action_id)
    # The score, as text or as a bar, stays whole; only the name is cut, letter by letter.
    ending = f" {score:.2f}" if score is not None and scores == "number" else ""
    bar = score if scores == "bar" else None
    line = TagLine(prefix + name + ending, bar)
    while measure_stack([line], font_size)[0] > max_width and len(name) > 2:
        name = name.rstrip("…")[:-1] + "…"
        line = TagLine(prefix + name + ending, bar)
    return line


def measure_stack(lines, font_size):
    """(width, height) of a stack of tags in pixels."""
    # A bar is three letters' heights long and has a padding of its own.
    padding = font_size // 4
    bar_width = 3 * font_size + padding
    widths = [measure_text_width(line.text, font_size) + (0 if line.bar is None else bar_width) for line in lines]
    return max(widths) + 2 * padding, len(lines) * (font_size + 2 * padding)


def paint_stack(image, corner, lines, font_size, style):
    """Paste a stack of tags onto a PIL image with its top left corner at `corner` (x, y)."""
    left, top = corner
    # Backgrounds from the first one down; the last one repeats.
    for i, line in enumerate(lines):
        background = style.tags[min(i, len(style.tags) - 1)]
        tag = _render_tag(line, font_size, background, style.text)
        image.paste(tag, (left, top + i * tag.height))


@lru_cache(maxsize=4096)
def _render_tag(line, font_size, background, color):
    """One tag as a PIL image: the text, then its bar. Cached, as rendering text takes most of the time."""
    padding = font_size // 4
    tag = Image.new("RGB", measure_stack([line], font_size), background)
    draw = ImageDraw.Draw(tag)
    draw.text((padding, tag.height / 2), line.text, fill=color, font=load_font(font_size), anchor="lm")
    # The bar at the right end, half as high as the tag: a frame, filled in proportion to the score.
    if line.bar is not None:
        left = tag.width - padding - 3 * font_size
        right = tag.width - padding - 1
        top = tag.height // 4
        bottom = top + tag.height // 2 - 1
        draw.rectangle((left, top, right, bottom), outline=color)
        draw.rectangle((left, top, left + round(line.bar * (right - left)), bottom), fill=color)
    return tag
