"""
The run as it goes, redrawn ten times a second on a terminal.

Looks at the board and writes nothing to it. The drawing is done by a task of the
event loop, not by a thread. Needs the package `rich`.
"""

from collections import deque
from typing import TYPE_CHECKING, Final, TextIO

import anyio
import attrs

from ._rows import Board, Row, Status

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_INTERVAL: Final = 0.1  # seconds
_RATE_WINDOW: Final = 2.0  # seconds; a shorter one jumps, a longer one hides a stall
_MOST_DOTS: Final = 200  # with more items than that a bar says more than dots

_SENTIMENT_COLOURS: Final = {"positive": "green", "negative": "red", "mixed": "yellow"}


@attrs.define(eq=False)
class TokenRate:
    """How many tokens a second arrive, over the last two seconds."""

    _samples: deque[tuple[float, int]] = attrs.field(factory=deque, init=False)

    def sample(self, now: float, tokens: int) -> float:
        """Take the count at *now*, a time in seconds, and return the rate up to then."""
        self._samples.append((now, tokens))
        # Keeps one sample from before the window, to measure all of it.
        while len(self._samples) > 2 and self._samples[1][0] <= now - _RATE_WINDOW:
            self._samples.popleft()
        then, fewer = self._samples[0]
        return (tokens - fewer) / (now - then) if now > then else 0.0


async def show_progress(board: Board, file: TextIO) -> None:
    """Draw the state of *board* on the terminal *file* until cancelled, then wipe it off."""
    from rich.console import Console
    from rich.live import Live

    console = Console(file=file, highlight=False)
    rate = TokenRate()
    began = anyio.current_time()
    # No refreshing by a thread: it would draw while a task is changing the rows.
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            now = anyio.current_time()
            live.update(
                draw(board, seconds=now - began, rate=rate.sample(now, board.tokens)),
                refresh=True,
            )
            await anyio.sleep(_INTERVAL)


def draw(board: Board, *, seconds: float, rate: float) -> "RenderableType":
    """Return the picture of one moment: a dot for each item, and the figures.

    Args:
        board: the rows.
        seconds: since the run began.
        rate: tokens a second.
    """
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    counts = board.count()
    picture: RenderableType
    if len(board.rows) <= _MOST_DOTS:
        picture = Text.assemble(*map(_dot, board.rows))
    else:
        settled = counts[Status.DONE] + counts[Status.FAILED]
        # In a grid, because a bar does not end its line.
        picture = Table.grid()
        picture.add_row(ProgressBar(total=len(board.rows), completed=settled, width=60))
    return Group(picture, _figures(board, seconds, rate))


def _dot(row: Row) -> tuple[str, str]:
    match row.status:
        case Status.WAITING:
            return "·", "dim"
        case Status.IN_FLIGHT:
            # Half full once the first of its replies is there.
            return ("◐" if row.calls else "○"), "cyan"
        case Status.DONE:
            return "●", _SENTIMENT_COLOURS.get(row.sentiment or "", "")
        case Status.FAILED | Status.CANCELLED:
            return "✗", "bold red"


def _figures(board: Board, seconds: float, rate: float) -> "Text":
    from rich.text import Text

    counts = board.count()
    failed = counts[Status.FAILED]
    return Text.assemble(
        (f"{counts[Status.IN_FLIGHT]:>3} in flight", "cyan"),
        "  ",
        (f"{counts[Status.DONE]:>3} done", "green"),
        "  ",
        (f"{failed:>3} failed", "bold red" if failed else "dim"),
        "  ",
        (f"{board.open_calls:>3} replies open", "cyan"),
        f"  {board.tokens:>6,} tokens  {rate:>6,.0f} tokens/s  ",
        (f"{seconds:.1f} s", "dim"),
    )
