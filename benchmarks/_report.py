"""
From samples to what is printed: tables of figures and verdicts against the targets.

This module knows how to lay out a table and nothing of what is in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import attrs

from benchmarks._bench import Samples

Cells = tuple[str, ...]

VERDICTS: Final = {True: "met", False: "MISSED", None: "not measured"}


@attrs.frozen
class Verdict:
    """One target of `TARGETS` in `README.md`, and what became of it."""

    measure: str
    case: str
    loop: str
    figure: str
    target: str
    met: bool | None


@attrs.define
class Table:
    """Figures under headings; the first two columns are text."""

    title: str
    headings: Cells
    rows: list[Cells] = attrs.field(factory=list)

    def render(self) -> str:
        """The table as lines of text."""
        return "\n".join([self.title, *_lay_out(self.headings, self.rows), ""])


@attrs.define
class Report:
    """What one measurement gives back."""

    measure: str
    tables: list[Table] = attrs.field(factory=list)
    verdicts: list[Verdict] = attrs.field(factory=list)
    samples: dict[str, Samples] = attrs.field(factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Everything that was measured, for a program."""
        return {
            "measure": self.measure,
            "verdicts": [attrs.asdict(verdict) for verdict in self.verdicts],
            "samples": {
                case: [
                    {"contender": key.contender, "loop": key.loop, "samples": taken}
                    for key, taken in samples.taken.items()
                ]
                + [
                    {"contender": key.contender, "loop": key.loop, "failed": reason}
                    for key, reason in samples.failed.items()
                ]
                for case, samples in self.samples.items()
            },
        }


@attrs.frozen
class Column:
    """One figure of a sample and how it is shown."""

    name: str  # in the sample
    heading: str
    scale: float = 1.0
    digits: int = 1


def samples_table(
    title: str, samples: Samples, columns: Sequence[Column], *, compared: Column
) -> Table:
    """A row per contender and loop: *compared* in full, least, median and ratio; the rest least.

    Rows come sorted by the compared figure, loop by loop, so that the order of the
    field can be read off.
    """
    table = Table(
        title,
        (
            "loop",
            "client",
            f"{compared.heading}, least",
            "median",
            "x bare",
            *(column.heading for column in columns),
        ),
    )
    for loop in dict.fromkeys(key.loop for key in samples.taken):
        keys = [key for key in samples.taken if key.loop == loop]
        for key in sorted(keys, key=lambda key: samples.best(key, compared.name)):
            ratio = samples.ratio(key, compared.name)
            table.rows.append(
                (
                    loop,
                    key.contender,
                    _show(samples.best(key, compared.name), compared),
                    _show(samples.median(key, compared.name), compared),
                    "" if ratio is None else f"{ratio:.2f}",
                    *(_show(samples.best(key, column.name), column) for column in columns),
                )
            )
    for key, reason in samples.failed.items():
        table.rows.append((key.loop, key.contender, f"failed: {reason[:70]}"))
    return table


def verdict_table(verdicts: Sequence[Verdict]) -> Table:
    """All verdicts of a run."""
    table = Table("Targets", ("id", "case", "loop", "measured", "target", "verdict"))
    table.rows.extend(
        (v.measure, v.case, v.loop, v.figure, v.target, VERDICTS[v.met]) for v in verdicts
    )
    return table


def _show(figure: float, column: Column) -> str:
    return f"{figure * column.scale:,.{column.digits}f}"


def _lay_out(headings: Cells, rows: Sequence[Cells]) -> list[str]:
    # A row may be shorter than the table: its last cell then runs on.
    widths = [
        max(len(row[i]) for row in [headings, *rows] if len(row) > i and _is_cell(row, i, headings))
        for i in range(len(headings))
    ]
    rule = "  ".join("-" * width for width in widths)
    return [_line(headings, widths), rule, *(_line(row, widths) for row in rows)]


def _is_cell(row: Cells, i: int, headings: Cells) -> bool:
    return len(row) == len(headings) or i < len(row) - 1


def _line(row: Cells, widths: Sequence[int]) -> str:
    cells = []
    for i, cell in enumerate(row):
        numeric = cell[:1].isdigit()
        cells.append(cell.rjust(widths[i]) if numeric else cell.ljust(widths[i]))
    return "  ".join(cells).rstrip()
