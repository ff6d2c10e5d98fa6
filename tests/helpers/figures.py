"""What figures and pictures show."""

from matplotlib.text import Text


def read_text(figure):
    """All that is written in a matplotlib figure."""
    return " | ".join(text.get_text() for text in figure.findobj(Text))


def has_color(picture, color, at_least=1):
    """Whether a picture (H,W,3) has so many pixels of exactly this color."""
    return (picture == color).all(-1).sum() >= at_least
