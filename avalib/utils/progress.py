"""Progress bars: in a terminal tqdm's own, in a notebook a line of text whose last state stays in the saved file."""

import builtins
import io
import uuid
from collections.abc import Iterable

from tqdm.std import tqdm

MIN_INTERVAL_S = 0.5  # between two updates of a notebook
COLUMNS = 100  # of a bar in a notebook, in letters


class NotebookBar(tqdm):
    """A bar as one line of text below a cell.

    tqdm's own bar for notebooks is a widget: a saved notebook shows it at 0 %, wherever no kernel runs.
    """

    def __init__(self, *args: object, **options: object):
        self._display_id = None  # none before the first line is shown
        defaults = {"file": io.StringIO(), "ascii": False, "ncols": COLUMNS, "mininterval": MIN_INTERVAL_S}
        super().__init__(*args, **(defaults | options))

    @staticmethod
    def status_printer(file):
        """Nothing is printed: `display` shows the line."""
        return lambda text: None

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Show the bar, or `msg` in its place."""
        data = {"text/plain": str(self) if msg is None else msg}
        is_shown = self._display_id is not None
        self._display_id = self._display_id or uuid.uuid4().hex
        publisher = builtins.get_ipython().display_pub
        publisher.publish(data, {}, transient={"display_id": self._display_id}, update=is_shown)


def show_progress(iterable: Iterable | None = None, **options: object) -> tqdm:
    """A progress bar that suits the place where the code runs; parameters as those of `tqdm.tqdm`."""
    bar = NotebookBar if _is_in_notebook() else tqdm
    return bar(iterable, **options)


def _is_in_notebook():
    """Whether a Jupyter kernel runs this. IPython puts `get_ipython` among Python's builtins."""
    get_shell = getattr(builtins, "get_ipython", None)
    return getattr(get_shell and get_shell(), "kernel", None) is not None
