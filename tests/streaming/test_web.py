"""Server-sent events of a run, and what becomes of it when the browser goes away."""

import json
from collections.abc import Callable
from typing import Any

import anyio
import pytest

import motet
from motet import CBlock, PartialValidationResult, SimpleContext
from motet.streaming import (
    ChunkEvent,
    CompletedEvent,
    ErrorEvent,
    EventStream,
    FullValidationEvent,
    QuickCheckEvent,
    RetryEvent,
    StreamingDoneEvent,
    server_sent_event,
    stream_with_chunking,
)
from motet.testing import NEVER, ScriptedBackend
from motet.testing.sweep import cancel_everywhere
from streaming.validators import Scripted
from virtual_time import VIRTUAL_LOOPS, on_virtual_time

SCOPE = {"type": "http", "method": "GET", "path": "/"}


class Browser:
    """The other end of an ASGI application.

    Args:
        leaves: what to wait for before it goes away; for ever without it.
        send_error: what sending raises from the third message on.
    """

    def __init__(
        self, leaves: anyio.Event | None = None, send_error: Exception | None = None
    ) -> None:
        self.messages: list[Any] = []
        self._leaves = leaves
        self._send_error = send_error
        self._asked = 0

    async def receive(self) -> Any:
        self._asked += 1
        if self._asked == 1:
            return {"type": "http.request", "body": b"", "more_body": False}
        if self._leaves is None:
            await anyio.sleep_forever()
        else:
            await self._leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await anyio.lowlevel.checkpoint()
        self.messages.append(message)
        if self._send_error is not None and len(self.messages) > 2:
            raise self._send_error

    @property
    def body(self) -> str:
        return b"".join(message.get("body", b"") for message in self.messages).decode()

    @property
    def events(self) -> list[str]:
        """The names of the events, and `-` for a comment."""
        return [
            "-" if block.startswith(":") else block.partition("event: ")[2].partition("\n")[0]
            for block in self.body.split("\n\n")
            if block
        ]


def starting(backend: ScriptedBackend, **options: Any) -> Callable[[], Any]:
    return lambda: stream_with_chunking(CBlock("go"), backend, SimpleContext(), **options)


@pytest.mark.parametrize(
    ("event", "name", "data"),
    [
        (ChunkEvent("né\n", 1, 2), "chunk", {"text": "né\n", "chunk_index": 1, "attempt": 2}),
        (
            QuickCheckEvent(0, 1, False, [PartialValidationResult("fail", reason="no")]),
            "check",
            {
                "chunk_index": 0,
                "attempt": 1,
                "passed": False,
                "results": [{"verdict": "fail", "reason": "no"}],
            },
        ),
        (
            FullValidationEvent(1, True, [motet.ValidationResult(True)]),
            "validation",
            {"attempt": 1, "passed": True, "results": [{"verdict": True, "reason": None}]},
        ),
        (StreamingDoneEvent(1, "all"), "done", {"attempt": 1, "full_text": "all"}),
        (
            RetryEvent(2, "why", 9, 2, "Bad."),
            "retry",
            {"attempt": 2, "reason": "why", "void_from": 9, "chunk_index": 2, "chunk": "Bad."},
        ),
        (
            ErrorEvent("OSError", "gone"),
            "error-event",
            {"exception_type": "OSError", "detail": "gone"},
        ),
        (
            CompletedEvent(True, "all", 1),
            "completed",
            {"success": True, "full_text": "all", "attempts_used": 1},
        ),
    ],
)
def test_every_event_can_be_told(event: Any, name: str, data: Any) -> None:
    lines = server_sent_event(event, 7).decode().split("\n")
    assert lines[:2] == ["id: 7", f"event: {name}"]
    assert json.loads(lines[2].removeprefix("data: ")) == data
    assert lines[3:] == ["", ""]
    assert not server_sent_event(event).startswith(b"id:")


@pytest.mark.anyio
@on_virtual_time
async def test_a_run_is_told_to_its_end() -> None:
    browser = Browser()
    backend = ScriptedBackend(["One. Bad. ", "One. Two. "])
    requirements = [Scripted({"Bad.": "fail"})]
    app = EventStream(starting(backend, requirements=requirements, attempts=2))
    await app(SCOPE, browser.receive, browser.send)
    assert browser.events == (
        [
            "check",
            "chunk",
            "check",
            "retry",
            "check",
            "chunk",
            "check",
            "chunk",
            "done",
            "validation",
            "completed",
        ]
    )
    head = browser.messages[0]
    assert head["status"] == 200
    assert (b"content-type", b"text/event-stream; charset=utf-8") in head["headers"]
    assert browser.messages[-1] == {"type": "http.response.body", "body": b""}
    backend.assert_idle()


@pytest.mark.anyio
@on_virtual_time
async def test_silence_is_filled_and_loses_nothing() -> None:
    browser = Browser()
    backend = ScriptedBackend([["One. ", 35.0, "Two. "]])
    app = EventStream(starting(backend), headers={"X-Mine": "yes", "Cache-Control": "no-cache"})
    await app(SCOPE, browser.receive, browser.send)
    assert browser.events == ["chunk", "-", "-", "chunk", "done", "completed"]
    headers = dict(browser.messages[0]["headers"])
    assert (headers[b"x-mine"], headers[b"cache-control"]) == (b"yes", b"no-cache")


@pytest.mark.anyio
@on_virtual_time
async def test_a_browser_that_goes_away_stops_the_model() -> None:
    gone = anyio.Event()
    browser = Browser(gone)
    backend = ScriptedBackend([["One. ", NEVER]])
    async with anyio.create_task_group() as tg:
        tg.start_soon(EventStream(starting(backend)), SCOPE, browser.receive, browser.send)
        await anyio.sleep(5)
        assert backend.open_replies == 1
        gone.set()
        await anyio.sleep(0.01)
        backend.assert_idle()
    assert browser.events == ["chunk"]


@pytest.mark.anyio
@on_virtual_time
async def test_so_does_a_connection_that_is_found_broken() -> None:
    browser = Browser(send_error=BrokenPipeError("gone"))
    backend = ScriptedBackend([["One. Two. ", NEVER]])
    await EventStream(starting(backend))(SCOPE, browser.receive, browser.send)
    backend.assert_idle()


@pytest.mark.anyio
@on_virtual_time
async def test_another_error_of_the_server_is_raised_as_it_is() -> None:
    browser = Browser(send_error=KeyError("a bug"))
    backend = ScriptedBackend([["One. Two. ", NEVER]])
    with pytest.raises(KeyError, match="a bug"):
        await EventStream(starting(backend))(SCOPE, browser.receive, browser.send)
    backend.assert_idle()


@pytest.mark.anyio
@on_virtual_time
async def test_what_cannot_begin_is_raised_before_anything_is_sent() -> None:
    browser = Browser()
    app = EventStream(starting(ScriptedBackend(["x"]), chunking="verse"))
    with pytest.raises(ValueError, match="verse"):
        await app(SCOPE, browser.receive, browser.send)
    assert not browser.messages


@pytest.mark.anyio
@on_virtual_time
async def test_mistakes_are_refused() -> None:
    start = starting(ScriptedBackend(["x"]))
    with pytest.raises(TypeError, match="should be a function"):
        EventStream("start")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="keep_alive"):
        EventStream(start, keep_alive=0)
    with pytest.raises(RuntimeError, match="websocket"):
        await EventStream(start)({"type": "websocket"}, Browser().receive, Browser().send)


@pytest.mark.parametrize("loop", VIRTUAL_LOOPS.values(), ids=VIRTUAL_LOOPS)
def test_a_server_that_cancels_a_response_anywhere_stops_the_model(loop: Any) -> None:
    backends: list[ScriptedBackend] = []

    async def scenario() -> None:
        backends.append(ScriptedBackend([["One. ", 20.0, "Bad. "], ["Two. "]]))
        browser = Browser()
        requirements = [Scripted({"Bad.": "fail"})]
        app = EventStream(starting(backends[-1], requirements=requirements, attempts=2))
        await app(SCOPE, browser.receive, browser.send)

    async def nothing_runs() -> None:
        backends[-1].assert_idle()

    assert cancel_everywhere(scenario, loop=loop, after=nothing_runs).checkpoints
