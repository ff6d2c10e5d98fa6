"""Tables for notebooks: texts in full and aligned left, numbers rounded, nothing where nothing is."""

import numbers

import pandas as pd

SEPARATOR_FROM = 10_000  # whole numbers have thousands separators from here on: not years, nor AVA's seconds


class TextTable:
    """A table as a notebook should show it; without row numbers.

    Parameters
    ----------
    table : DataFrame
    digits : int
        Behind the point of floats; a column of whole numbers has none.
    """

    def __init__(self, table: pd.DataFrame, digits: int = 3):
        # texts from here on: pandas itself would show None, NaN and <NA>
        self.table = pd.DataFrame({column: _format_column(table[column], digits) for column in table})

    def __repr__(self):
        return self.table.to_string(index=False)

    def _repr_html_(self):
        with pd.option_context("display.max_colwidth", None):
            html = self.table.to_html(index=False, border=0, justify="left")
        # in each cell, as pages of notebooks drop style sheets
        return html.replace("<td>", '<td style="text-align:left">')


def _format_column(column, digits):
    """The values of a column as texts."""
    values = column.tolist()
    floats = [value for value in values if isinstance(value, float) and not pd.isna(value)]
    if all(value.is_integer() for value in floats):
        digits = 0
    return [_format_value(value, digits) for value in values]


def _format_value(value, digits):
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return ""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, numbers.Integral):
        return f"{value:,}" if abs(value) >= SEPARATOR_FROM else str(value)
    return f"{value:.{digits}f}" if isinstance(value, numbers.Real) else str(value)
