"""Thunks that a program fills itself, for backends of its own and for text from elsewhere.

A thunk made with None is a blank. `fill_thunk` gives it a generation that the program
writes, with all that a backend's has: it belongs to the session in whose call it is
made or to the event loop, is stopped when nobody waits any more, and ends once.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import anyio.lowlevel
import attrs

from .._runtime.host import current_host
from .generation import DEFAULT_LINGER, Generation
from .thunk import ModelOutputThunk

if TYPE_CHECKING:
    from .._runtime.owner import Owner

S = TypeVar("S")

Feed: TypeAlias = Callable[[str], None]
"""Adds text that has arrived. It neither waits nor raises."""


def fill_thunk(
    thunk: ModelOutputThunk[S],
    produce: Callable[[Feed], Awaitable[object]],
    *,
    owner: Owner | None = None,
    linger: float = DEFAULT_LINGER,
) -> ModelOutputThunk[S]:
    """Fill a blank by a coroutine, in a task of the running event loop. Not a checkpoint.

    The reply is complete when the coroutine returns, and failed when it raises. Until then
    nobody sees what it sets on the thunk beside the text as computed. It is cancelled
    when everybody who waited has gone, and when its owner or the event loop ends; then it
    must close what it has open and let the cancellation through.

    Args:
        thunk: a blank, ``ModelOutputThunk(None)``.
        produce: is called with a function of one string that adds text.
        owner: as a backend's `begin` is given it; without one, whose the running code is.
        linger: for how long it goes on after the last one who waited has gone, seconds.

    Returns:
        *thunk*, which is pending now.

    Raises:
        ValueError: *thunk* is no blank.
        SessionClosed: the owner has ended.
        WrongEventLoop: the event loop is shutting down.
    """
    if not thunk.is_blank():
        raise ValueError("only a blank can be filled: make it with ModelOutputThunk(None)")

    async def run(generation: Generation) -> None:
        await produce(generation.feed)

    generation = Generation(run, host=current_host(), owner=owner, linger=linger)
    thunk._source = generation
    generation.start()
    return thunk


def thunk_from(
    deltas: AsyncIterable[str], *, linger: float = DEFAULT_LINGER
) -> ModelOutputThunk[str]:
    """Return a pending thunk of text that an async iterator yields. Not a checkpoint.

    The iterator is closed when the reply ends, however it ends; what it raises is what
    whoever waits gets.

    Args:
        deltas: the text, in pieces.
        linger: for how long it goes on after the last one who waited has gone, seconds.

    Raises:
        SessionClosed, WrongEventLoop: as `fill_thunk`.
    """
    thunk: ModelOutputThunk[str] = ModelOutputThunk(None)

    async def produce(feed: Feed) -> None:
        try:
            async for delta in deltas:
                # An iterator that always has something ready never lets a cancellation through.
                await anyio.lowlevel.checkpoint_if_cancelled()
                feed(delta)
        finally:
            close = getattr(deltas, "aclose", None)
            if close is not None:
                await close()
        thunk.parse_as(lambda whole: whole.value or "")

    return fill_thunk(thunk, produce, linger=linger)


def show_facts(of: ModelOutputThunk[Any], on: ModelOutputThunk[Any]) -> None:
    """Have one thunk tell all that another one tells, beside its text. Not a checkpoint.

    For a reply that is made from another: the chosen attempt of several, a backend's in front
    of another backend's.

    Args:
        of: a thunk that is computed.
        on: the thunk that is being filled.
    """
    on.meta.update(of.meta)
    on.thinking = of.thinking
    on.tool_calls = of.tool_calls
    on.generation = of.generation
    on.raw = of.raw
    on.error = of.error
    on.parsed_repr = on if of.parsed_repr is of else of.parsed_repr
    if of.generate_log is not None:
        on.generate_log = attrs.evolve(of.generate_log, result=on)
