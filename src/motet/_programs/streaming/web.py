"""Events of a run as server-sent events, for a browser at the other end of an ASGI server.

`server_sent_event` makes bytes of an event. `EventStream` is an ASGI application, so that a web
framework can return it as a response or mount it; it imports none of them. It starts the run
when it is called and ends it before it returns, however it returns: when the run is over,
when the browser goes away, and when the server cancels it.

References:
    https://html.spec.whatwg.org/multipage/server-sent-events.html
    https://asgi.readthedocs.io/en/latest/specs/www.html
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio

from .events import (
    ChunkEvent,
    CompletedEvent,
    ErrorEvent,
    FullValidationEvent,
    QuickCheckEvent,
    RetryEvent,
    StreamEvent,
    StreamingDoneEvent,
)

if TYPE_CHECKING:
    from .chunked import StreamChunkingResult

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

# Proxies close what is silent for a minute, some for half of one.
KEEP_ALIVE: Final = 15.0  # seconds

_COMMENT: Final = b": keep-alive\n\n"

_HEADERS: Final = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    "x-accel-buffering": "no",  # nginx would collect the stream before it passes it on
}

_NAMES: Final[Mapping[type[StreamEvent], str]] = {
    QuickCheckEvent: "check",
    ChunkEvent: "chunk",
    StreamingDoneEvent: "done",
    FullValidationEvent: "validation",
    RetryEvent: "retry",
    ErrorEvent: "error-event",  # "error" is what browsers call a broken connection
    CompletedEvent: "completed",
}


def server_sent_event(event: StreamEvent, number: int | None = None) -> bytes:
    r"""Return an event of a run as a server-sent event.

    Its name is ``check``, ``chunk``, ``done``, ``validation``, ``retry``, ``error-event`` or
    ``completed``; its data are a JSON object with the attributes of the event. What a
    requirement said is ``{"verdict": "pass" | "fail" | "unknown" | true | false, "reason": ...}``.

    Args:
        event: the event.
        number: its id, for ``EventSource.lastEventId``; none without it.

    Returns:
        UTF-8, with the blank line that ends it.
    """
    name = _NAMES.get(type(event), "message")
    head = "" if number is None else f"id: {number}\n"
    data = json.dumps(_facts(event), ensure_ascii=False, separators=(",", ":"))
    return f"{head}event: {name}\ndata: {data}\n\n".encode()


def _facts(event: StreamEvent) -> dict[str, Any]:
    # The attributes that the constructor takes; the timestamp is not one.
    names: tuple[str, ...] = type(event).__match_args__
    facts: dict[str, Any] = {name: getattr(event, name) for name in names}
    if "results" in facts:
        facts["results"] = [
            {"verdict": getattr(each, "success", None) or each.as_bool(), "reason": each.reason}
            for each in facts["results"]
        ]
    return facts


class EventStream:
    """An ASGI response that tells a browser what happens in a run.

    For Starlette and what is built on it, an endpoint returns it::

        async def answer(request):
            return EventStream(lambda: m.stream_with_chunking(action, requirements=[...]))

    It needs no framework, though: it is an ASGI application of its own. The run begins when
    the server calls it, and is over, its request closed, when the call returns. So a
    browser whose tab is closed stops the model.

    Args:
        start: begins the run, ``stream_with_chunking(...)`` not awaited, for instance.
        keep_alive: after so many seconds of silence a comment is sent, so that nobody
            between here and the browser gives the connection up.
        headers: further headers, or others instead of those that are sent.
    """

    def __init__(
        self,
        start: Callable[[], Awaitable[StreamChunkingResult]],
        *,
        keep_alive: float = KEEP_ALIVE,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if not callable(start):
            raise TypeError(
                "start should be a function that begins the run, such as "
                f"`lambda: m.stream_with_chunking(...)`, not {type(start).__name__}"
            )
        if not keep_alive > 0:
            raise ValueError(f"keep_alive should be a number of seconds, not {keep_alive!r}")
        self._start = start
        self._keep_alive = keep_alive
        self._headers = {
            **_HEADERS,
            **{name.lower(): text for name, text in (headers or {}).items()},
        }

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one response; an ASGI application.

        Returns when the run is over or the browser has gone. A cancellation ends the run, too.

        Raises:
            RuntimeError: the scope is not one of HTTP.
            Exception: what *start* raises, before anything is sent.
        """
        if scope["type"] != "http":
            raise RuntimeError(f"an EventStream answers HTTP requests, not {scope['type']!r}")
        failure: Exception | None = None
        async with await self._start() as result, anyio.create_task_group() as tg:
            tg.start_soon(self._wait_gone, receive, tg.cancel_scope)
            try:
                await self._tell(result, send)
            except OSError:
                pass  # how some servers say that the browser has gone
            except Exception as exc:
                failure = exc  # bare, and not in a group
            tg.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _wait_gone(self, receive: Receive, scope: anyio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass  # the body of the request
        scope.cancel()

    async def _tell(self, result: StreamChunkingResult, send: Send) -> None:
        headers = [(name.encode(), text.encode("latin-1")) for name, text in self._headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        events, number = result.events(), 0
        while True:
            # A step that is given up loses nothing, the next one takes it up.
            with anyio.move_on_after(self._keep_alive) as silence:
                try:
                    event = await anext(events)
                except StopAsyncIteration:
                    break
            body = _COMMENT if silence.cancelled_caught else server_sent_event(event, number)
            number += not silence.cancelled_caught
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
