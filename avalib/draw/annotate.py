"""Boxes and labels on frames. Frames are (H,W,3) uint8; people's boxes are fractions of the frame."""

import numpy as np
from PIL import Image, ImageDraw

from avalib.draw.box_styles import BLACK, BLUE, TITLE, UNSURE, BoxStyle, build_person_style, number_style
from avalib.draw.label_layout import LabelLayout, LabelStack, arrange_labels
from avalib.draw.label_tags import TagLine, build_tag_lines, choose_font_size, paint_stack
from avalib.draw.people import Person

MAX_LABELED = 100  # people with labels in a picture: placing them takes time by the square of their number

PERSON = "person"  # instead of a style: each person in its own color


class FrameAnnotator:
    """Draws people's boxes and labels on frames.

    Labels stay inside the frame and do not cover each other. Labels that do not fit are counted in the title, as are
    those beyond the MAX_LABELED people with the highest scores.

    Parameters
    ----------
    label_map : dict, optional
        {action_id: name} on the labels; default: AVA's names without their brackets.
    scores : {"number", "bar", "none"}
        How a label shows its score: as text ("walk 0.93"), as a bar whose length is the score, or not at all.
    title_style : BoxStyle
        The look of the title.
    keep_positions : bool
        For the frames of one video: labels stay on their side of the box from frame to frame.
    """

    def __init__(
        self,
        label_map: dict[int, str] | None = None,
        scores: str = "number",
        title_style: BoxStyle = TITLE,
        keep_positions: bool = False,
    ):
        self.label_map = label_map
        self.scores = scores
        self.title_style = title_style
        self.keep_positions = keep_positions
        self._positions = {}  # {a stack's key: its position in the last frame that had it}

    def annotate(
        self,
        frame: np.ndarray,
        people: list[Person],
        styles: BoxStyle | str | list[BoxStyle] = BLUE,
        title: str | None = None,
    ) -> np.ndarray:
        """Draw people on a copy of a frame.

        Parameters
        ----------
        frame : (H,W,3) uint8
        people : list of Person
        styles : BoxStyle, "person" or a list
            One style for all, each person in its own color, or a style per person.
        title : str, optional
            Text in the frame's top left corner.

        Returns
        -------
        (H,W,3) uint8
        """
        image = Image.fromarray(np.ascontiguousarray(frame))
        # First where everything goes, then the drawing.
        styles = _list_styles(people, styles)
        layout = self.arrange(people, image.size, styles, title)
        font_size = choose_font_size(image.height, image.width)
        line_width = max(2, round(font_size / 9))
        draw = ImageDraw.Draw(image)
        # Boxes, then lines, then tags: nothing covers a tag.
        for person, style in zip(people, styles, strict=True):
            _draw_box(draw, _to_pixel_box(person.box, image.size), style, line_width)
        placed = [stack for stack in layout.stacks if stack.rect]
        for stack in placed:
            _draw_leader_line(draw, stack, line_width)
        for stack in placed:
            paint_stack(image, stack.rect[:2], stack.lines, font_size, stack.style)
        if layout.title:
            paint_stack(image, (0, 0), [TagLine(layout.title)], font_size, self.title_style)
        # The next frame prefers these positions.
        if self.keep_positions:
            self._positions |= {stack.key: stack.position for stack in placed}
        return np.asarray(image)

    def arrange(
        self,
        people: list[Person],
        image_size: tuple[int, int],
        styles: BoxStyle | str | list[BoxStyle] = BLUE,
        title: str | None = None,
    ) -> LabelLayout:
        """Where `annotate` puts the labels on a picture of `image_size` (width, height), and the title it writes."""
        width, height = image_size
        font_size = choose_font_size(height, width)
        # A stack of tags for each person with labels; its key finds the position that it had in the last frame.
        labeled = select_labeled(zip(people, _list_styles(people, styles), strict=True))
        stacks = []
        for person, style in labeled:
            key = (person.person_id, style.line)
            lines = build_tag_lines(person.labels, self.label_map, font_size, width, self.scores, style.prefix)
            box = _to_pixel_box(person.box, image_size)
            stacks.append(LabelStack(lines, box, style, key, position=self._positions.get(key)))
        # The labels of everybody beyond MAX_LABELED, for the count in the title.
        n_labels = sum(len(person.labels) for person in people)
        n_omitted = n_labels - sum(len(person.labels) for person, _ in labeled)
        return arrange_labels(stacks, image_size, font_size, title, n_omitted)


def annotate_frame(
    frame: np.ndarray,
    people: list[Person],
    styles: BoxStyle | str | list[BoxStyle] = BLUE,
    title: str | None = None,
    label_map: dict[int, str] | None = None,
    scores: str = "number",
) -> np.ndarray:
    """Draw people's boxes and labels on a copy of one frame. For the frames of a video use FrameAnnotator.

    Parameters
    ----------
    frame : (H,W,3) uint8
    people : list of Person
    styles : BoxStyle, "person" or a list
        One style for all, each person in its own color, or a style per person.
    title : str, optional
        Text in the frame's top left corner.
    label_map, scores
        As for FrameAnnotator.

    Returns
    -------
    (H,W,3) uint8
    """
    return FrameAnnotator(label_map, scores).annotate(frame, people, styles, title)


def select_labeled(people_with_styles):
    """The MAX_LABELED (person, style) pairs with the highest scores, in the order given. Annotations count as 1."""
    pairs = list(people_with_styles)
    if len(pairs) <= MAX_LABELED:
        return pairs
    best_scores = [max((score for _, score in person.scored_labels), default=-1.0) for person, _ in pairs]
    # The places of the best in the list, then back in the list's order.
    by_score = sorted(range(len(pairs)), key=lambda i: -best_scores[i])
    return [pairs[i] for i in sorted(by_score[:MAX_LABELED])]


def _list_styles(people, styles):
    """A style per person."""
    if isinstance(styles, BoxStyle):
        return [styles] * len(people)
    if styles == PERSON:
        return [choose_person_style(person) for person in people]
    return list(styles)


def choose_person_style(person):
    """The style of a person's own color; gray if it is unsure."""
    return number_style(UNSURE, person.person_id) if person.is_unsure else build_person_style(person.person_id)


def _to_pixel_box(box, image_size):
    """A box in fractions of the picture -> (4,) int pixels inside it."""
    # (width, height, width, height): x and y of both corners scale alike.
    limits = np.array([*image_size, *image_size])
    return np.clip(np.round(box * limits).astype(int), 0, limits - 1)


def _draw_box(draw, box, style, width):
    """A person's box: a dark outline, and the style's line or dashes on it."""
    x1, y1, x2, y2 = box.tolist()
    width = 1 if style.thin else width
    # Pillow raises an error for a corner left of or above the other; such a box becomes a line.
    area = (x1, y1, max(x2, x1), max(y2, y1))
    # One pixel more of black keeps the line visible on a background of its own color.
    draw.rectangle(area, outline=BLACK, width=width + 1)
    if not style.dashed:
        draw.rectangle(area, outline=style.line, width=width)
        return
    # Dashes along the upper and lower edge, then along the left and right one; gaps are as long as dashes.
    dash = 4 * width
    for x in range(x1, x2, 2 * dash):
        for y in (y1, y2 - width + 1):
            draw.rectangle((x, y, min(x + dash, x2), y + width - 1), fill=style.line)
    for y in range(y1, y2, 2 * dash):
        for x in (x1, x2 - width + 1):
            draw.rectangle((x, y, x + width - 1, min(y + dash, y2)), fill=style.line)


def _draw_leader_line(draw, stack, width):
    """A line from tags that do not touch their box to the box."""
    box, rect = stack.box, stack.rect
    # They touch if their spans overlap, or are a pixel apart, on both axes.
    if rect[0] <= box[2] + 1 and rect[2] >= box[0] - 1 and rect[1] <= box[3] + 1 and rect[3] >= box[1] - 1:
        return
    # From the point of the tags nearest to the box's center to the point of the box nearest to that; (x, y) in pixels.
    center = [box[i] / 2 + box[i + 2] / 2 for i in (0, 1)]
    start = tuple(int(np.clip(center[i], rect[i], rect[i + 2])) for i in (0, 1))
    stop = tuple(int(np.clip(start[i], box[i], box[i + 2])) for i in (0, 1))
    draw.line((start, stop), fill=BLACK, width=width + 2)
    draw.line((start, stop), fill=stack.style.line, width=width)
