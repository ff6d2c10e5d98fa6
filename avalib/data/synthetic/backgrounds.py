"""Places: wide textured panoramas, a far wall and a ground that move at different rates, and things that stand there.

Pictures are painted at twice the size of the video. Colors are muted, so that people stand out.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from avalib.data.synthetic.characters import convert_hsv, scale_color
from avalib.data.synthetic.things import Thing, build_shapes, draw_muted_color

PANORAMA_WIDTH = 1536  # pixels after which the panorama repeats
PAINTED_WIDTH = PANORAMA_WIDTH + 900  # a little further, so that no crop has to wrap
FAR_HEIGHT = 400
GROUND_BOTTOM = 560  # pixels down the stage; the ground is painted from the horizon to here
N_BRICK_SHADES = 24
SKY_COLORS = [(170, 202, 228), (206, 214, 220), (226, 206, 190)]
CAR_DEPTH = 1.35
N_CARS = 3


@dataclass(frozen=True)
class Place:
    """One of PLACE_KINDS, its looks following from `seed`; `horizon` in pixels down the 640x480 stage."""

    kind: str
    horizon: int
    seed: int


@dataclass(frozen=True)
class Scenery:
    """A painted Place."""

    far: Image.Image  # ends at the horizon
    ground: Image.Image
    far_rate: float  # how fast the far picture moves, as a part of the camera's movement
    ground_color: tuple
    things: tuple[Thing, ...]  # what stands behind the people
    moving_things: tuple[Thing, ...]  # what passes behind them


def paint_place(place):
    """The Scenery of a Place."""
    rng = np.random.default_rng(place.seed)
    far = Image.new("RGB", (PAINTED_WIDTH, FAR_HEIGHT))
    _FAR_PAINTERS[place.kind](rng, far, ImageDraw.Draw(far))
    ground, ground_color = _paint_ground(rng, place.kind, GROUND_BOTTOM - place.horizon)
    return Scenery(
        far=far,
        ground=ground,
        far_rate=FAR_RATES[place.kind],
        ground_color=ground_color,
        things=tuple(_place_things(rng, place.kind)),
        moving_things=tuple(_place_cars(rng)) if place.kind == "street" else (),
    )


def _place_things(rng, kind):
    """Things behind the people, about one body height apart."""
    # Five spots, some of which stay empty.
    spots = np.arange(-2.4, 2.5, 1.2) + rng.uniform(-0.4, 0.4, 5)
    things = []
    for x in spots:
        if rng.random() < 0.6:
            depth = rng.uniform(1.15, 1.4)
            things.append(Thing(x, depth, build_shapes(rng, rng.choice(BACKGROUND_THINGS[kind]))))
    return things


def _place_cars(rng):
    """Cars that all drive in the same direction."""
    direction = rng.choice([-1, 1])
    cars = []
    for _ in range(N_CARS):
        start_x = direction * rng.uniform(-9, 1)
        speed = direction * rng.uniform(1.2, 2.4)
        cars.append(Thing(start_x, CAR_DEPTH, build_shapes(rng, "car"), speed))
    return cars


def _build_clouds(rng, height, cell, low, high):
    """Smooth random texture (height, PANORAMA_WIDTH) float32 between `low` and `high` that wraps at its sides."""
    # One random number per cell; the first column once more at the end, so that the sides fit.
    n_rows = height // cell + 2
    n_columns = max(2, PANORAMA_WIDTH // cell)
    cells = rng.random((n_rows, n_columns)).astype(np.float32)
    cells = np.concatenate([cells, cells[:, :1]], axis=1)
    size = (PANORAMA_WIDTH + PANORAMA_WIDTH // n_columns, n_rows * cell)
    texture = Image.fromarray(cells).resize(size, Image.Resampling.BILINEAR)
    return np.float32(low) + np.float32(high - low) * np.asarray(texture)[:height, :PANORAMA_WIDTH]


def _build_surface(rng, height, color, contrast, cell, row_factors=None):
    """Pixels (height, PAINTED_WIDTH, 3) of one color with soft blotches and grain; `row_factors` (height,) shade it."""
    brightness = _build_clouds(rng, height, cell, 1 - contrast, 1 + contrast)
    brightness *= _build_clouds(rng, height, 4, 1 - contrast / 2, 1 + contrast / 2)
    if row_factors is not None:
        brightness *= row_factors[:, None].astype(np.float32)
    panorama = np.empty((height, PANORAMA_WIDTH, 3), np.uint8)
    # One channel at a time needs a third of the memory.
    for channel in range(3):
        panorama[..., channel] = np.minimum(brightness * np.float32(color[channel]), 255)
    return _extend(panorama)


def _extend(panorama):
    """(H, PANORAMA_WIDTH, 3) continued from its beginning to (H, PAINTED_WIDTH, 3)."""
    return np.concatenate([panorama, panorama[:, : PAINTED_WIDTH - PANORAMA_WIDTH]], axis=1)


def _paint_indoors(rng, far, draw):
    """A wall with a pattern, windows, pictures and doors."""
    color = draw_muted_color(rng, 0.6, 0.9)
    accent = draw_muted_color(rng, 0.35, 0.7)
    pattern = rng.integers(4)  # stripes, dots, panels or none
    step = int(rng.choice([48, 64, 96]))
    far.paste(Image.fromarray(_build_surface(rng, FAR_HEIGHT, color, 0.06, 90)))
    for x in range(0, PAINTED_WIDTH, step):
        if pattern == 0:
            draw.rectangle((x, 0, x + step // 3, FAR_HEIGHT), fill=scale_color(color, 0.93))
        elif pattern == 1:
            for y in range(int(x / step) % 2 * step // 2, FAR_HEIGHT, step):
                draw.ellipse((x, y, x + 10, y + 10), fill=scale_color(color, 0.88))
        elif pattern == 2:
            draw.line((x, FAR_HEIGHT // 2, x, FAR_HEIGHT), fill=scale_color(color, 0.85), width=3)
    openings = [(x, rng.integers(3), draw_muted_color(rng, 0.4, 0.95)) for x in range(60, PANORAMA_WIDTH - 150, 260)]
    heights = rng.integers(90, 190, len(openings))
    # Everything is drawn twice, a period apart, so that the panorama wraps.
    for shift in (0, PANORAMA_WIDTH):
        for (x, kind, shade), height in zip(openings, heights, strict=True):
            _draw_opening(draw, x + shift, int(height), kind, shade, accent)
    draw.rectangle((0, FAR_HEIGHT - 14, PAINTED_WIDTH, FAR_HEIGHT), fill=scale_color(accent, 0.6))


def _draw_opening(draw, x, height, kind, shade, accent):
    """Draw a window, a picture, or a door."""
    if kind == 0:
        draw.rectangle((x, 60, x + 130, 60 + height), fill=(188, 214, 232), outline=(245, 245, 240), width=9)
        draw.line((x + 65, 60, x + 65, 60 + height), fill=(245, 245, 240), width=6)
    elif kind == 1:
        draw.rectangle((x, 90, x + 90, 90 + height // 2), fill=shade, outline=(84, 62, 40), width=6)
    else:
        draw.rectangle((x, FAR_HEIGHT - 270, x + 120, FAR_HEIGHT), fill=accent, outline=(70, 60, 56), width=4)


@dataclass(frozen=True)
class _House:
    x: int
    width: int
    top: int
    color: tuple
    window_step: int


def _paint_street(rng, far, draw):
    """A row of houses before the sky."""
    far.paste(Image.fromarray(_build_surface(rng, FAR_HEIGHT, (168, 194, 216), 0.05, 160)))
    houses = []
    x = 0
    while x < PANORAMA_WIDTH:
        # The last house ends where the panorama repeats.
        width = min(int(rng.integers(150, 320)), PANORAMA_WIDTH - x)
        top = int(rng.integers(10, 130))
        houses.append(_House(x, width, top, draw_muted_color(rng, 0.45, 0.8), int(rng.integers(38, 62))))
        x += width
    for shift in (0, PANORAMA_WIDTH):
        for house in houses:
            _draw_house(draw, house, house.x + shift)


def _draw_house(draw, house, x):
    outline = scale_color(house.color, 0.6)
    draw.rectangle((x, house.top, x + house.width, FAR_HEIGHT), fill=house.color, outline=outline, width=3)
    size = house.window_step // 2
    for window_x in range(x + 16, x + house.width - 30, house.window_step):
        for window_y in range(house.top + 18, FAR_HEIGHT - 50, house.window_step + 8):
            draw.rectangle((window_x, window_y, window_x + size, window_y + size + 6), fill=(96, 108, 122))


def _paint_field(rng, far, draw):
    """Two ridges of hills before a cloudy sky."""
    # The sky's color, whiter where clouds are: (H,W,1) shares of white.
    sky = SKY_COLORS[rng.integers(len(SKY_COLORS))]
    clouds = _build_clouds(rng, FAR_HEIGHT, 110, -0.6, 1.2).clip(0, 0.5)[..., None]
    panorama = (np.array(sky, np.float32) * (1 - clouds) + 246 * clouds).astype(np.uint8)
    far.paste(Image.fromarray(_extend(panorama)))
    x = np.arange(PAINTED_WIDTH)
    for level, brightness in ((0.55, 0.62), (0.75, 0.5)):
        green = convert_hsv(rng.uniform(0.22, 0.4), 0.28, brightness)
        # Whole numbers of waves per panorama, so that it wraps.
        ridge_y = FAR_HEIGHT * level + 34 * np.sin(
            2 * np.pi * rng.integers(2, 5) * x / PANORAMA_WIDTH + rng.uniform(0, 6)
        )
        ridge_y += 12 * np.sin(2 * np.pi * rng.integers(7, 13) * x / PANORAMA_WIDTH)
        ridge = zip(x[::8].tolist(), ridge_y[::8].tolist(), strict=True)
        draw.polygon([(0, FAR_HEIGHT), *ridge, (PAINTED_WIDTH, FAR_HEIGHT)], fill=green)


def _paint_gym(rng, far, draw):
    """A brick wall with a painted band."""
    brick = draw_muted_color(rng, 0.55, 0.8)
    mortar = draw_muted_color(rng, 0.6, 0.85)
    far.paste(Image.fromarray(_build_surface(rng, FAR_HEIGHT, mortar, 0.05, 70)))
    # Few shades of brick, distributed so that neighbors differ.
    shades = [scale_color(brick, factor) for factor in rng.uniform(0.86, 1.05, N_BRICK_SHADES)]
    for row, y in enumerate(range(0, FAR_HEIGHT, 24)):
        for column, x in enumerate(range(-(row % 2) * 32, PAINTED_WIDTH, 64)):
            shade = shades[(row * 7 + column % N_BRICK_SHADES * 5) % N_BRICK_SHADES]
            draw.rectangle((x, y, x + 60, y + 21), fill=shade)
    draw.rectangle((0, 150, PAINTED_WIDTH, 190), fill=draw_muted_color(rng, 0.4, 0.8))


def _paint_ground(rng, kind, height):
    """(picture, RGB color) of the ground, from the horizon down."""
    color = _draw_ground_colors(rng)[kind]
    contrast, cell = (0.2, 26) if kind == "field" else (0.09, 60)
    row_factors = np.linspace(0.8, 1.06, height)
    ground = Image.fromarray(_build_surface(rng, height, color, contrast, cell, row_factors=row_factors))
    if kind == "field":
        return ground, color
    # Boards, slabs or painted lines, closer together far away.
    draw = ImageDraw.Draw(ground)
    dark = scale_color(color, 0.72)
    for index in range(7):
        y = int(height * (index / 7) ** 1.6)
        draw.line((0, y, PAINTED_WIDTH, y), fill=dark, width=2)
    for x in range(0, PAINTED_WIDTH, 96 if kind == "indoors" else 192):
        draw.line((x, 0, x - 60, height), fill=dark, width=2)
    return ground, color


def _draw_ground_colors(rng):
    """{kind of place: RGB}; all are drawn, so that the random numbers that follow are the same for all kinds."""
    return {
        "indoors": convert_hsv(rng.uniform(0.03, 0.13), rng.uniform(0.1, 0.4), rng.uniform(0.45, 0.75)),
        "street": convert_hsv(0.6, 0.04, rng.uniform(0.45, 0.7)),
        "field": convert_hsv(rng.uniform(0.2, 0.33), rng.uniform(0.25, 0.42), rng.uniform(0.45, 0.65)),
        "gym": convert_hsv(rng.uniform(0.06, 0.6), rng.uniform(0.1, 0.3), rng.uniform(0.5, 0.75)),
    }


_FAR_PAINTERS = {"indoors": _paint_indoors, "street": _paint_street, "field": _paint_field, "gym": _paint_gym}
PLACE_KINDS = tuple(_FAR_PAINTERS)
FAR_RATES = {"indoors": 0.62, "gym": 0.62, "street": 0.45, "field": 0.25}
BACKGROUND_THINGS = {
    "indoors": ("sofa", "shelf", "lamp", "plant"),
    "street": ("lamp", "tree", "fence"),
    "field": ("tree", "tree", "fence"),
    "gym": ("table", "shelf"),
}
FOREGROUND_THINGS = {
    "indoors": ("table", "plant"),
    "street": ("fence", "plant"),
    "field": ("fence", "plant"),
    "gym": ("table",),
}
