"""Colors: legible text, people and meanings that all kinds of eyes tell apart."""

import numpy as np
import pytest

from avalib import draw, zoo
from avalib.draw.box_styles import WHITE, build_model_style, build_person_style, list_gif_colors
from avalib.draw.colors import PERSON_COLORS, parse_hex_color

# Color vision without one kind of cones: Machado et al. 2009.
VISION = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
RGB_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE_POINT = [0.9505, 1, 1.089]


def to_linear(color):
    """sRGB 0..1 -> linear RGB."""
    return np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)


def compute_contrast(a, b):
    """WCAG 2's contrast of two colors (r,g,b), 1..21."""
    low, high = sorted(float(to_linear(np.array(color) / 255) @ [0.2126, 0.7152, 0.0722]) for color in (a, b))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("style", [draw.BLUE, draw.GREEN])
def test_white_text_is_legible_on_every_tag(style):
    assert min(compute_contrast(tag, WHITE) for tag in style.tags) >= 4.5


def test_text_is_legible_in_the_colors_of_people_and_models():
    styles = [build_person_style(i) for i in range(7)] + [build_model_style(name) for name in draw.MODEL_COLORS]
    assert min(compute_contrast(style.tags[0], style.text) for style in styles) >= 4.5


def test_annotated_and_predicted_differ_in_brightness():
    assert compute_contrast(draw.BLUE.line, draw.GREEN.line) > 1.7


@pytest.mark.parametrize("kind", VISION)
def test_people_are_told_apart_by_all_kinds_of_eyes(kind):
    """Distances in CIELAB of the people's colors."""
    colors = np.array([parse_hex_color(color) for color in PERSON_COLORS]) / 255
    as_seen = (to_linear(colors) @ np.transpose(VISION[kind])).clip(0, 1)
    x, y, z = np.cbrt(as_seen @ RGB_TO_XYZ.T / WHITE_POINT).T
    lab = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)
    distances = np.linalg.norm(lab[:, None] - lab[None], axis=-1)[np.triu_indices(len(lab), 1)]
    assert distances.min() > 20


def test_every_model_has_a_color_and_neighbors_in_the_table_have_different_ones():
    assert list(draw.MODEL_COLORS) == zoo.list_models()
    colors = list(draw.MODEL_COLORS.values())
    assert all(len(set(colors[i : i + 8])) == 8 for i in range(len(colors) - 7))


def test_colors_of_people_repeat():
    assert draw.get_person_color(3) == draw.get_person_color(3 + len(PERSON_COLORS))


def test_a_gif_has_room_for_other_colors():
    colors = list_gif_colors()
    assert len(set(colors)) == len(colors) <= 48 - 2
