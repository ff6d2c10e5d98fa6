"""How boxes and labels look on frames: by their meaning, by person, by model. Colors are (r,g,b), 0..255."""

from dataclasses import dataclass, replace

from avalib.draw.colors import MODEL_COLORS, PERSON_COLORS, get_person_color, parse_hex_color

WHITE = (255, 255, 255)
BLACK = (20, 20, 20)
GRAY = (150, 150, 150)


@dataclass(frozen=True)
class BoxStyle:
    """The look of one person's box and labels. Colors are (r,g,b), 0..255.

    Parameters
    ----------
    line : tuple of int
        Color of the box.
    tags : tuple of colors
        Backgrounds of the labels from the first one down; the last one repeats.
    text : tuple of int
        Color of the labels' text.
    prefix : str
        Text before the first label.
    dashed : bool
        Whether the box's line is dashed.
    thin : bool
        Whether the box's line is one pixel wide.
    """

    line: tuple
    tags: tuple
    text: tuple
    prefix: str = ""
    dashed: bool = False
    thin: bool = False


# Every text has a contrast of at least 4.5 on its background. The green is also much lighter than the blue, for readers
# who confuse the two hues.
BLUE = BoxStyle(
    line=(70, 150, 255),
    tags=((0, 44, 140), (0, 58, 165), (8, 72, 186), (18, 84, 200), (28, 94, 208)),
    text=WHITE,
)
GREEN = BoxStyle(
    line=(90, 225, 110),
    tags=((0, 78, 38), (0, 90, 44), (0, 101, 50), (0, 111, 55), (0, 119, 60)),
    text=WHITE,
)
DASHED_BLUE = replace(BLUE, dashed=True)  # an annotation that lies under a prediction
# A person all of whose scores are below the threshold: a thin gray box, the action with the highest score in gray.
UNSURE = BoxStyle(line=(200, 200, 200), tags=((70, 70, 70),), text=(215, 215, 215), thin=True)
TITLE = BoxStyle(line=BLACK, tags=(BLACK,), text=WHITE)


def list_gif_colors():
    """The colors that a GIF's palette has to keep exactly, each once."""
    colors = [BLUE.line, GREEN.line, *BLUE.tags, *GREEN.tags, WHITE, BLACK]
    colors += [UNSURE.line, *UNSURE.tags, UNSURE.text]
    colors += [parse_hex_color(color) for color in (*PERSON_COLORS, *MODEL_COLORS.values())]
    return list(dict.fromkeys(colors))


def build_person_style(person_id):
    """The style of a person: its own color, black text, and its number before the first label."""
    color = parse_hex_color(get_person_color(person_id))
    return number_style(BoxStyle(line=color, tags=(color,), text=BLACK), person_id)


def number_style(style, person_id):
    """A style with the person's number before the first label."""
    return replace(style, prefix=f"{person_id}: ")


def build_model_style(name):
    """The style of a title with a model's name, in the model's color; TITLE for a name that is not in the zoo."""
    if name not in MODEL_COLORS:
        return TITLE
    color = parse_hex_color(MODEL_COLORS[name])
    red, green, blue = color
    # Brightness by Rec. 601, 0..255: black text on a light title, white text on a dark one.
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return BoxStyle(line=color, tags=(color,), text=BLACK if luma > 100 else WHITE)
