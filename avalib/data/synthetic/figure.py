"""Figures: a character's joints on the screen, drawn as capsules, ellipses and a skirt, from far to near."""

from dataclasses import dataclass

import numpy as np

from avalib.data.synthetic.characters import scale_color
from avalib.data.synthetic.puppet import CHEST, HEAD, HEAD_RADIUS, JOINT_INDEX, PELVIS

OUTLINE = 0.011  # width of the dark rim, in body heights
MIN_SHADED_RADIUS = 0.037  # hands and shoes are too small to shade
LIGHT_OFFSET = np.array([-0.3, -0.3])  # the light comes from above, left
MIN_DRAWN_RADIUS_PX = 0.4
HALF_CIRCLE = np.radians(np.linspace(-90, 90, 6))  # angles of a capsule's round end
SKIRT_OUTLINE_FACTOR = 0.35
MOUTH_COLOR = (120, 24, 30)
EYE_COLOR = (16, 16, 22)
ALWAYS_VISIBLE = -9.0  # below any value of "how much it faces the viewer"


@dataclass(frozen=True)
class Capsule:
    """A tapered limb between two joints; radii in body heights, `color` a part of Character.get_color."""

    group: str  # what is drawn together
    start: str
    end: str
    start_radius: float
    end_radius: float
    color: str


CAPSULES = (
    Capsule("right_leg", "right_hip", "right_knee", 0.062, 0.047, "thigh"),
    Capsule("right_leg", "right_knee", "right_ankle", 0.046, 0.034, "shin"),
    Capsule("right_leg", "right_ankle", "right_toe", 0.036, 0.026, "shoe"),
    Capsule("left_leg", "left_hip", "left_knee", 0.062, 0.047, "thigh"),
    Capsule("left_leg", "left_knee", "left_ankle", 0.046, 0.034, "shin"),
    Capsule("left_leg", "left_ankle", "left_toe", 0.036, 0.026, "shoe"),
    Capsule("torso", "left_hip", "right_hip", 0.066, 0.066, "hip"),
    Capsule("torso", "pelvis", "chest", 0.080, 0.088, "shirt"),
    Capsule("torso", "left_shoulder", "right_shoulder", 0.056, 0.056, "shirt"),
    Capsule("right_arm", "right_shoulder", "right_elbow", 0.046, 0.038, "shirt"),
    Capsule("right_arm", "right_elbow", "right_wrist", 0.037, 0.030, "sleeve"),
    Capsule("right_arm", "right_wrist", "right_hand", 0.034, 0.030, "skin"),
    Capsule("left_arm", "left_shoulder", "left_elbow", 0.046, 0.038, "shirt"),
    Capsule("left_arm", "left_elbow", "left_wrist", 0.037, 0.030, "sleeve"),
    Capsule("left_arm", "left_wrist", "left_hand", 0.034, 0.030, "skin"),
)
GROUPS = ("right_leg", "left_leg", "torso", "right_arm", "left_arm", "head", "prop")

_GROUP_CAPSULES = {
    group: [index for index, capsule in enumerate(CAPSULES) if capsule.group == group] for group in GROUPS
}
_START_JOINTS = np.array([JOINT_INDEX[capsule.start] for capsule in CAPSULES])
_END_JOINTS = np.array([JOINT_INDEX[capsule.end] for capsule in CAPSULES])
_START_RADII = np.array([capsule.start_radius for capsule in CAPSULES])
_END_RADII = np.array([capsule.end_radius for capsule in CAPSULES])
_SHADED = {
    index
    for index, capsule in enumerate(CAPSULES)
    if capsule.start_radius >= MIN_SHADED_RADIUS and capsule.color != "hip"
}


@dataclass(frozen=True)
class CapsuleColors:
    """The RGB colors of one capsule."""

    rim: tuple
    fill: tuple
    light: tuple


class Figure:
    """A character's drawing over the T frames of a shot.

    Parameters
    ----------
    character : Character
    points : ndarray (T,19,2)
        Joints on the screen, in pixels.
    nearness : ndarray (T,19)
        How near the joints are to the viewer, in body heights.
    scale : ndarray (T,)
        Pixels per body height.
    face, crown : ndarray (T,3)
        Unit vectors out of the face and up out of the head, in the world.
    mouth : ndarray (T,)
        How far the mouth is open, 0..1.
    """

    def __init__(self, character, points, nearness, scale, face, crown, mouth):
        self.character = character
        start = points[:, _START_JOINTS]  # (T,P,2) for P capsules
        end = points[:, _END_JOINTS]
        size = scale[:, None] * character.girth  # (T,1) pixels per body height across limbs
        rim = scale[:, None] * OUTLINE
        self.fills = _build_capsule_outlines(start, end, size * _START_RADII, size * _END_RADII)
        self.rims = _build_capsule_outlines(start, end, size * _START_RADII + rim, size * _END_RADII + rim)

        # Highlights are half as thick and moved towards the light by a part of the limb's radius.
        light_shift = size[..., None] * LIGHT_OFFSET  # (T,1,2)
        self.lights = _build_capsule_outlines(
            start + light_shift * _START_RADII[:, None],
            end + light_shift * _END_RADII[:, None],
            size * _START_RADII * 0.5,
            size * _END_RADII * 0.5,
        )
        self.skirt = _build_skirt_outlines(points, size[:, 0]) if character.legwear == "skirt" else None
        self.skirt_outline_color = scale_color(character.trousers, SKIRT_OUTLINE_FACTOR)
        self.colors = []
        for capsule in CAPSULES:
            color = character.get_color(capsule.color)
            self.colors.append(CapsuleColors(scale_color(color, 0.28), color, scale_color(color, 1.22)))
        self.draw_order = _sort_groups(nearness)
        self.head = _Head(points[:, HEAD], scale * HEAD_RADIUS, face, crown, mouth)

    def draw(self, canvas, frame, draw_prop=None):
        """Draw a frame on a PIL ImageDraw; `draw_prop()` is called where a held object belongs in depth."""
        for group in self.draw_order[frame]:
            if group == "head":
                self.head.draw(canvas, frame, self.character)
            elif group == "prop":
                if draw_prop:
                    draw_prop()
            else:
                self._draw_group(canvas, frame, group)

    def _draw_group(self, canvas, frame, group):
        # All rims come first, so that capsules of one group merge into one shape.
        for index in _GROUP_CAPSULES[group]:
            canvas.polygon(self.rims[frame, index], fill=self.colors[index].rim)
        for index in _GROUP_CAPSULES[group]:
            canvas.polygon(self.fills[frame, index], fill=self.colors[index].fill)
            if index in _SHADED:
                canvas.polygon(self.lights[frame, index], fill=self.colors[index].light)
        if self.skirt is not None and group == "torso":
            canvas.polygon(self.skirt[frame], fill=self.character.trousers, outline=self.skirt_outline_color)

    def draw_silhouette(self, canvas, frame, ink, shift=(0, 0)):
        """Fill everything that the person covers in a frame with one ink (for masks)."""
        shift = np.array(shift, np.float32)
        for outline in self.rims[frame]:
            canvas.polygon(outline + shift, fill=ink)
        x, y, radius_x, radius_y = self.head.skull[frame]
        _draw_ellipse(canvas, (x + shift[0], y + shift[1], radius_x, radius_y), ink)
        if self.skirt is not None:
            canvas.polygon(self.skirt[frame] + shift, fill=ink)


class _Head:
    """The ellipses of a head over T frames; each is a list of T (x, y, radius_x, radius_y), radius 0: not drawn."""

    def __init__(self, center, radius, face, crown, mouth):
        self.center = center  # (T,2) pixels
        self.radius = radius  # (T,) pixels
        side = np.cross(crown, face)
        # How much of the face is turned to the viewer (T,): its disc becomes narrower as the head turns away.
        face_width = np.sqrt(np.clip(1 - 1.2 * face[:, 1], 0, 1))
        self.skull = self._build_ellipses(crown * 0.16 - face * 0.1, 1.04)
        self.face = self._build_ellipses(face * 0.26 - crown * 0.14, 0.93 * face_width)
        self.nose = self._build_ellipses(face - crown * 0.1, 0.17, min_facing=-0.45)
        self.eyes = [
            self._build_ellipses(face * 0.88 + sign * side * 0.42 + crown * 0.1, 0.13, min_facing=0.1)
            for sign in (1, -1)
        ]
        self.mouth = self._build_ellipses(face * 0.85 - crown * 0.48, 0.24, 0.06 + 0.3 * mouth, min_facing=0.0)
        self.long_hair = self._build_ellipses(-face * 0.35 - crown * 0.45, 0.85)
        self.cap_brim = self._build_ellipses(face * 0.8 + crown * 0.42, 0.55, 0.18, min_facing=-0.6)

    def _build_ellipses(self, direction, radius_x, radius_y=None, min_facing=ALWAYS_VISIBLE):
        """Ellipses centered `direction` (T,3) off the head's center, in head radii; `radius_y` None: circles.

        They are drawn where the direction's part towards the viewer is above `min_facing`.
        """
        # World x and z become screen x and (downwards) y; world y points away from the viewer.
        center = self.center + (direction[:, [0, 2]] * [1, -1]) * self.radius[:, None]
        is_visible = -direction[:, 1] > min_facing
        radii_x = np.where(is_visible, radius_x * self.radius, 0)
        radii_y = radii_x
        if radius_y is not None:
            radii_y = np.where(radii_x > 0, radius_y * self.radius, 0)
        return np.stack([*center.T, radii_x, radii_y], 1).tolist()

    def draw(self, canvas, frame, character):
        dark_hair = scale_color(character.hair, 0.35)
        has_cap = character.haircut == "cap"
        if character.haircut == "long":
            _draw_ellipse(canvas, self.long_hair[frame], character.hair, dark_hair)
        _draw_ellipse(canvas, self.skull[frame], character.trousers if has_cap else character.hair, dark_hair)
        _draw_ellipse(canvas, self.face[frame], character.skin, scale_color(character.skin, 0.45))
        _draw_ellipse(canvas, self.nose[frame], scale_color(character.skin, 0.86))
        _draw_ellipse(canvas, self.mouth[frame], MOUTH_COLOR)
        for eye in self.eyes:
            _draw_ellipse(canvas, eye[frame], EYE_COLOR)
        if has_cap:
            _draw_ellipse(canvas, self.cap_brim[frame], character.trousers, dark_hair)


def _build_capsule_outlines(start, end, start_radii, end_radii):
    """Outlines (T,P,12,2) float32 of tapered capsules between points (T,P,2) with radii (T,P), all in pixels."""
    # The capsule's direction (T,P,1), then the angles (T,P,6) of the points on its two round ends.
    angle = np.arctan2(end[..., 1] - start[..., 1], end[..., 0] - start[..., 0])[..., None]
    end_angles = angle + HALF_CIRCLE
    start_angles = angle + np.pi + HALF_CIRCLE
    end_arc = end[..., None, :] + end_radii[..., None, None] * np.stack([np.cos(end_angles), np.sin(end_angles)], -1)
    start_arc = start[..., None, :] + start_radii[..., None, None] * np.stack(
        [np.cos(start_angles), np.sin(start_angles)], -1
    )
    return np.ascontiguousarray(np.concatenate([end_arc, start_arc], axis=2), np.float32)


def _build_skirt_outlines(points, size):
    """Outlines (T,8,2) float32 of a skirt: round the hips, straight down to a hem above the knees.

    points: joints (T,19,2) in pixels; size: (T,) pixels per body height.
    """
    knees = points[:, [JOINT_INDEX["left_knee"], JOINT_INDEX["right_knee"]]]
    pelvis = points[:, PELVIS]
    hem = pelvis * 0.3 + knees.mean(axis=1) * 0.7
    # Unit vectors (T,2) from the pelvis to the hem, and across.
    down = hem - pelvis
    down /= np.maximum(np.linalg.norm(down, axis=1), 1)[:, None]
    across = np.stack([-down[:, 1], down[:, 0]], -1)
    # The hem is wider where the knees are apart.
    knee_distance = np.abs(((knees[:, 0] - knees[:, 1]) * across).sum(axis=1))
    half_width = size * 0.1 + 0.35 * knee_distance
    # The upper half of a capsule (6 points) is the waist.
    waist = _build_capsule_outlines(pelvis[:, None], hem[:, None], size[:, None] * 0.086, size[:, None] * 0.01)[
        :, 0, 6:
    ]
    corners = [hem - across * half_width[:, None], hem + across * half_width[:, None]]
    return np.ascontiguousarray(np.concatenate([waist, np.stack(corners, 1)], axis=1), np.float32)


def _sort_groups(nearness):
    """GROUPS from far to near, one list per frame; small biases keep shirts over trousers. nearness: (T,19)."""
    trunk = nearness[:, [PELVIS, CHEST]].mean(axis=1)
    keys = {
        "right_leg": nearness[:, JOINT_INDEX["right_knee"]] - trunk - 0.12,
        "left_leg": nearness[:, JOINT_INDEX["left_knee"]] - trunk - 0.12,
        "torso": 0 * trunk,
    }
    for side in ("right", "left"):
        arm_joints = [JOINT_INDEX[f"{side}_elbow"], JOINT_INDEX[f"{side}_wrist"]]
        keys[f"{side}_arm"] = nearness[:, arm_joints].mean(axis=1) - trunk + 0.04
    hands = [JOINT_INDEX["left_hand"], JOINT_INDEX["right_hand"]]
    keys["head"] = np.maximum(nearness[:, HEAD] - trunk, 0) + 0.03
    keys["prop"] = nearness[:, hands].mean(axis=1) - trunk + 0.06
    order = np.argsort(np.stack([keys[group] for group in GROUPS], axis=1), axis=1, kind="stable")  # (T,7)
    return [[GROUPS[index] for index in of_frame] for of_frame in order.tolist()]


def _draw_ellipse(canvas, ellipse, fill, outline=None):
    x, y, radius_x, radius_y = ellipse
    if radius_x > MIN_DRAWN_RADIUS_PX:
        box = (x - radius_x, y - radius_y, x + radius_x, y + radius_y)
        canvas.ellipse(box, fill=fill, outline=outline, width=2)
