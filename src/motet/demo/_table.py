"""
The rows as a table, for people: in colour for a terminal, plain for everything else.

Knows columns, widths and colours; every cell is text of unknown origin, so it is
cleaned of whatever a terminal would obey. Colours need the package `rich`.
"""

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import attrs

from ._rows import Board, Row, Status

if TYPE_CHECKING:
    from rich.console import RenderableType

_ELLIPSIS: Final = "…"
_GAP: Final = "  "


@attrs.frozen
class _Column:
    """A column of the table.

    Attributes:
        least: a column that may be cut is never narrower than this; 0 if it may not.
    """

    title: str
    least: int = 0
    right: bool = False


_COLUMNS: Final = (
    _Column("id", least=4),
    _Column("sentiment"),
    _Column("summary", least=16),
    _Column("main complaint", least=14),
    _Column("urgency"),
    _Column("seconds", right=True),
    _Column("error", least=12),
)
_SENTIMENT_STYLES: Final = {"positive": "green", "negative": "red", "mixed": "yellow"}
_URGENCY_STYLES: Final = {"high": "bold red", "medium": "yellow", "low": "dim"}


def plain_table(board: Board, width: int) -> str:
    """Return the table as lines of at most *width* columns, if that is possible at all."""
    grid = [_cells(row) for row in board.rows]
    widths = _fit(grid, width - len(_GAP) * (len(_COLUMNS) - 1))
    rule = tuple("-" * width for width in widths)
    titles = tuple(column.title for column in _COLUMNS)
    return "\n".join(_line(cells, widths) for cells in (titles, rule, *grid))


def rich_table(board: Board, width: int) -> "RenderableType":
    """Return the same table with colours."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    grid = [_cells(row) for row in board.rows]
    widths = _fit(grid, width - len(_GAP) * (len(_COLUMNS) - 1))
    # A blank of the box and one of padding are the gap between two columns.
    table = Table(
        box=box.SIMPLE_HEAD,
        header_style="bold",
        show_edge=False,
        pad_edge=False,
        padding=(0, len(_GAP) - 1, 0, 0),
    )
    for column, column_width in zip(_COLUMNS, widths, strict=True):
        table.add_column(
            column.title,
            width=column_width,
            no_wrap=True,
            justify="right" if column.right else "left",
        )
    for row, cells in zip(board.rows, grid, strict=True):
        # Text, not str: brackets in a cell are no markup.
        texts: list[Text] = [
            Text(_cut(cell, column_width), style=style, no_wrap=True)
            for cell, column_width, style in zip(cells, widths, _styles(row), strict=True)
        ]
        table.add_row(*texts)
    return table


def clean(text: str) -> str:
    """Return *text* on one line and without control characters.

    What customers and models write is shown on a terminal, which must not obey it.
    """
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _cells(row: Row) -> tuple[str, ...]:
    return (
        clean(row.item.id),
        row.sentiment or "",
        clean(row.summary or ""),
        clean(row.main_complaint or ""),
        row.urgency or "",
        "" if row.seconds is None else f"{row.seconds:.2f}",
        clean(row.error or ""),
    )


def _styles(row: Row) -> tuple[str, ...]:
    return (
        "red" if row.status is Status.FAILED else "cyan",
        _SENTIMENT_STYLES.get(row.sentiment or "", ""),
        "",
        "",
        _URGENCY_STYLES.get(row.urgency or "", ""),
        "dim",
        "dim" if row.status is Status.CANCELLED else "red",
    )


def _fit(grid: Sequence[Sequence[str]], room: int) -> list[int]:
    """Return a width for each column, so that all of them take *room* or little more.

    Each has what it needs. Where that is too much, the widest of those that may be cut
    give way.
    """
    widths = [
        max(_width(text) for text in (column.title, *(cells[at] for cells in grid)))
        for at, column in enumerate(_COLUMNS)
    ]
    flexible = [at for at, column in enumerate(_COLUMNS) if column.least]
    for at in flexible:
        widths[at] = min(widths[at], max(room, _COLUMNS[at].least))
    while sum(widths) > room:
        yielding = [at for at in flexible if widths[at] > _COLUMNS[at].least]
        if not yielding:
            break
        widths[max(yielding, key=widths.__getitem__)] -= 1
    return widths


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    parts = []
    for column, cell, width in zip(_COLUMNS, cells, widths, strict=True):
        text = _cut(cell, width)
        blank = " " * (width - _width(text))
        parts.append(blank + text if column.right else text + blank)
    return _GAP.join(parts).rstrip()


def _cut(text: str, width: int) -> str:
    if _width(text) <= width:
        return text
    kept = ""
    taken = _width(_ELLIPSIS)
    for character in text:
        taken += _width(character)
        if taken > width:
            break
        kept += character
    return kept.rstrip() + _ELLIPSIS


def _width(text: str) -> int:
    """Return how many columns of a terminal *text* takes."""
    if text.isascii():
        return len(text)
    return sum(map(_character_width, text))


def _character_width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
