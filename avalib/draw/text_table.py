"""Tables of texts for notebooks: aligned left, no text cut."""

import pandas as pd


class TextTable:
    """A table as a notebook should show it: texts aligned left and in full, numbers rounded, no row numbers.

    Parameters
    ----------
    table : DataFrame
    digits : int
        Behind the point of its floats.
    """

    def __init__(self, table: pd.DataFrame, digits: int = 3):
        self.table = table
        self._options = {"index": False, "float_format": f"{{:.{digits}f}}".format, "na_rep": ""}

    def __repr__(self):
        return self.table.to_string(**self._options)

    def _repr_html_(self):
        with pd.option_context("display.max_colwidth", None):
            html = self.table.to_html(border=0, justify="left", **self._options)
        # in each cell, as pages of notebooks drop style sheets
        return html.replace("<td>", '<td style="text-align:left">')
