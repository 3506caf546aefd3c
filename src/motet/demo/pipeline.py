"""
The feedback pipeline: three model calls for each item, all items at the same time.

This is the module to read as an example of a program with motet. `analyse` is the
whole of the asking: it starts the calls and waits for none of them. `process` waits
for them and fills the rows:

    async with motet.open_session("ollama", "granite4.1:3b") as m:
        await process(m, board)

It knows neither where the items come from nor how the rows are shown, and which event
loop it runs on makes no difference.
"""

from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

import anyio
import attrs
import pydantic

import motet

from ._rows import Board, CallRecord, Row, Status

SUMMARISE: Final = "Summarise this customer feedback in one sentence: {{text}}"
EXTRACT: Final = (
    "Extract JSON with main_complaint, positive_aspect and urgency (low, medium or high) from "
    "this customer feedback; leave empty what it does not speak of: {{text}}"
)
CLASSIFY: Final = (
    "Classify the overall sentiment of this summary of customer feedback "
    "as positive, negative or mixed: {{summary}}"
)


class Issues(pydantic.BaseModel):
    """What to do something about, and what to keep."""

    main_complaint: str
    positive_aspect: str
    urgency: Literal["low", "medium", "high"]


class Sentiment(pydantic.BaseModel):
    """How the customer feels."""

    sentiment: Literal["positive", "negative", "mixed"]


Reply: TypeAlias = "motet.ModelOutputThunk[str]"
CallName: TypeAlias = Literal["summary", "issues", "sentiment"]


@attrs.frozen
class Analysis:
    """The three replies about one item, on their way."""

    summary: Reply
    issues: Reply
    sentiment: Reply


async def analyse(m: motet.MelleaSession, text: str) -> Analysis:
    """Start the three calls about one text and return while they run.

    The first two take the text and run side by side. The third takes the summary,
    which is not there yet: the call waits for it by itself, and for nothing else.
    """
    summary = await m.ainstruct(SUMMARISE, user_variables={"text": text})
    issues = await m.ainstruct(EXTRACT, user_variables={"text": text}, format=Issues)
    sentiment = await m.ainstruct(CLASSIFY, user_variables={"summary": summary}, format=Sentiment)
    return Analysis(summary, issues, sentiment)


async def process(m: motet.MelleaSession, board: Board, *, concurrency: int | None = None) -> None:
    """Fill every row of *board*.

    A call that fails, or a reply that makes no sense, is the error of its row and
    stops nothing else. When this is cancelled, the rows that are not settled stay as
    they are, and their replies are stopped by the session's end.

    Args:
        m: an open session.
        board: the rows; those whose item is broken are settled without a call.
        concurrency: how many items may be in flight at once; without it, all.
    """
    waiting = iter(board.rows)
    workers = len(board.rows) if concurrency is None else min(concurrency, len(board.rows))
    async with anyio.create_task_group() as task_group:
        for _ in range(workers):
            task_group.start_soon(_work, m, board, waiting)


async def _work(m: motet.MelleaSession, board: Board, waiting: Iterator[Row]) -> None:
    for row in waiting:  # the iterator is shared: each row has one worker
        if row.item.error is not None:
            row.settle(row.item.error)
            continue
        row.status = Status.IN_FLIGHT
        began = anyio.current_time()
        try:
            error = await _fill(m, board, row)
        except Exception as exc:  # whatever it is, it belongs to this row and to no other
            error = exc
        row.seconds = anyio.current_time() - began
        row.settle(None if error is None else _say(error))


async def _fill(m: motet.MelleaSession, board: Board, row: Row) -> Exception | None:
    """Put into *row* what the model says about it; return the first thing that went wrong."""
    errors: list[Exception] = []

    async def follow(name: CallName, reply: Reply, asked_at: float) -> None:
        try:
            _take(row, name, await _read(board, row, name, reply, asked_at))
        except motet.DependencyError:
            row.calls.pop(name)  # never sent: the summary failed, and that is the error
        except (motet.MotetError, pydantic.ValidationError) as exc:
            errors.append(exc)

    async def follow_summary_and_sentiment(asked_at: float) -> None:
        await follow("summary", replies.summary, asked_at)
        # The model is asked for the sentiment now that the summary is there.
        await follow("sentiment", replies.sentiment, anyio.current_time())

    began = anyio.current_time()
    replies = await analyse(m, row.item.text)
    async with anyio.create_task_group() as task_group:
        task_group.start_soon(follow_summary_and_sentiment, began)
        task_group.start_soon(follow, "issues", replies.issues, began)
    return errors[0] if errors else None


async def _read(board: Board, row: Row, name: CallName, reply: Reply, asked_at: float) -> str:
    """Read a reply as it comes, which only the counters need, and return its text."""
    tokens = 0
    board.open_calls += 1
    try:
        async for _ in reply:
            tokens += 1
            board.tokens += 1
        text = await reply
        # What has arrived at once is one delta here; the server has counted tokens.
        exact = (reply.generation.usage or {}).get("completion_tokens") or tokens
        board.tokens += exact - tokens
        tokens = exact
        return text
    finally:
        board.open_calls -= 1
        row.calls[name] = CallRecord(anyio.current_time() - asked_at, tokens)


def _take(row: Row, name: CallName, text: str) -> None:
    match name:
        case "summary":
            row.summary = text.strip()
        case "issues":
            issues = Issues.model_validate_json(text)
            row.main_complaint = issues.main_complaint.strip()
            row.positive_aspect = issues.positive_aspect.strip()
            row.urgency = issues.urgency
        case "sentiment":
            row.sentiment = Sentiment.model_validate_json(text).sentiment


def _say(error: Exception) -> str:
    match error:
        case pydantic.ValidationError():
            detail = error.errors(include_url=False)[0]
            where = ".".join(str(step) for step in detail["loc"])
            return f"{error.title} in the reply: {where and where + ': '}{detail['msg']}"
        case ExceptionGroup():
            return _say(error.exceptions[0])
        case _:
            return f"{type(error).__name__}: {error}"
