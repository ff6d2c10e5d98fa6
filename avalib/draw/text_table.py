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
        Behind the point of the floats of a column of floats; if all of them are whole, none.
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
        for tag in ("td", "th"):
            html = html.replace(f"<{tag}>", f'<{tag} style="text-align:left">')
        return html


def _format_column(column, digits):
    """The values of a column as texts."""
    values = column.tolist()
    if not pd.api.types.is_float_dtype(column):
        return [_format_value(value) for value in values]
    is_whole = all(value.is_integer() for value in values if not pd.isna(value))
    return [_format_value(value, 0 if is_whole else digits) for value in values]


def _format_value(value, digits=None):
    """A value as text; digits: of a float, None: as it is."""
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return ""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, numbers.Integral):
        return f"{value:,}" if abs(value) >= SEPARATOR_FROM else str(value)
    return str(value) if digits is None else f"{value:.{digits}f}"
