"""The progress on a terminal: what it shows of a board, and that it goes away again."""

import io

import anyio
import anyio.lowlevel
import pytest
from rich.console import Console

from demo.boards import make_board
from demo.terminals import Terminal
from motet.demo._items import FeedbackItem
from motet.demo._progress import TokenRate, draw, show_progress
from motet.demo._rows import Board, Status
from virtual_time import on_virtual_time


def drawn(board: Board) -> list[str]:
    console = Console(file=io.StringIO(), width=120, record=True)
    console.print(draw(board, seconds=1.23, rate=812.4))
    return console.export_text().split("\n")


def test_the_picture_has_a_dot_for_each_item_and_the_figures() -> None:
    board = make_board()
    board.rows.append(make_board().rows[2])
    board.rows[2].status = Status.IN_FLIGHT
    board.rows[3].status = Status.IN_FLIGHT
    board.rows[3].calls = dict(board.rows[0].calls)
    board.open_calls = 3
    board.tokens = 1234
    dots, figures, *_ = drawn(board)
    assert dots.strip() == "●✗○◐"
    assert " ".join(figures.split()) == (
        "2 in flight 1 done 1 failed 3 replies open 1,234 tokens 812 tokens/s 1.2 s"
    )


def test_very_many_items_are_a_bar() -> None:
    board = Board.of([FeedbackItem(str(n), "x") for n in range(1000)])
    for row in board.rows[:500]:
        row.settle(None)
    bar, figures, *_ = drawn(board)
    assert set(bar.strip()) <= set("━╸╺ ")
    assert "500 done" in figures


def test_the_rate_is_that_of_the_last_two_seconds() -> None:
    rate = TokenRate()
    assert rate.sample(10.0, 0) == 0
    assert rate.sample(11.0, 100) == 100
    assert rate.sample(12.0, 100) == 50
    assert rate.sample(13.0, 100) == 0
    assert rate.sample(14.0, 400) == 150


@pytest.mark.anyio
@on_virtual_time
async def test_the_progress_is_redrawn_as_the_board_changes_and_wiped_off_at_the_end() -> None:
    terminal = Terminal()
    board = make_board()
    async with anyio.create_task_group() as task_group:
        task_group.start_soon(show_progress, board, terminal)
        await anyio.sleep(0.35)
        assert "  1 done" in terminal.shown
        board.cancel_rest()
        board.tokens = 4321
        await anyio.sleep(0.35)
        assert "4,321 tokens" in terminal.shown
        task_group.cancel_scope.cancel()
    assert terminal.getvalue().endswith("\x1b[2K")  # the last line that was drawn is erased
