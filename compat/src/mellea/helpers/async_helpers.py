"""Helpers of backends that programs write for asyncio."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
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
    """Clients by event loop; the one that was not asked for the longest is closed first.

    Args:
        capacity: how many there may be; 0 for none.

    Attributes:
        cache: the clients, the one to be closed next first.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.cache: OrderedDict[int, Any] = OrderedDict()

    def current_size(self) -> int:
        """Return how many there are."""
        return len(self.cache)

    def get(self, key: int) -> Any | None:
        """Return the client under *key*, or None; it is now the last to be closed."""
        if key not in self.cache:
            return None
        self.cache.move_to_end(key)
        return self.cache[key]

    def put(self, key: int, value: Any) -> None:
        """Keep a client under *key*, and close another one if there is no room."""
        if self.capacity <= 0:
            return
        self.cache[key] = value
        self.cache.move_to_end(key)
        while len(self.cache) > self.capacity:
            _, client = self.cache.popitem(last=False)
            _close_client(client)


def _close_client(client: Any) -> None:
    close = getattr(client, "close", None) or getattr(client, "aclose", None)
    if close is None:
        return
    try:
        closing = close()
    except Exception:
        _log.debug("a client could not be closed", exc_info=True)
        return
    if inspect.iscoroutine(closing):
        loop = get_current_event_loop()
        if loop is None:
            closing.close()  # nothing runs that could wait for it
            return
        task = loop.create_task(closing)
        _closing.add(task)
        task.add_done_callback(_closing.discard)


# The event loop keeps its tasks by weak references only.
_closing: Final[set[asyncio.Task[Any]]] = set()
