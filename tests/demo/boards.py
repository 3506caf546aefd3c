"""Boards as a run would leave them, made by hand."""

from motet.demo._items import FeedbackItem
from motet.demo._rows import Board, CallRecord


def make_board() -> Board:
    """Return three rows: one that went well, one that failed, one that was never reached."""
    board = Board.of(
        [FeedbackItem("fb-1", "one"), FeedbackItem("fb-2", "two"), FeedbackItem("fb-3", "three")]
    )
    good, bad, _ = board.rows
    good.summary = "All [bold]well[/bold]."
    good.sentiment = "positive"
    good.main_complaint = ""
    good.positive_aspect = "everything"
    good.urgency = "low"
    good.seconds = 1.25
    good.calls = {
        "summary": CallRecord(0.75, 20),
        "issues": CallRecord(1.0, 30),
        "sentiment": CallRecord(0.5, 5),
    }
    good.settle(None)
    bad.seconds = 0.25
    bad.calls = {"summary": CallRecord(0.25, 0)}
    bad.settle("BackendUnavailable: nobody there")
    board.tokens = 55
    board.wall_seconds = 1.25
    return board
