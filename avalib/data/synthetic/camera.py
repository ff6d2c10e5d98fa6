"""The camera: one shot, frame by frame, as a picture and as a mask of who covers which pixel.

Frames are drawn on a stage of 640x480 pixels and halved, which smooths the edges.
"""

import numpy as np
from PIL import Image, ImageDraw

from avalib.data.synthetic.backgrounds import PANORAMA_WIDTH, paint_place
from avalib.data.synthetic.characters import scale_color
from avalib.data.synthetic.figure import Figure
from avalib.data.synthetic.motions import smooth
from avalib.data.synthetic.puppet import FIELD_INDEX, JOINT_INDEX, compute_face, compute_joints, rotate
from avalib.data.synthetic.stage_objects import (
    HANDS,
    Appearance,
    FlatShape,
    FlatThing,
    PropPath,
    draw_phone,
    draw_prop,
    draw_seat,
    draw_thing,
)
from avalib.data.synthetic.staging import perform_shot
from avalib.data.synthetic.things import Disc

WIDTH, HEIGHT = 320, 240  # of the video
STAGE_WIDTH, STAGE_HEIGHT = 2 * WIDTH, 2 * HEIGHT
FAR_SHRINK = 0.3  # how much smaller people are at depth 1
DEPTH_RISE = 0.42  # how much of the way to the horizon the ground has risen at depth 1
TILTED_VIEW = 0.2  # how much y (away from the viewer) moves a point up, as a part of z
GROUND_RATE = 0.85  # how fast the ground moves, as a part of the camera's movement
MARGIN_PX = 40  # people further outside of the picture are not drawn
RIGHT_HAND = JOINT_INDEX["right_hand"]


class Take:
    """A Shot, prepared for the times of its frames.

    Parameters
    ----------
    shot : Shot
    times_s : ndarray (T,)
        Of the frames, from the shot's start.

    Attributes
    ----------
    tracks : list of Track
        One per performer.
    draw_order : list of int
        The performers' indices, from far to near.
    """

    def __init__(self, shot, times_s):
        self.shot = shot
        self.times_s = times_s
        self.camera_x = _compute_camera_x(shot.pan, times_s)  # (T,) body heights
        zoom_start, zoom_end = shot.zoom
        self.zoom = zoom_start + (zoom_end - zoom_start) * smooth(times_s / shot.duration)
        # The stage's y (T,) that is in the middle of the picture: zooms stay on the people.
        people_y = shot.foot_y - 0.45 * shot.size
        self.middle_y = STAGE_HEIGHT / 2 + (people_y - STAGE_HEIGHT / 2) * (1 - 1 / self.zoom)

        self.tracks = perform_shot(shot.performers, times_s)
        self.appearances = [
            self._prepare_performer(performer, track)
            for performer, track in zip(shot.performers, self.tracks, strict=True)
        ]
        self.foreground = [self._prepare_thing(thing) for thing in shot.foreground]
        self.draw_order = sorted(range(len(self.tracks)), key=lambda index: -shot.performers[index].depth)
        self.scenery = None  # painted when the first frame is drawn

    def compute_scale(self, depth):
        """Pixels per body height (T,) at a depth."""
        return self.shot.size * (1 - FAR_SHRINK * depth) * self.zoom

    def project(self, x, y, z, depth):
        """World points, each coordinate (T,…), as stage pixels (T,…,2); y is away from the line of `depth`."""
        expand = (slice(None),) + (None,) * (np.ndim(x) - 1)  # (T,) -> (T,1,…), as many dimensions as x
        scale = self.shot.size * (1 - FAR_SHRINK * depth)
        horizon = self.shot.place.horizon
        foot_y = horizon + (self.shot.foot_y - horizon) * (1 - DEPTH_RISE * depth)
        stage_x = (x - self.camera_x[expand]) * scale * self.zoom[expand] + STAGE_WIDTH / 2
        stage_y = foot_y - (z + TILTED_VIEW * y) * scale - self.middle_y[expand]
        return np.stack([stage_x, stage_y * self.zoom[expand] + STAGE_HEIGHT / 2], -1)

    def _prepare_performer(self, performer, track):
        """The Appearance of a performer."""
        height = performer.character.height
        joints = rotate(compute_joints(track.poses, performer.character.girth), track.yaw) * height  # (T,19,3)
        points = self.project(joints[..., 0] + track.x[:, None], joints[..., 1], joints[..., 2], performer.depth)
        face, crown = (rotate(vectors, track.yaw) for vectors in compute_face(track.poses))
        scale = self.compute_scale(performer.depth)
        figure = Figure(
            character=performer.character,
            points=points,
            nearness=-joints[..., 1] / height,
            scale=scale * height,
            face=face,
            crown=crown,
            mouth=track.poses[:, FIELD_INDEX["mouth"]],
        )
        prop_path = self._prepare_prop(performer, track, joints) if performer.prop else None
        return Appearance(performer, track, figure, points, scale, prop_path)

    def _prepare_prop(self, performer, track, joints):
        """The PropPath of what a performer carries; what is not in hand stays where it was let go."""
        size = performer.prop.size
        if performer.prop.kind == "box":
            positions = joints[:, HANDS].mean(axis=1)  # (T,3) between the hands
        else:
            positions = joints[:, RIGHT_HAND] - [0, 0, size * 0.8]
        positions = positions + np.stack([track.x, 0 * track.x, 0 * track.x], -1)
        # Between two changes of hand the prop is either carried or on the ground.
        n_frames = len(positions)
        changes = np.flatnonzero(np.diff(track.is_holding.astype(int))) + 1
        for start, end in zip([0, *changes], [*changes, n_frames], strict=True):
            if not track.is_holding[start]:
                # It lies where it is let go, or, at the start of a shot, where it will be picked up.
                spot = positions[start] if start else positions[min(end, n_frames - 1)]
                positions[start:end] = [spot[0], spot[1], size / 2]
        is_in_front = positions[:, 1] < -0.03
        return PropPath(self.project(*positions.T, performer.depth), is_in_front)

    def _prepare_thing(self, thing):
        """The FlatThing of a thing that stands or moves."""
        x = thing.x
        if thing.speed:
            x = thing.x + thing.speed * self.times_s
        x = np.broadcast_to(x, self.times_s.shape)[:, None]
        scale = self.compute_scale(thing.depth)
        shapes = []
        for shape in thing.shapes:
            is_disc = isinstance(shape, Disc)
            corners = np.array([(shape.x, shape.z)] if is_disc else shape.points, float)  # (N,2)
            z = np.repeat(corners[None, :, 1], len(x), 0)
            points = self.project(x + corners[None, :, 0], 0.0, z, thing.depth)  # (T,N,2)
            radii = shape.radius * scale if is_disc else None
            shapes.append(FlatShape(np.ascontiguousarray(points, np.float32), radii, shape.color))
        return FlatThing(thing.depth, shapes)

    def _prepare_scenery(self):
        """Paint the place and prepare light and grain: what only drawing needs."""
        shot = self.shot
        self.scenery = paint_place(shot.place)
        self.background = [self._prepare_thing(thing) for thing in self.scenery.things]
        self.background.sort(key=lambda thing: -thing.depth)
        self.background += [self._prepare_thing(thing) for thing in self.scenery.moving_things]
        # Brightness from left to right and by channel (1,W,3), and over time (T,).
        ramp = np.linspace(1 - shot.light.slope, 1 + shot.light.slope, WIDTH)[None, :, None]
        self.gain = (shot.light.gain * ramp * np.array(shot.light.tint)[None, None]).astype(np.float32)
        self.flicker = 1 + shot.light.flicker * np.sin(2 * np.pi * self.times_s / shot.light.flicker_period_s)
        # Noise of which every frame shows another part.
        grain_rng = np.random.default_rng(shot.place.seed)
        grain = grain_rng.standard_normal((2 * HEIGHT, 2 * WIDTH, 3), np.float32)
        self.grain = np.round(grain * shot.noise).astype(np.int16)

    def draw_frame(self, frame, rng):
        """The pixels (240,320,3) uint8 of a frame; `rng` makes its noise."""
        if self.scenery is None:
            self._prepare_scenery()
        picture = self._draw_backdrop(frame)
        canvas = ImageDraw.Draw(picture)
        for thing in self.background:
            draw_thing(canvas, thing, frame)
        for index in self.draw_order:
            self._draw_shadow(canvas, self.appearances[index], frame)
        for index in self.draw_order:
            self._draw_performer(canvas, self.appearances[index], frame)
        for thing in self.foreground:
            draw_thing(canvas, thing, frame)

        # Fixed-point light: 255 * level stays below 65536.
        small = np.asarray(picture.reduce(2))
        level = (self.gain * (128 * self.flicker[frame])).astype(np.uint16)
        pixels = ((small * level) >> 7).astype(np.int16)
        y = rng.integers(0, HEIGHT)
        x = rng.integers(0, WIDTH)
        pixels += self.grain[y : y + HEIGHT, x : x + WIDTH]
        return np.clip(pixels, 0, 255, out=pixels).astype(np.uint8)

    def _draw_backdrop(self, frame):
        """A new picture with the far wall above the horizon and the ground below it."""
        scenery = self.scenery
        zoom = self.zoom[frame]
        picture = Image.new("RGB", (STAGE_WIDTH, STAGE_HEIGHT))
        horizon_y = int(round((self.shot.place.horizon - self.middle_y[frame]) * zoom + STAGE_HEIGHT / 2))
        far = self._crop(scenery.far, scenery.far_rate, frame, horizon_y, aligned_at_bottom=True)
        ground = self._crop(scenery.ground, GROUND_RATE, frame, STAGE_HEIGHT - horizon_y, aligned_at_bottom=False)
        picture.paste(far, (0, 0))
        picture.paste(ground, (0, horizon_y))
        return picture

    def _crop(self, panorama, rate, frame, height, aligned_at_bottom):
        """The part of a panorama that fills the stage's width and `height` pixels."""
        zoom = self.zoom[frame]
        left = (self.camera_x[frame] * self.shot.size * rate) % PANORAMA_WIDTH
        n_rows = height / zoom
        top = max(panorama.height - n_rows, 0) if aligned_at_bottom else 0
        if zoom == 1:
            left = int(left)
            top = int(top)
            return panorama.crop((left, top, left + STAGE_WIDTH, top + height))
        box = (left, top, left + STAGE_WIDTH / zoom, min(top + n_rows, panorama.height))
        return panorama.resize((STAGE_WIDTH, height), Image.Resampling.NEAREST, box=box)

    def _draw_shadow(self, canvas, appearance, frame):
        points = appearance.points[frame]
        # An ellipse as wide as the person, at the lowest joint.
        left = points[:, 0].min()
        right = points[:, 0].max()
        y = points[:, 1].max()
        half_height = 0.04 * appearance.scale[frame]
        box = (left - half_height, y - half_height, right + half_height, y + half_height)
        canvas.ellipse(box, fill=scale_color(self.scenery.ground_color, 0.62))

    def _draw_performer(self, canvas, appearance, frame):
        points = appearance.points[frame]
        if points[:, 0].max() < -MARGIN_PX or points[:, 0].min() > STAGE_WIDTH + MARGIN_PX:
            return
        if appearance.performer.seat_color:
            draw_seat(canvas, appearance, frame)

        def draw_own_prop():
            draw_prop(canvas, appearance, frame)

        # A prop in hand is drawn between the body's parts, a loose one before or after the whole body.
        has_prop = appearance.performer.prop is not None
        is_loose = has_prop and not appearance.track.is_holding[frame]
        is_in_front = is_loose and appearance.prop_path.is_in_front[frame]
        if is_loose and not is_in_front:
            draw_own_prop()
        appearance.figure.draw(canvas, frame, draw_own_prop if has_prop and not is_loose else None)
        if is_in_front:
            draw_own_prop()
        if appearance.track.has_phone[frame]:
            draw_phone(canvas, points, appearance.scale[frame])

    def draw_mask(self, frame):
        """Who is visible at which pixel of a frame: (480,640) uint8, 0 nobody, k+1 performer k."""
        picture = Image.new("L", (STAGE_WIDTH, STAGE_HEIGHT))
        canvas = ImageDraw.Draw(picture)
        for index in self.draw_order:
            self.appearances[index].figure.draw_silhouette(canvas, frame, index + 1)
        for thing in self.foreground:
            draw_thing(canvas, thing, frame, ink=0)
        return np.asarray(picture)

    def count_body_pixels(self, index, frame):
        """How many pixels a performer would cover in a frame of unlimited size with nobody in front."""
        picture = Image.new("1", (2 * STAGE_WIDTH, 2 * STAGE_HEIGHT))
        shift = (STAGE_WIDTH / 2, STAGE_HEIGHT / 2)
        self.appearances[index].figure.draw_silhouette(ImageDraw.Draw(picture), frame, 1, shift=shift)
        return int(np.asarray(picture).sum())


def _compute_camera_x(pan, times_s):
    """Where the camera looks, (T,) body heights: it follows, sways, and is held by hand."""
    hand_wobble = 0.006 * np.sin(2.1 * times_s) + 0.004 * np.sin(3.7 * times_s + 1)
    sway = pan.sway * np.sin(2 * np.pi * times_s / pan.period_s)
    return pan.center + pan.speed * times_s + sway + hand_wobble
