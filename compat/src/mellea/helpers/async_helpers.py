"""Helpers of backends that programs write for asyncio."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

import anyio

from motet import wait_for_all_mots as wait_for_all_mots

__all__ = [
    "DEFAULT_CHUNK_TIMEOUT",
    "ClientCache",
    "get_current_event_loop",
    "send_to_queue",
    "wait_for_all_mots",
]

DEFAULT_CHUNK_TIMEOUT: Final = 120.0
"""For how long a reply may be silent, in seconds."""

_log: Final = logging.getLogger("mellea")


async def send_to_queue(
    co: Awaitable[Any] | AsyncIterator[Any],
    aqueue: Any,
    *,
    chunk_timeout: float | None = DEFAULT_CHUNK_TIMEOUT,
) -> None:
    """Put a reply on a queue: its pieces in order, and None behind the last.

    An error takes the place of what would have followed. However this ends, the iterator is
    closed; when it is cancelled, a `CancelledError` ends the queue, if it has room, so that
    whoever reads it does not wait for ever.

    Args:
        co: an awaitable of the reply, or the reply; one with ``__aiter__`` comes in pieces.
        aqueue: an ``asyncio.Queue``; or the send end of a memory object stream of anyio's.
        chunk_timeout: for how long the pieces may be silent, in seconds; None for ever.
    """
    put: Callable[[Any], Awaitable[None]] = getattr(aqueue, "put", None) or aqueue.send
    pieces: Any = None
    try:
        reply = await co if isinstance(co, Awaitable) else co
        if not hasattr(reply, "__aiter__"):
            await put(reply)
            await put(None)
            return
        pieces = aiter(reply)
        while True:
            try:
                with anyio.move_on_after(chunk_timeout) as scope:
                    piece = await anext(pieces)
            except StopAsyncIteration:
                await put(None)
                return
            if scope.cancelled_caught:
                raise TimeoutError(
                    f"Stream timed out after {chunk_timeout}s without a chunk (covers "
                    "time-to-first-token and inter-chunk gaps). Set ModelOption.STREAM_TIMEOUT "
                    "to a larger value or None to disable."
                )
            await put(piece)
    except anyio.get_cancelled_exc_class() as exc:
        _put_nowait(aqueue, exc)
        raise
    except Exception as exc:
        await put(exc)
    finally:
        await _close(pieces)


def _put_nowait(aqueue: Any, item: Any) -> None:
    put = getattr(aqueue, "put_nowait", None) or aqueue.send_nowait
    try:
        put(item)
    except (asyncio.QueueFull, anyio.WouldBlock):
        _log.debug("there is no room to say that the reply was cancelled")


async def _close(pieces: Any) -> None:
    close = getattr(pieces, "aclose", None) or getattr(pieces, "close", None)
    if close is None:
        return
    with anyio.CancelScope(shield=True):
        try:
            closing = close()
            if inspect.isawaitable(closing):
                await closing
        except Exception:
            _log.debug("a reply could not be closed", exc_info=True)


def get_current_event_loop() -> asyncio.AbstractEventLoop | None:
    """Return the running event loop of asyncio, or None: there is none, or it is Trio's."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class ClientCache:
    """Clients by event loop; the one that was not asked for the longest has to go first.

    One that goes is closed: in the event loop that was running when it was put here, because
    its connections belong to that.

    Args:
        capacity: how many there may be; 0 for none.

    Attributes:
        cache: the clients, the one that goes next first.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.cache: OrderedDict[int, Any] = OrderedDict()
        self._homes: dict[int, _Post | None] = {}

    def current_size(self) -> int:
        """Return how many there are."""
        return len(self.cache)

    def get(self, key: int) -> Any | None:
        """Return the client under *key*, or None; it is now the last to go."""
        if key not in self.cache:
            return None
        self.cache.move_to_end(key)
        return self.cache[key]

    def put(self, key: int, value: Any) -> None:
        """Keep a client under *key*, and close another one if there is no room.

        The one that was there before is closed as well. Not a checkpoint: what has to be
        awaited goes on while others run.
        """
        if self.capacity <= 0:
            return
        if self.cache.get(key, value) is not value:
            self._let_go(key)
        self.cache[key] = value
        self.cache.move_to_end(key)
        self._homes[key] = _post_here()
        while len(self.cache) > self.capacity:
            self._let_go(next(iter(self.cache)))

    def _let_go(self, key: int) -> None:
        client, home = self.cache.pop(key), self._homes.pop(key, None)
        close = getattr(client, "close", None) or getattr(client, "aclose", None)
        if close is None:
            return
        try:
            closing = close()
        except Exception:
            _log.debug("a client could not be closed", exc_info=True)
            return
        if not inspect.isawaitable(closing):
            return
        post = home or _post_here()
        try:
            if post is None:
                raise RuntimeError("no event loop is running")
            post(lambda: _start(_closed(closing)))
        except RuntimeError:  # its event loop is over, and its connections with it
            if inspect.iscoroutine(closing):
                closing.close()


_Post = Callable[[Callable[[], object]], object]


def _post_here() -> _Post | None:
    """Return what has the event loop that runs here call a function, from any thread."""
    loop = get_current_event_loop()
    if loop is not None:
        return loop.call_soon_threadsafe
    if "trio" in sys.modules:
        import trio

        with suppress(RuntimeError):
            return trio.lowlevel.current_trio_token().run_sync_soon
    return None


def _start(work: Coroutine[Any, Any, None]) -> None:
    loop = get_current_event_loop()
    if loop is not None:
        task = loop.create_task(work)
        _closing.add(task)
        task.add_done_callback(_closing.discard)
        return
    import trio

    trio.lowlevel.spawn_system_task(lambda: work)


async def _closed(closing: Awaitable[object]) -> None:
    try:
        await closing
    except Exception:  # on Trio it would end the whole run
        _log.debug("a client could not be closed", exc_info=True)


# The event loop keeps its tasks by weak references only.
_closing: Final[set[asyncio.Task[Any]]] = set()
