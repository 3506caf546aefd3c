"""The pipeline: what is asked when, what becomes of failures, and what it costs in time."""

import anyio
import pytest

import motet
from demo.paced import (
    CHAIN,
    ISSUES_TAKE,
    SENTIMENT_TAKES,
    SUMMARY_TAKES,
    TOKENS,
    Asked,
    PacedBackend,
    usual_reply,
)
from motet.demo._items import FeedbackItem
from motet.demo._rows import Board, Status
from motet.demo.pipeline import analyse, process
from virtual_time import on_virtual_time

pytestmark = [pytest.mark.anyio, on_virtual_time]


def board_of(*texts: str) -> Board:
    return Board.of([FeedbackItem(f"fb-{n}", text) for n, text in enumerate(texts, 1)])


async def processed(
    board: Board, backend: PacedBackend | None = None, *, concurrency: int | None = None
) -> float:
    """Process the board and return how many seconds it took."""
    began = anyio.current_time()
    async with motet.open_session(backend or PacedBackend()) as m:
        await process(m, board, concurrency=concurrency)
    return anyio.current_time() - began


async def test_the_sentiment_is_asked_for_as_soon_as_the_summary_is_there() -> None:
    backend = PacedBackend()
    async with motet.open_session(backend) as m:
        began = anyio.current_time()
        replies = await analyse(m, "Nice, but slow.")
        assert anyio.current_time() == began  # nothing was waited for
        assert await replies.sentiment == '{"sentiment": "mixed"}'
        assert anyio.current_time() == pytest.approx(began + SUMMARY_TAKES + SENTIMENT_TAKES)
    assert backend.times("summary") == backend.times("issues") == [pytest.approx(began)]
    assert backend.times("sentiment") == [pytest.approx(began + SUMMARY_TAKES)]
    assert "Nice, but slow." in backend.prompts("summary")[0]
    assert "Nice, but slow." in backend.prompts("issues")[0]
    assert "The customer is content." in backend.prompts("sentiment")[0]
    assert "Nice, but slow." not in backend.prompts("sentiment")[0]


async def test_all_items_take_as_long_as_one() -> None:
    backend = PacedBackend()
    board = board_of(*(f"text {n}" for n in range(50)))
    assert await processed(board, backend) == pytest.approx(CHAIN)
    assert backend.most_open == 100
    assert len(board.calls) == 150
    assert sum(call.seconds for call in board.calls) == pytest.approx(
        50 * (SUMMARY_TAKES + ISSUES_TAKE + SENTIMENT_TAKES)
    )


async def test_a_row_has_everything_that_was_found_out() -> None:
    board = board_of("Nice, but slow.")
    await processed(board)
    (row,) = board.rows
    assert (row.status, row.error) == (Status.DONE, None)
    assert (row.summary, row.sentiment) == ("The customer is content.", "mixed")
    assert (row.main_complaint, row.positive_aspect, row.urgency) == ("slow", "kind", "low")
    assert row.seconds == pytest.approx(CHAIN)
    seconds = {name: call.seconds for name, call in row.calls.items()}
    assert seconds == pytest.approx(
        {"summary": SUMMARY_TAKES, "issues": ISSUES_TAKE, "sentiment": SENTIMENT_TAKES}
    )
    assert row.settled.is_set()


async def test_tokens_are_counted_as_they_come_and_as_the_server_says_in_the_end() -> None:
    board = board_of("one", "two")
    async with anyio.create_task_group() as task_group, motet.open_session(PacedBackend()) as m:
        task_group.start_soon(process, m, board)
        await anyio.sleep(SUMMARY_TAKES / 2 + 0.1)
        assert board.tokens == 2 * (2 + 1)  # of two summaries and two lists of issues
        assert board.open_calls == 4
        assert board.count() == {Status.IN_FLIGHT: 2}
        await anyio.sleep(CHAIN)
    assert board.tokens == sum(call.tokens for call in board.calls) == 2 * 3 * (TOKENS + 1)
    assert board.open_calls == 0


async def test_the_concurrency_bounds_the_items_in_flight() -> None:
    backend = PacedBackend()
    board = board_of(*"abcde")
    assert await processed(board, backend, concurrency=2) == pytest.approx(3 * CHAIN)
    assert backend.most_open <= 4
    assert board.count() == {Status.DONE: 5}


async def test_more_concurrency_than_items_is_harmless() -> None:
    board = board_of("a")
    assert await processed(board, concurrency=100) == pytest.approx(CHAIN)


async def test_braces_and_quotes_in_a_text_are_only_text() -> None:
    backend = PacedBackend()
    text = 'prints {{customer_name}} and {% raw %} "quoted" <b>'
    await processed(board_of(text), backend)
    assert text in backend.prompts("summary")[0]
    assert text in backend.prompts("issues")[0]


async def test_a_broken_item_is_a_row_without_a_call() -> None:
    backend = PacedBackend()
    board = Board.of([FeedbackItem("1", "", "line 1: not JSON"), FeedbackItem("2", "fine")])
    await processed(board, backend)
    broken, fine = board.rows
    assert (broken.status, broken.error, broken.calls) == (Status.FAILED, "line 1: not JSON", {})
    assert fine.status is Status.DONE
    assert len(backend.asked) == 3


async def test_a_summary_that_fails_costs_its_row_the_sentiment_and_nobody_else_anything() -> None:
    def say(asked: Asked) -> str:
        if asked.kind == "summary" and "bad" in asked.prompt:
            raise motet.ReplyError("out of memory")
        return usual_reply(asked)

    backend = PacedBackend(say)
    board = board_of("good", "bad", "good")
    await processed(board, backend)
    good, bad, _ = board.rows
    assert board.count() == {Status.DONE: 2, Status.FAILED: 1}
    assert bad.error is not None
    assert bad.error.startswith("ReplyError: out of memory")
    assert (bad.summary, bad.sentiment, bad.urgency) == (None, None, "low")
    assert list(bad.calls) == ["summary", "issues"]
    assert len(backend.prompts("sentiment")) == 2
    assert good.sentiment == "mixed"


@pytest.mark.parametrize(
    ("kind", "reply", "error"),
    [
        ("issues", "no JSON", "Issues in the reply: Invalid JSON"),
        ("issues", '{"main_complaint": "x", "positive_aspect": "y"}', "Issues in the reply: urg"),
        ("sentiment", '{"sentiment": "angry"}', "Sentiment in the reply: sentiment: Input should"),
    ],
)
async def test_a_reply_that_makes_no_sense_is_the_error_of_its_row(
    kind: str, reply: str, error: str
) -> None:
    backend = PacedBackend(lambda asked: reply if asked.kind == kind else usual_reply(asked))
    board = board_of("a")
    await processed(board, backend)
    (row,) = board.rows
    assert row.status is Status.FAILED
    assert row.error is not None
    assert row.error.startswith(error)
    assert row.summary == "The customer is content."
    assert len(row.calls) == 3


async def test_any_other_exception_is_the_error_of_its_row_too() -> None:
    def say(asked: Asked) -> str:
        if asked.kind == "issues" and "odd" in asked.prompt:
            raise ZeroDivisionError("a bug")
        return usual_reply(asked)

    board = board_of("odd", "fine")
    await processed(board, PacedBackend(say))
    assert [row.error for row in board.rows] == ["ZeroDivisionError: a bug", None]


async def test_a_cancelled_run_leaves_no_request_and_knows_what_is_finished() -> None:
    backend = PacedBackend()
    board = board_of(*"abcde")
    with anyio.move_on_after(CHAIN + 1):
        await processed(board, backend, concurrency=2)
    assert backend.open == 0
    board.cancel_rest()
    assert board.count() == {Status.DONE: 2, Status.CANCELLED: 3}
    assert board.open_calls == 0
