"""Where labels go: stacks of tags inside the frame that do not cover each other. All boxes are x1, y1, x2, y2."""

from dataclasses import dataclass, replace

import numpy as np

from avalib.draw.box_styles import BoxStyle
from avalib.draw.label_tags import TagLine, measure_stack

# What a position costs; the free position with the lowest cost is taken.
DISTANCE_COST = 0.4  # for each height of the stack that lies between it and the box
SIDEWAYS_SHARE = 0.3  # how much a shift along the box's top counts in the distance
COVERS_PERSON_COST = 0.4  # for the box's own top, where the stack would hide a small person
INSIDE_BONUS = 0.1  # for the box's own top elsewhere
SMALL_PERSON = 0.2  # a stack over this share of the box's area hides the person
UNCHANGED_BONUS = 0.3  # for the position of the last frame


@dataclass(frozen=True)
class LabelStack:
    """One person's labels on a picture.

    lines: the tags from the top down; box: of the person; style; key: identifies the person from frame to frame;
    rect: of the tags, None until they are placed and if they do not fit; position: the number of the candidate that
    was chosen, here or, before the placement, in the last frame.
    """

    lines: tuple[TagLine, ...]
    box: tuple
    style: BoxStyle
    key: tuple = ()
    rect: tuple | None = None
    position: int | None = None


@dataclass(frozen=True)
class LabelLayout:
    """A picture's title, shortened to its width, and its placed stacks (`rect` is None for those that do not fit)."""

    title: str | None
    stacks: list[LabelStack]


def arrange_labels(stacks, image_size, font_size, title=None, n_omitted=0):
    """Place stacks around a title in the top left corner; the title counts the labels that are not shown.

    stacks: [LabelStack]; image_size: (width, height); n_omitted: labels that the caller has left out already.
    -> LabelLayout, its stacks in the same order.
    """
    shown_title = title and shorten_title(title, font_size, image_size[0])
    placed, n_unplaced = place_stacks(stacks, image_size, font_size, _title_area(shown_title, font_size))
    if not n_unplaced + n_omitted:
        return LabelLayout(shown_title, placed)
    # The title grows by the number of labels left out. Reserve the largest area that this can take, and place again.
    start = f"{title} " if title else ""
    n_labels = sum(len(stack.lines) for stack in stacks) + n_omitted
    widest_title = shorten_title(f"{start}+{n_labels} labels", font_size, image_size[0])
    placed, n_unplaced = place_stacks(stacks, image_size, font_size, _title_area(widest_title, font_size))
    counted_title = f"{start}+{n_unplaced + n_omitted} labels"
    return LabelLayout(shorten_title(counted_title, font_size, image_size[0]), placed)


def shorten_title(text, font_size, max_width):
    """A title cut at its beginning until it fits, as its end (the time, the count) matters most."""
    while measure_stack([TagLine(text)], font_size)[0] > max_width and len(text) > 2:
        text = "…" + text.lstrip("…")[1:]
    return text


def _title_area(title, font_size):
    """The areas that a title occupies: one or none."""
    return [(0, 0, *measure_stack([TagLine(title)], font_size))] if title else []


def place_stacks(stacks, image_size, font_size, reserved=()):
    """Place stacks inside a picture, off each other and off the `reserved` areas.

    A stack that does not fit loses lines from its end (the last one shown then ends in "+2"), until it disappears.
    -> ([LabelStack] in the same order, number of labels left out)
    """
    occupied = [tuple(map(int, area)) for area in reserved]
    placed = [replace(stack, rect=None, position=None) for stack in stacks]
    n_left_out = 0
    # People from the top of the picture down; those that come first have the choice.
    from_the_top = sorted(range(len(stacks)), key=lambda i: (stacks[i].box[1], i))
    for i in from_the_top:
        stack = stacks[i]
        other_boxes = [other.box for j, other in enumerate(stacks) if j != i]
        # No more lines than the picture is high, however many labels the person has.
        max_lines = image_size[1] // measure_stack(stack.lines[:1], font_size)[1] if stack.lines else 0
        # All lines if there is a place for them, else as many of the first ones as have one.
        n_shown = 0
        for n_lines in range(min(len(stack.lines), max_lines), 0, -1):
            lines = shorten_stack(stack.lines, n_lines)
            size = measure_stack(lines, font_size)
            chosen = choose_position(size, stack.box, other_boxes, occupied, image_size, stack.position)
            if chosen:
                rect, position = chosen
                placed[i] = replace(stack, lines=lines, rect=rect, position=position)
                occupied.append(rect)
                n_shown = n_lines
                break
        n_left_out += len(stack.lines) - n_shown
    return placed, n_left_out


def shorten_stack(lines, n_lines):
    """The first `n_lines` of a stack; the last of them says how many are missing."""
    n_missing = len(lines) - n_lines
    if not n_missing:
        return lines
    last = lines[n_lines - 1]
    return (*lines[: n_lines - 1], replace(last, text=f"{last.text} +{n_missing}"))


def choose_position(size, box, other_boxes, occupied, image_size, previous=None):
    """The best free place for a stack of `size` (width, height) at a person's box.

    other_boxes: of the other people; occupied: areas that must stay free; previous: the number of the last frame's
    position, preferred a little.
    -> ((x1, y1, x2, y2), number of the position), or None if there is none
    """
    # The lowest and rightmost corner (x, y) at which the stack is inside the picture.
    corner_limit = np.array(image_size) - size
    if (corner_limit < 0).any():
        return None
    corners = list_corners(size, box, corner_limit)
    rects = np.concatenate([corners, corners + size], axis=1)  # (candidates, 4)
    # (candidates,) bool: shares no pixel with what is occupied.
    free = np.ones(len(rects), bool)
    for area in occupied:
        free &= count_shared_pixels(rects, area) == 0
    if not free.any():
        return None
    # The cheapest free candidate; its place of the last frame gets a bonus, so that labels do not jump.
    cost = compute_position_cost(rects, size, box, other_boxes)
    if previous is not None and previous < len(cost):
        cost[previous] -= UNCHANGED_BONUS
    best = int(np.argmin(np.where(free, cost, np.inf)))
    return tuple(rects[best].tolist()), best


def list_corners(size, box, corner_limit):
    """Candidates for a stack's top left corner, (candidates, 2): inside the box's top first, around it, everywhere."""
    width, height = size
    x1, y1, x2, y2 = (int(v) for v in box)
    at_box = [
        (x1, y1),  # inside, top left
        (x1, y1 - height),  # above, left
        (x2 - width, y1 - height),  # above, right
        (x2 - width, y1),  # inside, top right
        (x1, y2 - height),  # inside, bottom left
        (x1, y2),  # below
        (x2, y1),  # to the right
        (x1 - width, y1),  # to the left
    ]
    # A grid over the picture, in steps of parts of the stack's height, at least 6 pixels.
    columns = slice(0, corner_limit[0] + 1, max(height // 2, 6))
    rows = slice(0, corner_limit[1] + 1, max(height // 4, 6))
    grid = np.mgrid[columns, rows].reshape(2, -1).T
    return np.concatenate([np.clip(at_box, 0, corner_limit), grid])


def compute_position_cost(rects, size, box, other_boxes):
    """The cost of each candidate (candidates, 4): other people that it covers, the person itself, the distance."""
    width, height = size
    x1, y1, x2, y2 = (int(v) for v in box)
    # The share of the stack that lies on other people; overlapping boxes count twice.
    covered = np.zeros(len(rects))
    for other in other_boxes:
        covered = covered + count_shared_pixels(rects, other)
    covered = covered / (width * height)
    # The gaps between stack and box, and a little for a shift from the box's left side; in heights of the stack.
    x, y = rects[:, 0], rects[:, 1]
    gap_x = np.maximum(np.maximum(x1 - width - x, x - x2), 0)
    gap_y = np.maximum(np.maximum(y1 - height - y, y - y2), 0)
    distance = (gap_x + SIDEWAYS_SHARE * abs(x - x1) + gap_y) / height
    cost = covered + DISTANCE_COST * distance
    # The first candidate, inside the box's top, is the best one, unless the stack hides a small person.
    hides_person = width * height > SMALL_PERSON * (x2 - x1) * (y2 - y1)
    cost[0] += COVERS_PERSON_COST if hides_person else -INSIDE_BONUS
    return cost


def count_shared_pixels(boxes, area):
    """How many pixels of each box (...,4) lie inside an area (4,)."""
    boxes = np.asarray(boxes)
    area = np.asarray(area)
    # (...,2): width and height of the intersection; negative where there is none.
    sides = np.minimum(boxes[..., 2:], area[2:]) - np.maximum(boxes[..., :2], area[:2])
    return sides.clip(0).prod(-1)
