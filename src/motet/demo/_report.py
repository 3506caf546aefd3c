"""
What is said in the end: one JSON record a row, and the few lines under the table.

Text only: where it is printed is the business of `_outlets`.
"""

import json

from ._rows import Board, Row, Status
from ._table import clean


def json_line(row: Row, *, ascii_only: bool = False) -> str:
    """Return everything about a row as a JSON object on one line, without its line end.

    Times are in seconds. What is not known is null, and ``error`` is null where all
    went well.
    """
    record = {
        "id": row.item.id,
        "status": row.status.value,
        "sentiment": row.sentiment,
        "summary": row.summary,
        "main_complaint": row.main_complaint,
        "positive_aspect": row.positive_aspect,
        "urgency": row.urgency,
        "seconds": None if row.seconds is None else round(row.seconds, 3),
        "calls": {
            name: {"seconds": round(call.seconds, 3), "tokens": call.tokens}
            for name, call in row.calls.items()
        },
        "error": row.error,
    }
    return json.dumps(record, ensure_ascii=ascii_only)


def comparison(board: Board) -> str:
    """Return the line that compares what the models worked with what the caller waited."""
    calls = board.calls
    model_time = sum(call.seconds for call in calls)
    wall = board.wall_seconds
    line = f"{_plural(len(calls), 'call')}, {model_time:.1f} s of model time in {wall:.1f} s of wall time"
    if calls and wall > 0:
        at_once = model_time / wall
        line += f": {at_once:.{0 if at_once >= 10 else 1}f} at once on average"
    return line


def troubles(board: Board, *, most: int = 10) -> list[str]:
    """Return lines that give the errors in full, each once, with the rows that have it.

    Args:
        board: the rows.
        most: how many different errors are named before the rest is only counted.
    """
    cancelled = board.count()[Status.CANCELLED]
    by_error: dict[str, list[str]] = {}
    for row in board.rows:
        if row.status is Status.FAILED:
            by_error.setdefault(clean(row.error or ""), []).append(clean(row.item.id))
    failed = sum(map(len, by_error.values()))
    lines = []
    if failed:
        lines.append(f"{failed} of {_plural(len(board.rows), 'item')} failed:")
        for error, ids in list(by_error.items())[:most]:
            lines.append(f"  {_enumerate(ids)}: {error}")
        if len(by_error) > most:
            lines.append(f"  ... and {len(by_error) - most} other errors")
    if cancelled:
        lines.append(f"{cancelled} of {_plural(len(board.rows), 'item')} cancelled")
    return lines


def _enumerate(ids: list[str], most: int = 4) -> str:
    if len(ids) <= most:
        return ", ".join(ids)
    return ", ".join(ids[: most - 1]) + f" and {len(ids) - most + 1} more"


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
