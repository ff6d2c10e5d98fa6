"""Labels on pictures: stacks of tags that stay legible, inside the frame and off each other. Pixels throughout."""

from functools import cache, lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from avalib.data.labels import shorten_action_name
from avalib.draw.colors import MODEL_COLORS, PERSON_COLORS, get_person_color, to_rgb

# A style: the box's line, the tags from the first one down, the text on them (contrast over 4.5). Blue and green as
# everybody knows them from the zoo; this green is also much lighter than this blue, for eyes that mix the two up.
WHITE, BLACK = (255, 255, 255), (20, 20, 20)
BLUE = {
    "line": (70, 150, 255),
    "tags": ((0, 44, 140), (0, 58, 165), (8, 72, 186), (18, 84, 200), (28, 94, 208)),
    "text": WHITE,
}
GREEN = {
    "line": (90, 225, 110),
    "tags": ((0, 78, 38), (0, 90, 44), (0, 101, 50), (0, 111, 55), (0, 119, 60)),
    "text": WHITE,
}
DASHED_BLUE = BLUE | {"dashed": True}  # the annotation where it lies under the prediction
TITLE = {"line": BLACK, "tags": (BLACK,), "text": WHITE}
# What a GIF's palette must keep exactly.
GIF_COLORS = [BLUE["line"], GREEN["line"], *BLUE["tags"], *GREEN["tags"], WHITE, BLACK]
GIF_COLORS += [
    to_rgb(colour) for colour in (*PERSON_COLORS, *MODEL_COLORS.values()) if to_rgb(colour) not in GIF_COLORS
]


def build_person_stack(person_id):
    """The style of a person: its own colour, black text, and its number before its first label."""
    colour = to_rgb(get_person_color(person_id))
    return {"line": colour, "tags": (colour,), "text": BLACK, "prefix": f"{person_id}: "}


def build_model_stack(name):
    """The style of a title with a model's name: its own colour; None for what is no model of the zoo."""
    if name not in MODEL_COLORS:
        return None
    colour = to_rgb(MODEL_COLORS[name])
    bright = sum(w * c for w, c in zip((0.299, 0.587, 0.114), colour, strict=True)) > 100
    return {"line": colour, "tags": (colour,), "text": BLACK if bright else WHITE}


@cache
def load_font(size):
    """Matplotlib's own bold sans at `size` pixels."""
    path = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans-Bold.ttf"
    return ImageFont.truetype(str(path), size)  # Pillow 10.1 takes no Path


@lru_cache(maxsize=1 << 16)
def measure_length(text, size):
    """How wide a text is."""
    return int(np.ceil(load_font(size).getlength(text)))


def measure_text(height, width):
    """The font's size on a frame: 12 is the smallest that stays legible."""
    return max(12, round(min(height, width) / 42))


def build_stack(labels, label_map, size, widest, scores="number", prefix=""):
    """The lines of a person's labels; prefix: what stands before the first."""
    return [build_line(*label, label_map, size, widest, scores, "" if i else prefix) for i, label in enumerate(labels)]


def build_line(action, score, label_map, size, widest, scores="number", prefix=""):
    """(text, bar) of a label, shortened until it fits: ('walk 0.93', None) or, for scores="bar", ('walk', 0.93)."""
    if scores not in ("number", "bar", "none"):
        raise ValueError(f"scores={scores!r}: expected 'number', 'bar' or 'none'")
    name = (label_map or {}).get(action) or shorten_action_name(action)
    ending = f" {score:.2f}" if score is not None and scores == "number" else ""
    bar = score if scores == "bar" else None
    while compute_extent([(prefix + name + ending, bar)], size)[0] > widest and len(name) > 2:
        name = name.rstrip("…")[:-1] + "…"
    return prefix + name + ending, bar


def compute_extent(lines, size):
    """(width, height) of a stack of tags."""
    pad = size // 4
    widths = [measure_length(text, size) + (0 if bar is None else 3 * size + pad) for text, bar in lines]
    return max(widths) + 2 * pad, len(lines) * (size + 2 * pad)


def paint_stack(image, place, lines, size, style):
    """Paste a stack of tags onto a PIL image with its top left corner at `place`."""
    for i, (text, bar) in enumerate(lines):
        tag = _tag(text, bar, size, style["tags"][min(i, len(style["tags"]) - 1)], style["text"])
        image.paste(tag, (place[0], place[1] + i * tag.height))


@lru_cache(maxsize=4096)
def _tag(text, bar, size, fill, colour):
    """One tag as a PIL image, kept, as rendering text is most of the time: the text, then a bar if it has one."""
    tag, pad = Image.new("RGB", compute_extent([(text, bar)], size), fill), size // 4
    draw = ImageDraw.Draw(tag)
    draw.text((pad, tag.height / 2), text, fill=colour, font=load_font(size), anchor="lm")
    if bar is not None:
        left, top, right = tag.width - pad - 3 * size, tag.height // 4, tag.width - pad - 1
        bottom = top + tag.height // 2 - 1
        draw.rectangle((left, top, right, bottom), outline=colour)
        draw.rectangle((left, top, left + round(bar * (right - left)), bottom), fill=colour)
    return tag


def arrange_stacks(stacks, boxes, image_size, size, taken=(), before=None):
    """Where everybody's tags go -> [(lines, (x1, y1, x2, y2), which candidate) or None], how many labels are left out.

    stacks: per person its lines, see `line`; boxes: per person x1, y1, x2, y2; image_size (width, height); taken: areas
    to keep free; before: per person the candidate of the last frame or None, preferred a little. Tags never leave the
    frame and never cover other tags: where there is no room for a stack it loses lines (its last then ends in "+2"),
    and at last itself.
    """
    taken, out, left_out = [tuple(map(int, area)) for area in taken], [None] * len(stacks), 0
    for i in sorted(range(len(stacks)), key=lambda i: (boxes[i][1], i)):  # from the top down
        tallest = image_size[1] // compute_extent(stacks[i][:1], size)[1] if stacks[i] else 0
        kept = 0
        for kept in range(min(len(stacks[i]), tallest), 0, -1):
            lines = _first(stacks[i], kept)
            spot = _place(compute_extent(lines, size), i, boxes, taken, image_size, before and before[i])
            if spot:
                out[i] = lines, *spot
                taken.append(spot[0])
                break
        left_out += len(stacks[i]) - (kept if out[i] else 0)
    return out, left_out


def _first(lines, kept):
    """The first `kept` lines; the last of them says how many more there are."""
    more = len(lines) - kept
    return [*lines[: kept - 1], (f"{lines[kept - 1][0]} +{more}", lines[kept - 1][1])] if more else lines


def _place(wanted, i, boxes, taken, image_size, before):
    """((x1, y1, x2, y2), which candidate) for person i's tags, None without room.

    Of the free candidates the one that covers least of other people, and of the person where it is small, and isn't
    far away: inside the box's top, beside and around the box, else anywhere in the frame.
    """
    (w, h), (x1, y1, x2, y2) = wanted, (int(v) for v in boxes[i])
    limit = np.array(image_size) - (w, h)
    if (limit < 0).any():
        return None
    near = [(x1, y1), (x1, y1 - h), (x2 - w, y1 - h), (x2 - w, y1), (x1, y2 - h), (x1, y2), (x2, y1), (x1 - w, y1)]
    grid = np.mgrid[0 : limit[0] + 1 : max(h // 2, 6), 0 : limit[1] + 1 : max(h // 4, 6)].reshape(2, -1).T
    corner = np.concatenate([np.clip(near, 0, limit), grid])
    tags = np.concatenate([corner, corner + (w, h)], axis=1)  # (candidates, 4)
    free = np.ones(len(tags), bool)
    for area in taken:
        free &= compute_overlap(tags, area) == 0
    if not free.any():
        return None
    others = sum((compute_overlap(tags, box) for j, box in enumerate(boxes) if j != i), np.zeros(len(tags))) / (w * h)
    x, y = corner.T
    away = (
        np.maximum(np.maximum(x1 - w - x, x - x2), 0)
        + 0.3 * abs(x - x1)
        + np.maximum(np.maximum(y1 - h - y, y - y2), 0)
    ) / h
    small = w * h > 0.2 * (x2 - x1) * (y2 - y1)
    cost = 0.1 + others + 0.4 * away
    cost[0] += 0.4 if small else -0.1  # inside the box's top is best, unless it hides a small person
    if before is not None and before < len(cost):
        cost[before] -= 0.3
    best = int(np.argmin(np.where(free, cost, np.inf)))
    return tuple(tags[best].tolist()), best


def compute_overlap(boxes, area):
    """How many pixels of each box (...,4) lie inside an area (4,)."""
    boxes, area = np.asarray(boxes), np.asarray(area)
    shared = np.minimum(boxes[..., 2:], area[2:]) - np.maximum(boxes[..., :2], area[:2])
    return shared.clip(0).prod(-1)
