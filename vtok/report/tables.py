"""Tables of text that fit the terminal and never cut a number.

In: columns and rows of strings. Out: one `rich` text, plain where it is printed plain. One column
gives way where the terminal is too narrow; all others are as wide as what they hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len
from rich.text import Text

from vtok.report.printable import shorten

GUTTER = "  "
MIN_SHRUNK = 8


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        name: Its heading.
        align: Numbers stand right, words left.
        style: How its cells look where there are colours.
        shrinks: Whether it gives way on a narrow terminal, and what its cells then lose: paths
            their middle, sentences their end.
    """

    name: str
    align: Literal["left", "right"] = "right"
    style: str = ""
    shrinks: Literal["", "middle", "end"] = ""


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    *,
    totals: Sequence[str] = (),
    width: int | None = None,
) -> Text:
    """Return a table with a heading, a rule, the rows, and a row of totals under another rule.

    Args:
        columns: At most one of them shrinks.
        rows: One string per column each; a row of one string is a remark across all columns.
        totals: One string per column, or none at all.
        width: Columns of the terminal; None for as wide as need be.
    """
    full = [row for row in (*rows, totals) if len(row) == len(columns)]
    widths = [
        max(cell_len(column.name), *(cell_len(row[i]) for row in full), 0)
        for i, column in enumerate(columns)
    ]
    _shrink(columns, widths, width)
    text = Text()
    _line(text, columns, widths, [column.name for column in columns], heading=True)
    rule = GUTTER.join("─" * each for each in widths)
    text.append(rule + "\n", "dim")
    for row in rows:
        if len(row) == len(columns):
            _line(text, columns, widths, row)
        else:
            text.append(row[0] + "\n", "dim")
    if totals:
        text.append(rule + "\n", "dim")
        _line(text, columns, widths, totals, heading=True)
    return text


def _shrink(columns: Sequence[Column], widths: list[int], width: int | None) -> None:
    """Narrow the column that gives way until the table fits, down to a few characters."""
    if width is None:
        return
    excess = sum(widths) + len(GUTTER) * (len(widths) - 1) - width
    for i, column in enumerate(columns):
        if column.shrinks and excess > 0:
            widths[i] = max(min(widths[i], MIN_SHRUNK), widths[i] - excess)
            return


def _line(
    text: Text,
    columns: Sequence[Column],
    widths: Sequence[int],
    cells: Sequence[str],
    *,
    heading: bool = False,
) -> None:
    line = Text()
    for column, width, cell in zip(columns, widths, cells, strict=True):
        shown = (
            shorten(cell, width, keep_end=column.shrinks == "middle") if column.shrinks else cell
        )
        space = " " * (width - cell_len(shown))
        padded = space + shown if column.align == "right" else shown + space
        line.append(GUTTER if len(line) else "")
        line.append(padded, "bold" if heading else column.style)
    line.rstrip()
    text.append_text(line).append("\n")
