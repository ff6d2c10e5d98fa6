"""The take: one shot seen by its camera, frame by frame, as a picture and as a mask of who covers which pixel.

Frames are drawn at 640x480 and halved, which smooths the edges.
"""

import numpy as np
from PIL import Image, ImageDraw

from avalib.data.synthetic.backgrounds import PANORAMA, paint_place
from avalib.data.synthetic.motions import smooth
from avalib.data.synthetic.puppet import INDEX, Figure, compute_face, compute_joints, rotate
from avalib.data.synthetic.staging import perform_shot

WIDTH, HEIGHT = 320, 240
_W, _H = 2 * WIDTH, 2 * HEIGHT
FAR_SHRINK = 0.3  # how much smaller people are at depth 1


class Take:
    """A Shot worked out for the times of its frames: draw(i) is a frame, mask(i) who covers which pixel."""

    def __init__(self, shot, times):
        self.shot, self.times = shot, times
        centre, sway, period, follow = shot.pan
        wobble = 0.006 * np.sin(2.1 * times) + 0.004 * np.sin(3.7 * times + 1)
        self.camera = centre + follow * times + sway * np.sin(2 * np.pi * times / period) + wobble
        self.zoom = shot.zoom[0] + (shot.zoom[1] - shot.zoom[0]) * smooth(times / shot.seconds)
        self.tilt = _H / 2 + (shot.foot - 0.45 * shot.size - _H / 2) * (1 - 1 / self.zoom)  # zooms stay on the people
        self.tracks = perform_shot(shot.performers, times)
        self.figures = [self._figure(p, t) for p, t in zip(shot.performers, self.tracks, strict=True)]
        self.props = [self._prop(p, t, j) for p, t, (_, j, _) in self._triples()]
        self.scenery = None  # painted when the first frame is drawn
        self.infront = [self._flat(*thing) for thing in shot.foreground]
        self.order = sorted(range(len(self.figures)), key=lambda i: -shot.performers[i].depth)

    def _triples(self):
        return zip(self.shot.performers, self.tracks, self.figures, strict=True)

    def scale(self, depth):
        """Pixels per body height (T,) at a depth."""
        return self.shot.size * (1 - FAR_SHRINK * depth) * self.zoom

    def project(self, x, y, z, depth):
        """World x, y (away, from the depth's line) and z, each (T,…), to pixels (T,…,2) of the 640x480 stage."""
        tail = (slice(None),) + (None,) * (np.ndim(x) - 1)
        unit = self.shot.size * (1 - FAR_SHRINK * depth)
        foot = self.shot.place.horizon + (self.shot.foot - self.shot.place.horizon) * (1 - 0.42 * depth)
        px = (x - self.camera[tail]) * unit * self.zoom[tail] + _W / 2
        py = (foot - (z + 0.2 * y) * unit - self.tilt[tail]) * self.zoom[tail] + _H / 2
        return np.stack([px, py], -1)

    def _figure(self, performer, track):
        size = performer.character.height
        joints = rotate(compute_joints(track.poses, performer.character.girth), track.yaw) * size
        points = self.project(joints[..., 0] + track.x[:, None], joints[..., 1], joints[..., 2], performer.depth)
        face, crown = (rotate(v, track.yaw) for v in compute_face(track.poses))
        scale = self.scale(performer.depth) * size
        mouth = track.poses[:, INDEX["mouth"]]
        figure = Figure(performer.character, points, -joints[..., 1] / size, scale, face, crown, mouth)
        return figure, joints, points

    def _prop(self, performer, track, joints):
        """Pixels (T,2) of an object's middle, and (T,) whether it is nearer to us than its owner.

        What is not in hand stays where it was let go.
        """
        if performer.prop is None:
            return None
        kind, size, _ = performer.prop
        hands = joints[:, 9:11].mean(axis=1) if kind == "box" else joints[:, 10] - [0, 0, size * 0.8]
        at = hands + np.stack([track.x, 0 * track.x, 0 * track.x], -1)
        changes = np.flatnonzero(np.diff(track.held.astype(int))) + 1
        for a, b in zip([0, *changes], [*changes, len(at)], strict=True):
            if not track.held[a]:
                spot = at[a] if a else at[min(b, len(at) - 1)]
                at[a:b] = [spot[0], spot[1], size / 2]
        return self.project(*at.T, performer.depth), at[:, 1] < -0.03

    def _flat(self, x, depth, shapes):
        """(depth, shapes as pixels over time) of a thing standing at x (a number, or (T,) if it moves)."""
        x = np.broadcast_to(x, self.times.shape)[:, None]
        pixels = []
        for kind, form, colour in shapes:
            form = np.array([form[:2]] if kind == "disc" else form, float)
            spots = self.project(x + form[None, :, 0], 0.0, np.repeat(form[None, :, 1], len(x), 0), depth)
            pixels.append((np.ascontiguousarray(spots, np.float32), colour))
        radii = [form[2] if kind == "disc" else None for kind, form, _ in shapes]
        return -depth, pixels, radii, self.scale(depth)

    def _build(self):
        """Paint the place and prepare light and grain: only what drawing needs."""
        self.scenery = scenery = paint_place(self.shot.place)
        self.behind = sorted((self._flat(*thing) for thing in scenery.things), key=lambda f: f[0])
        self.behind += [self._flat(x + v * self.times, d, s) for x, v, d, s in scenery.moving]
        gain, tint, slope, flicker, period = self.shot.light
        ramp = np.linspace(1 - slope, 1 + slope, WIDTH)[None, :, None]
        self.gain = (gain * ramp * np.array(tint)[None, None]).astype(np.float32)
        self.flicker = 1 + flicker * np.sin(2 * np.pi * self.times / period)
        grain = np.random.default_rng(self.shot.place.seed).standard_normal((2 * HEIGHT, 2 * WIDTH, 3), np.float32)
        self.grain = np.round(grain * self.shot.noise).astype(np.int16)

    def draw(self, i, rng):
        """Frame i (240,320,3) uint8; `rng` makes its noise."""
        if self.scenery is None:
            self._build()
        picture = self._backdrop(i)
        canvas = ImageDraw.Draw(picture)
        for thing in self.behind:
            _draw_flat(canvas, thing, i)
        for k in self.order:
            self._shadow(canvas, k, i)
        for k in self.order:
            self._draw_performer(canvas, k, i)
        for thing in self.infront:
            _draw_flat(canvas, thing, i)
        small = np.asarray(picture.reduce(2))
        level = (self.gain * (128 * self.flicker[i])).astype(np.uint16)  # 255 * level stays below 65536
        lit = ((small * level) >> 7).astype(np.int16)
        y, x = rng.integers(0, HEIGHT), rng.integers(0, WIDTH)
        lit += self.grain[y : y + HEIGHT, x : x + WIDTH]
        return np.clip(lit, 0, 255, out=lit).astype(np.uint8)

    def _backdrop(self, i):
        place, scenery, zoom = self.shot.place, self.scenery, self.zoom[i]
        picture = Image.new("RGB", (_W, _H))
        line = int(round((place.horizon - self.tilt[i]) * zoom + _H / 2))
        for image, rate, top, bottom in ((scenery.far, scenery.far_rate, 0, line), (scenery.ground, 0.85, line, _H)):
            left = (self.camera[i] * self.shot.size * rate) % PANORAMA
            rows = (bottom - top) / zoom
            high = max(image.height - rows, 0) if top == 0 else 0
            if zoom == 1:
                left, high = int(left), int(high)
                strip = image.crop((left, high, left + _W, high + bottom - top))
            else:
                box = (left, high, left + _W / zoom, min(high + rows, image.height))
                strip = image.resize((_W, bottom - top), Image.Resampling.NEAREST, box=box)
            picture.paste(strip, (0, top))
        return picture

    def _shadow(self, canvas, k, i):
        performer, points = self.shot.performers[k], self.figures[k][2]
        left, right = points[i, :, 0].min(), points[i, :, 0].max()
        y = points[i, :, 1].max()
        half = 0.04 * self.scale(performer.depth)[i]
        dark = tuple(int(c * 0.62) for c in self.scenery.ground_colour)
        canvas.ellipse((left - half, y - half, right + half, y + half), fill=dark)

    def _draw_performer(self, canvas, k, i):
        performer, (figure, _, points) = self.shot.performers[k], self.figures[k]
        if points[i, :, 0].max() < -40 or points[i, :, 0].min() > _W + 40:
            return
        if performer.seat:
            self._draw_seat(canvas, performer, points[i], i)
        prop = (lambda: self._draw_prop(canvas, k, i)) if performer.prop else None
        loose = prop is not None and not self.tracks[k].held[i]
        nearer = loose and self.props[k][1][i]
        if loose and not nearer:
            prop()
        figure.draw(canvas, i, None if loose else prop)
        if nearer:
            prop()
        if self.tracks[k].phone[i]:
            hand = min((9, 10), key=lambda h: np.abs(points[i, h] - points[i, 2]).sum())
            x, y, u = *points[i, hand], 0.03 * self.scale(performer.depth)[i]
            canvas.rectangle((x - u, y - 2.2 * u, x + u, y + 1.6 * u), fill=(24, 26, 30), outline=(210, 220, 230))

    def _draw_seat(self, canvas, performer, points, i):
        x, y = points[0]
        unit = self.scale(performer.depth)[i] * performer.character.height
        base, dark = performer.seat, tuple(int(c * 0.55) for c in performer.seat)
        foot = y + 0.27 * unit
        canvas.rectangle((x - 0.16 * unit, y + 0.06 * unit, x + 0.16 * unit, y + 0.11 * unit), fill=base, outline=dark)
        for dx in (-0.14, 0.14):
            canvas.rectangle((x + (dx - 0.02) * unit, y + 0.11 * unit, x + (dx + 0.02) * unit, foot), fill=dark)

    def _draw_prop(self, canvas, k, i):
        performer, (kind, size, colour) = self.shot.performers[k], self.shot.performers[k].prop
        x, y = self.props[k][0][i].tolist()
        half = size / 2 * self.scale(performer.depth)[i]
        dark, light = tuple(int(c * 0.4) for c in colour), tuple(min(255, int(c * 1.2)) for c in colour)
        canvas.rectangle((x - half, y - half, x + half, y + half), fill=colour, outline=dark, width=3)
        if kind == "box":
            top, back = y - half, y - 1.3 * half
            lid = [(x - half, top), (x - 0.7 * half, back), (x + 1.2 * half, back), (x + half, top)]
            canvas.polygon(lid, fill=light, outline=dark)
            canvas.line((x, y - half, x, y + half), fill=dark, width=2)

    def mask(self, i):
        """Who is seen at which pixel of frame i: (480,640) uint8, 0 nobody, k+1 performer k."""
        picture = Image.new("L", (_W, _H))
        canvas = ImageDraw.Draw(picture)
        for k in self.order:
            self.figures[k][0].silhouette(canvas, i, k + 1)
        for thing in self.infront:
            _draw_flat(canvas, thing, i, ink=0)
        return np.asarray(picture)

    def whole(self, k, i):
        """How many pixels performer k would cover in frame i, were nobody in front and the frame without end."""
        picture = Image.new("1", (2 * _W, 2 * _H))
        self.figures[k][0].silhouette(ImageDraw.Draw(picture), i, 1, shift=(_W / 2, _H / 2))
        return int(np.asarray(picture).sum())


def _draw_flat(canvas, thing, i, ink=None):
    _, pixels, radii, scale = thing
    for (spots, colour), radius in zip(pixels, radii, strict=True):
        fill = colour if ink is None else ink
        if radius is None:
            canvas.polygon(spots[i], fill=fill)
        else:
            (x, y), r = spots[i, 0], radius * scale[i]
            canvas.ellipse((x - r, y - r, x + r, y + r), fill=fill)
