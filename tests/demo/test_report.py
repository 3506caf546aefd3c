"""What is said in the end: JSON records, the errors, and the comparison of times."""

import json

from demo.boards import make_board
from motet.demo._items import FeedbackItem
from motet.demo._report import comparison, json_line, troubles
from motet.demo._rows import Board, CallRecord, Status


def test_a_json_line_tells_everything_about_a_row() -> None:
    assert json.loads(json_line(make_board().rows[0])) == {
        "id": "fb-1",
        "status": "done",
        "sentiment": "positive",
        "summary": "All [bold]well[/bold].",
        "main_complaint": "",
        "positive_aspect": "everything",
        "urgency": "low",
        "seconds": 1.25,
        "calls": {
            "summary": {"seconds": 0.75, "tokens": 20},
            "issues": {"seconds": 1.0, "tokens": 30},
            "sentiment": {"seconds": 0.5, "tokens": 5},
        },
        "error": None,
    }


def test_every_row_has_the_same_keys_in_json() -> None:
    board = make_board()
    board.cancel_rest()
    done, failed, cancelled = [json.loads(json_line(row)) for row in board.rows]
    assert list(done) == list(failed) == list(cancelled)
    assert (failed["status"], failed["error"]) == ("failed", "BackendUnavailable: nobody there")
    assert (cancelled["status"], cancelled["error"]) == ("cancelled", "cancelled")
    assert cancelled["seconds"] is None


def test_a_json_line_is_one_line_in_any_encoding() -> None:
    row = make_board().rows[0]
    row.summary = "né\n\u2028日"
    assert "\n" not in json_line(row)
    assert "né" in json_line(row)
    assert json_line(row, ascii_only=True).isascii()


def test_the_comparison_is_of_all_latencies_and_the_wall_time() -> None:
    assert comparison(make_board()) == (
        "4 calls, 2.5 s of model time in 1.2 s of wall time: 2.0 at once on average"
    )


def test_the_comparison_of_many_calls_is_rounded() -> None:
    board = Board.of([FeedbackItem(str(n), "x") for n in range(120)])
    for row in board.rows:
        row.calls = {"summary": CallRecord(0.618, 10)}
    board.wall_seconds = 1.9
    assert comparison(board) == (
        "120 calls, 74.2 s of model time in 1.9 s of wall time: 39 at once on average"
    )


def test_a_run_without_calls_compares_nothing() -> None:
    board = Board.of([FeedbackItem("1", "", "broken")])
    assert comparison(board) == "0 calls, 0.0 s of model time in 0.0 s of wall time"


def test_troubles_name_each_error_once_with_its_rows() -> None:
    board = Board.of([FeedbackItem(str(n), "x") for n in range(8)])
    for row in board.rows[:6]:
        row.settle("nobody there")
    board.rows[6].settle("another\nthing")
    board.cancel_rest()
    assert troubles(board) == [
        "7 of 8 items failed:",
        "  0, 1, 2 and 3 more: nobody there",
        "  6: another thing",
        "1 of 8 items cancelled",
    ]


def test_troubles_of_many_kinds_are_counted_from_some_point_on() -> None:
    board = Board.of([FeedbackItem(str(n), "x") for n in range(8)])
    for row in board.rows:
        row.settle(f"error {row.item.id}")
    assert troubles(board, most=2) == [
        "8 of 8 items failed:",
        "  0: error 0",
        "  1: error 1",
        "  ... and 6 other errors",
    ]


def test_a_run_that_went_well_has_no_troubles() -> None:
    board = Board.of([FeedbackItem("1", "x")])
    board.rows[0].settle(None)
    assert troubles(board) == []


def test_cancelling_the_rest_leaves_settled_rows_alone() -> None:
    board = make_board()
    board.cancel_rest()
    board.cancel_rest()
    assert [row.status for row in board.rows] == [Status.DONE, Status.FAILED, Status.CANCELLED]
    assert all(row.settled.is_set() for row in board.rows)
