"""What stands on the stage, prepared over the T frames of a shot, and drawing it: things, seats, props and phones."""

from dataclasses import dataclass

import numpy as np

from avalib.data.synthetic.characters import scale_color
from avalib.data.synthetic.figure import Figure
from avalib.data.synthetic.puppet import HEAD, JOINT_INDEX, PELVIS
from avalib.data.synthetic.staging import Performer, Track

HANDS = [JOINT_INDEX["left_hand"], JOINT_INDEX["right_hand"]]


@dataclass(frozen=True)
class PropPath:
    """A prop over the T frames of a shot."""

    points: np.ndarray  # (T,2) its middle, in stage pixels
    is_in_front: np.ndarray  # (T,) bool: nearer to the viewer than its owner


@dataclass(frozen=True)
class Appearance:
    """A performer, prepared for drawing."""

    performer: Performer
    track: Track
    figure: Figure
    points: np.ndarray  # (T,19,2) joints, in stage pixels
    scale: np.ndarray  # (T,) pixels per body height at the performer's depth
    prop_path: PropPath | None


@dataclass(frozen=True)
class FlatShape:
    """A shape of a thing over the T frames of a shot."""

    points: np.ndarray  # (T,N,2) float32 corners, or (T,1,2) the center of a disc, in stage pixels
    radii: np.ndarray | None  # (T,) of a disc, in stage pixels
    color: tuple


@dataclass(frozen=True)
class FlatThing:
    depth: float
    shapes: list[FlatShape]


def draw_thing(canvas, thing, frame, ink=None):
    """Draw the shapes of a thing in their colors, or all with one ink."""
    for shape in thing.shapes:
        fill = shape.color if ink is None else ink
        if shape.radii is None:
            canvas.polygon(shape.points[frame], fill=fill)
        else:
            x, y = shape.points[frame, 0]
            radius = shape.radii[frame]
            canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def draw_seat(canvas, appearance, frame):
    """Draw a chair under a performer: a board and two legs."""
    # The seat is under the pelvis.
    x, y = appearance.points[frame, PELVIS]
    unit = appearance.scale[frame] * appearance.performer.character.height
    color = appearance.performer.seat_color
    dark = scale_color(color, 0.55)
    board = (x - 0.16 * unit, y + 0.06 * unit, x + 0.16 * unit, y + 0.11 * unit)
    canvas.rectangle(board, fill=color, outline=dark)
    for offset in (-0.14, 0.14):
        leg = (x + (offset - 0.02) * unit, y + 0.11 * unit, x + (offset + 0.02) * unit, y + 0.27 * unit)
        canvas.rectangle(leg, fill=dark)


def draw_prop(canvas, appearance, frame):
    """Draw a bag, or a box with its lid."""
    prop = appearance.performer.prop
    # A square around the prop's middle.
    x, y = appearance.prop_path.points[frame].tolist()
    half = prop.size / 2 * appearance.scale[frame]
    dark = scale_color(prop.color, 0.4)
    canvas.rectangle((x - half, y - half, x + half, y + half), fill=prop.color, outline=dark, width=3)
    if prop.kind == "box":
        # The lid is a parallelogram, seen from above.
        top = y - half
        back = y - 1.3 * half
        lid = [(x - half, top), (x - 0.7 * half, back), (x + 1.2 * half, back), (x + half, top)]
        canvas.polygon(lid, fill=scale_color(prop.color, 1.2), outline=dark)
        canvas.line((x, y - half, x, y + half), fill=dark, width=2)


def draw_phone(canvas, points, scale):
    """Draw a phone in the hand that is nearer to the head; points: joints (19,2), scale: pixels per body height."""
    # Distance on the screen, along x and y.
    hand = min(HANDS, key=lambda joint: np.abs(points[joint] - points[HEAD]).sum())
    x, y = points[hand]
    unit = 0.03 * scale
    box = (x - unit, y - 2.2 * unit, x + unit, y + 1.6 * unit)
    canvas.rectangle(box, fill=(24, 26, 30), outline=(210, 220, 230))
