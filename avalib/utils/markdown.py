"""Markdown tables, and pages whose generated parts are between two marks."""

from pathlib import Path
from typing import TYPE_CHECKING

from avalib.utils.errors import AvalibError
from avalib.utils.files import write_text

if TYPE_CHECKING:
    import pandas as pd


class PageError(AvalibError, ValueError):
    """A page of the documentation has no place for a generated part."""


def render_table(frame: "pd.DataFrame") -> str:
    """Render a table of numbers and short texts.

    Parameters
    ----------
    frame : DataFrame
        Missing values become empty cells; the index is left out.

    Returns
    -------
    str
        Markdown, without a line break at the end.
    """
    import pandas as pd

    lines = [list(frame.columns), ["---"] * len(frame.columns)]
    lines += [["" if pd.isna(value) else str(value) for value in row] for row in frame.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def split_at_marks(page: str | Path, mark: str) -> tuple[str, str, str]:
    """Split a page at the lines `<!-- mark -->` and `<!-- /mark -->`.

    Returns
    -------
    (str, str, str)
        The text before the first line, between the two, and after the second.

    Raises
    ------
    PageError
        A mark is missing, or the page.
    """
    begin_mark, end_mark = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
    # a missing page has no marks either
    text = Path(page).read_text(encoding="utf-8") if Path(page).exists() else ""
    before, begin, rest = text.partition(begin_mark)
    between, end, after = rest.partition(end_mark)
    if not begin or not end:
        raise PageError(
            f"{page} ({len(text):,} characters): no line {(end_mark if begin else begin_mark).strip()}, so no place "
            f"for the tables. Add it, or restore the file: git checkout {page}"
        )
    return before, between, after


def replace_between_marks(page: str | Path, mark: str, content: str) -> Path:
    """Replace the content of a page between two marks, see `split_at_marks`; returns its path."""
    before, _, after = split_at_marks(page, mark)
    return write_text(Path(page), f"{before}<!-- {mark} -->\n{content}\n<!-- /{mark} -->{after}")
