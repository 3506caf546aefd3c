"""
Where the results go: a table for people, or JSON lines for programs.

An outlet is told once what is going to happen, follows the board while it fills, and
is asked at the end for whatever is missing. It knows terminals, pipes and encodings;
it does not know sessions.
"""

import shutil
from typing import Final, Protocol, TextIO

import anyio
import anyio.to_thread
import attrs

from ._report import comparison, json_line, troubles
from ._rows import Board
from ._table import plain_table, rich_table

# A file has no width. Long enough for whole sentences, short enough for an editor.
_WIDTH_OF_FILES: Final = 150

_RICH_HINT: Final = "(for colours and live progress: pip install 'motet[cli]')"


class Outlet(Protocol):
    """Shows a run to whoever started it."""

    def announce(self, remark: str) -> None:
        """Say *remark* before the run."""

    async def draw(self, board: Board) -> None:
        """Draw the progress, where that is possible, until cancelled."""

    async def write(self, board: Board) -> None:
        """Print what can be printed while *board* fills.

        Raises:
            OSError: they cannot be written; `BrokenPipeError` if nobody reads any more.
        """

    def finish(self, board: Board) -> None:
        """Show what is not shown yet; every row is settled.

        Raises:
            OSError: they cannot be written; `BrokenPipeError` if nobody reads any more.
        """


@attrs.frozen
class TableOutlet:
    """Prints a table at the end, and on a terminal the progress before it."""

    out: TextIO
    err: TextIO

    def announce(self, remark: str) -> None:
        """Print *remark* above everything."""
        print(remark, file=self.out, flush=True)

    async def draw(self, board: Board) -> None:
        """Draw on standard output if it is a terminal."""
        if self.out.isatty():
            await _draw(board, self.out)

    async def write(self, board: Board) -> None:
        """Print nothing: a table needs all rows for its widths."""

    def finish(self, board: Board) -> None:
        """Print the table and the lines under it."""
        if self.out.isatty() and _has_rich():
            self._finish_in_colour(board)
        else:
            self._finish_plainly(board)

    def _finish_plainly(self, board: Board) -> None:
        lines = [plain_table(board, _width()), "", *troubles(board), comparison(board)]
        print("\n".join(lines), file=self.out, flush=True)
        if self.out.isatty():
            print(_RICH_HINT, file=self.err)

    def _finish_in_colour(self, board: Board) -> None:
        from rich.console import Console
        from rich.text import Text

        console = Console(file=self.out, width=_width(), highlight=False)
        console.print(rich_table(board, console.width))
        console.print()
        for line in troubles(board):
            console.print(Text(line, style="red"), soft_wrap=True)
        console.print(Text(comparison(board), style="bold"), soft_wrap=True)


@attrs.define(eq=False)
class JsonOutlet:
    """Prints one JSON object a row, in the order of the items, each as soon as it can be.

    Nothing else goes to *out*. Remarks and progress go to *err*, and only if that is a
    terminal on which the lines do not appear as well.
    """

    out: TextIO
    err: TextIO
    _written: int = attrs.field(default=0, init=False)

    def announce(self, remark: str) -> None:
        """Print *remark* where it does not disturb."""
        if self._may_draw():
            print(remark, file=self.err, flush=True)

    async def draw(self, board: Board) -> None:
        """Draw on standard error if that disturbs nobody."""
        if self._may_draw():
            await _draw(board, self.err)

    async def write(self, board: Board) -> None:
        """Print each row when it and all before it are settled."""
        for row in board.rows:
            await row.settled.wait()
            # In a thread: a reader who pauses must not pause the replies.
            await anyio.to_thread.run_sync(self._write_next, board)

    def finish(self, board: Board) -> None:
        """Print the rows that are not printed yet."""
        while self._written < len(board.rows):
            self._write_next(board)

    def _write_next(self, board: Board) -> None:
        ascii_only = not (self.out.encoding or "").lower().startswith("utf")
        line = json_line(board.rows[self._written], ascii_only=ascii_only)
        # Counted before and not after: when half a line is out and the pipe breaks,
        # the line must not be begun again.
        self._written += 1
        self.out.write(line + "\n")
        self.out.flush()

    def _may_draw(self) -> bool:
        return self.err.isatty() and not self.out.isatty()


def _width() -> int:
    return shutil.get_terminal_size((_WIDTH_OF_FILES, 24)).columns


async def _draw(board: Board, terminal: TextIO) -> None:
    if _has_rich():
        from ._progress import show_progress

        await show_progress(board, terminal)


def _has_rich() -> bool:
    try:
        import rich  # noqa: F401 - only whether it is there
    except ImportError:
        return False
    return True
