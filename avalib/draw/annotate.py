"""Boxes and labels on frames, and sheets of frames. Frames are (H,W,3) uint8; boxes fractions of the frame."""

import numpy as np
from PIL import Image, ImageDraw

from avalib.draw.label_layout import (
    BLACK,
    BLUE,
    TITLE,
    arrange_stacks,
    build_person_stack,
    build_stack,
    compute_extent,
    measure_text,
    paint_stack,
)
from avalib.utils.files import atomic_path

MAX_LABELLED = 100  # people with labels in a picture: placing them takes time by the square of their number


def annotate_frame(
    frame, people, colour=BLUE, title=None, label_map=None, places=None, scores="number", title_style=TITLE
):
    """A copy of `frame` with each person's box, and its labels stacked on tags.

    people: [Person]; colour: BLUE (annotated), GREEN (predicted), "person" (one each), or a style per person; title: a
    tag in the frame's top left corner; label_map {action_id: name}, default AVA's names without their brackets; scores:
    "number", "bar" or "none". Tags stay inside the frame and off each other; labels without room are counted in the
    title, and so are those beyond the MAX_LABELLED people with the highest scores. places: a dict to keep from frame to
    frame of a video, so that tags stay at their side.
    """
    image = Image.fromarray(np.ascontiguousarray(frame))
    draw, size = ImageDraw.Draw(image), measure_text(*frame.shape[:2])
    styles = _styles(people, colour)
    shape = np.array([image.width, image.height] * 2)
    boxes = [np.clip(np.round(person.box * shape).astype(int), 0, shape - 1) for person in people]
    labelled = _surest(people)
    hidden = sum(len(person.labels) for person in people) - sum(len(people[i].labels) for i in labelled)
    stacks = [
        build_stack(people[i].labels, label_map, size, image.width, scores, styles[i].get("prefix", ""))
        for i in labelled
    ]
    keys = [(people[i].person_id, styles[i]["line"]) for i in labelled]
    before = [(places or {}).get(key) for key in keys]
    shown = [boxes[i] for i in labelled], [styles[i] for i in labelled]
    title, arranged = _arrange(stacks, shown[0], image.size, size, title, before, hidden)
    for box, style in zip(boxes, styles, strict=True):
        _outline(draw, box, style, max(2, round(size / 9)))
    placed = [(*spot, *rest) for spot, *rest in zip(arranged, *shown, keys, strict=True) if spot]
    for _, tag, _, box, style, _ in placed:
        _leader(draw, tag, box, style, max(2, round(size / 9)))
    for lines, tag, best, _, style, key in placed:
        paint_stack(image, tag[:2], lines, size, style)
        if places is not None:
            places[key] = best
    if title:
        paint_stack(image, (0, 0), [(title, None)], size, title_style)
    return np.asarray(image)


def _surest(people):
    """The numbers of the MAX_LABELLED people with the highest scores, in the order of `people`."""
    numbers = range(len(people))
    if len(people) > MAX_LABELLED:  # annotated people have no score and come first
        best = [max((1.0 if score is None else score for _, score in p.labels), default=-1.0) for p in people]
        numbers = sorted(sorted(numbers, key=lambda i: -best[i])[:MAX_LABELLED])
    return list(numbers)


def _styles(people, colour):
    """A style per person."""
    if isinstance(colour, dict):
        return [colour] * len(people)
    return [build_person_stack(person.person_id) for person in people] if colour == "person" else list(colour)


def _arrange(stacks, boxes, image_size, size, title, before, hidden=0):
    """(title, arranged tags): the title's room is kept free, and it says how many labels found none.

    hidden: labels that are left out already.
    """
    shown = title and _fitting(title, size, image_size[0])
    area = [(0, 0, *compute_extent([(shown, None)], size))] if shown else []
    arranged, left_out = arrange_stacks(stacks, boxes, image_size, size, area, before)
    if not left_out + hidden:
        return shown, arranged
    note = "{} +{} labels" if title else "{}+{} labels"
    most = note.format(title or "", sum(map(len, stacks)) + hidden)  # the widest it can get
    area = [(0, 0, *compute_extent([(_fitting(most, size, image_size[0]), None)], size))]
    arranged, left_out = arrange_stacks(stacks, boxes, image_size, size, area, before)
    return _fitting(note.format(title or "", left_out + hidden), size, image_size[0]), arranged


def _fitting(text, size, width):
    """A title shortened from the left until it fits, as its end says most."""
    while compute_extent([(text, None)], size)[0] > width and len(text) > 2:
        text = "…" + text.lstrip("…")[1:]
    return text


def _outline(draw, box, style, width):
    x1, y1, x2, y2 = box.tolist()
    area = (x1, y1, max(x2, x1), max(y2, y1))
    draw.rectangle(area, outline=BLACK, width=width + 1)
    if not style.get("dashed"):
        draw.rectangle(area, outline=style["line"], width=width)
        return
    dash = 4 * width
    for x in range(x1, x2, 2 * dash):
        for y in (y1, y2 - width + 1):
            draw.rectangle((x, y, min(x + dash, x2), y + width - 1), fill=style["line"])
    for y in range(y1, y2, 2 * dash):
        for x in (x1, x2 - width + 1):
            draw.rectangle((x, y, x + width - 1, min(y + dash, y2)), fill=style["line"])


def _leader(draw, tag, box, style, width):
    """A line from tags that stand apart to their box."""
    if tag[0] > box[2] + 1 or tag[2] < box[0] - 1 or tag[1] > box[3] + 1 or tag[3] < box[1] - 1:
        ends = [(int(np.clip(box[i] / 2 + box[i + 2] / 2, tag[i], tag[i + 2])),) for i in (0, 1)]
        start = (ends[0][0], ends[1][0])
        stop = tuple(int(np.clip(v, box[i], box[i + 2])) for i, v in enumerate(start))
        draw.line((start, stop), fill=BLACK, width=width + 2)
        draw.line((start, stop), fill=style["line"], width=width)


def save_figure(picture, path, **options):
    """Write a picture (PIL) or a figure (matplotlib) by the path's suffix, whole or not at all.

    options: of the picture's save or the figure's savefig, such as dpi.
    """
    with atomic_path(path) as part:
        (picture.savefig if hasattr(picture, "savefig") else picture.save)(part, **options)


def scale_frame(frame, width):
    """A frame at another width, same shape; every line that is drawn later is then as sharp as can be."""
    if width is None or width == frame.shape[1]:
        return frame
    size = (int(width), max(1, round(frame.shape[0] * width / frame.shape[1])))
    return np.asarray(Image.fromarray(np.ascontiguousarray(frame)).resize(size, Image.Resampling.LANCZOS))
