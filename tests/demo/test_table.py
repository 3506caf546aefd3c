"""The table for people: aligned, within its width, and obeying no text it shows."""

import io
import re
import unicodedata

import pytest
from rich.console import Console

from demo.boards import make_board
from motet.demo._items import FeedbackItem
from motet.demo._rows import Board
from motet.demo._table import clean, plain_table, rich_table


def columns(text: str) -> int:
    return sum(
        0
        if unicodedata.category(character) in ("Mn", "Me", "Cf")
        else 2
        if unicodedata.east_asian_width(character) in "WF"
        else 1
        for character in text
    )


def rendered(board: Board, width: int) -> str:
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=True, color_system="truecolor").print(
        rich_table(board, width)
    )
    return out.getvalue()


def test_the_plain_table_has_a_line_for_each_row() -> None:
    board = make_board()
    board.cancel_rest()
    assert plain_table(board, 120).split("\n") == [
        "id    sentiment  summary                 main complaint  urgency  seconds  error",
        "----  ---------  ----------------------  --------------  -------  -------  --------------------------------",
        "fb-1  positive   All [bold]well[/bold].                  low         1.25",
        "fb-2                                                                 0.25  BackendUnavailable: nobody there",
        "fb-3                                                                       cancelled",
    ]


@pytest.mark.parametrize("width", [90, 100, 150, 400])
def test_long_texts_are_cut_so_that_the_table_fits(width: int) -> None:
    board = make_board()
    board.rows[0].summary = "very " * 100
    board.rows[1].error = "日本語の長いエラー" * 30
    board.rows[2].item = FeedbackItem("x" * 300, "")
    lines = plain_table(board, width).split("\n")
    assert max(map(columns, lines)) <= width
    assert "…" in lines[2]
    assert "…" in lines[3]
    colourless = re.sub(r"\x1b\[[0-9;]*m", "", rendered(board, width))
    assert max(map(columns, colourless.split("\n"))) <= width


def test_a_terminal_that_is_too_narrow_still_gets_every_column() -> None:
    lines = plain_table(make_board(), 10).split("\n")
    assert lines[0].split() == [
        "id",
        "sentiment",
        "summary",
        "main",
        "complaint",
        "urgency",
        "seconds",
        "error",
    ]
    assert len(lines) == 5


def test_wide_characters_keep_the_columns_aligned() -> None:
    board = make_board()
    board.rows[0].summary = "とても満足 🙂 cafe\u0301"
    header, _, first, *_ = plain_table(board, 200).split("\n")
    before = first[: first.index("low")]
    assert columns(before) == header.index("urgency")


def test_a_cell_gives_no_commands_to_the_terminal() -> None:
    assert clean("a\x1b[31mb\x07\r\n\tc\x9b2Jd\u202e") == "a [31mb c 2Jd"
    board = make_board()
    board.rows[0].summary = "\x1b]0;title\x07 red?"
    assert "\x1b" not in plain_table(board, 200)
    assert "\x1b]0" not in rendered(board, 200)


def test_brackets_in_a_cell_are_no_markup() -> None:
    assert "All [bold]well[/bold]." in rendered(make_board(), 160)


def test_the_coloured_table_says_the_same_as_the_plain_one() -> None:
    board = make_board()
    board.cancel_rest()
    colourless = re.sub(r"\x1b\[[0-9;]*m", "", rendered(board, 160))
    for line in plain_table(board, 160).split("\n")[2:]:
        assert line.split() in [shown.split() for shown in colourless.split("\n")]
