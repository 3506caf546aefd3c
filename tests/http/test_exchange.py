"""One exchange: the limits for silence, errors by name, and the end of a body."""

import math
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import anyio
import attrs
import httpx
import httpx2
import pytest

from motet._http.exchange import (
    DRAIN_TIMEOUT,
    MAX_ERROR_BYTES,
    Exchange,
    Sink,
    retry_after,
)
from motet._runtime.sockets import Take
from motet._values.errors import (
    BackendError,
    BackendTimeout,
    BackendUnavailable,
    ConnectionLost,
    Phase,
    ProtocolError,
    StatusError,
)
from motet._values.timeouts import NO_TIMEOUTS, Timeouts
from virtual_time import on_virtual_time

pytestmark = [pytest.mark.anyio, on_virtual_time]

URL = "http://user:secret@box:1/api"
BEGUN = [("connection.connect_tcp.complete", 0.0), ("http11.send_request_body.complete", 0.0)]


class Gathering(Sink):
    """Keeps the bytes; a body that begins is a reply, ``.`` ends it, ``!`` is an error."""

    def __init__(self) -> None:
        self.came = b""

    def data(self, data: bytes) -> None:
        if b"!" in data:
            raise ProtocolError("this is no reply")
        self.begun = True
        self.came += data
        self.complete = self.complete or b"." in data

    def refused(self, status: int, headers: Mapping[str, str], body: bytes) -> BackendError:
        return StatusError(body.decode(), status=status)


@attrs.define
class Body:
    """A response body: pieces, pauses in seconds, errors."""

    steps: list[bytes | float | Exception]
    closed: bool = False
    given: int = 0
    pause_ends: float | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while self.steps:
            step = self.steps[0]
            if isinstance(step, float):
                # A read that is given up and taken up again does not wait any longer.
                if self.pause_ends is None:
                    self.pause_ends = anyio.current_time() + step
                await anyio.sleep_until(self.pause_ends)
                self.pause_ends = None
            if step is not FLOOD:
                self.steps.pop(0)
            if isinstance(step, bytes):
                self.given += 1
                return step
            if isinstance(step, Exception):
                raise step
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed = True
        self.steps.clear()


FLOOD = b"more and more "


class Ours(Body):
    """The body of a response on one of our connections: it hands itself on."""

    async def pump(self, take: Take) -> None:
        async for data in self:
            if not take(data):
                break


BODIES = pytest.mark.parametrize("kind", [Ours, Body], ids=["ours", "theirs"])


@attrs.define
class Response:
    """As much of a response as an exchange looks at."""

    stream: Body
    status_code: int = 200
    headers: Mapping[str, str] = attrs.field(factory=dict)
    is_stream_consumed: bool = False
    content: bytes = b""

    async def aclose(self) -> None:
        await self.stream.aclose()


def sending(
    response: Response | Exception, steps: list[tuple[str, float]] | None = None, wait: float = 0
) -> Callable[[bytes, dict[str, Any]], Any]:
    async def send(content: bytes, extensions: dict[str, Any]) -> Any:
        for event, seconds in BEGUN if steps is None else steps:
            await anyio.sleep(seconds)
            await extensions["trace"](event, {})
        await anyio.sleep(wait)
        if isinstance(response, Exception):
            raise response
        return response

    return send


async def run(send: Any, limit: float | None = 10, timeouts: Timeouts = NO_TIMEOUTS) -> Gathering:
    sink = Gathering()
    exchange = Exchange(sink, silence_timeout=limit, clock=anyio.current_time, timeouts=timeouts)
    await exchange.run(send, URL, b"")
    return sink


SILENCES: dict[str, tuple[Any, Phase]] = {
    "connecting": (sending(Response(Body([])), [], 99), Phase.CONNECTING),
    "sending": (sending(Response(Body([])), BEGUN[:1], 99), Phase.SENDING),
    "headers": (sending(Response(Body([])), wait=99), Phase.HEADERS),
}


@pytest.mark.parametrize("name", SILENCES)
async def test_silence_before_the_response_names_the_phase_and_the_limit(name: str) -> None:
    send, phase = SILENCES[name]
    began = anyio.current_time()
    with pytest.raises(BackendTimeout, match=r"10 s.*STREAM_TIMEOUT") as caught:
        await run(send)
    assert (caught.value.phase, caught.value.timeout) == (phase, 10)
    assert anyio.current_time() == began + 10


@BODIES
@pytest.mark.parametrize(
    ("steps", "phase", "seconds"),
    [
        ([99.0], Phase.FIRST_TOKEN, 10),
        ([b"a", 9.0, b"b", 9.0, b"c", 99.0, b"."], Phase.STREAMING, 28),
    ],
)
async def test_silence_in_the_body_names_the_phase_and_the_limit(
    kind: type[Body], steps: list[Any], phase: Phase, seconds: float
) -> None:
    body, began = kind(list(steps)), anyio.current_time()
    with pytest.raises(BackendTimeout) as caught:
        await run(sending(Response(body)))
    assert caught.value.phase is phase
    assert anyio.current_time() == began + seconds
    assert body.closed


@BODIES
async def test_connecting_headers_and_the_first_bytes_share_one_limit(kind: type[Body]) -> None:
    began = anyio.current_time()
    with pytest.raises(BackendTimeout):
        await run(sending(Response(kind([4.0, b"."])), [(BEGUN[0][0], 4.0)], 4))
    assert anyio.current_time() == began + 10


CONNECTED = BEGUN[0][0]
SENT = BEGUN[1][0]
LATE: dict[str, Callable[[type[Body]], tuple[Any, Timeouts, str, float]]] = {
    "connecting": lambda kind: (
        sending(Response(kind([])), [], 99),
        Timeouts(connecting=3),
        "connecting",
        3,
    ),
    "headers": lambda kind: (
        sending(Response(kind([])), [(CONNECTED, 4.0), (SENT, 1.0)], 99),
        Timeouts(connecting=5, headers=3),
        "headers",
        7,
    ),
    "headers on a kept connection": lambda kind: (
        sending(Response(kind([])), [(SENT, 1.0)], 99),
        Timeouts(headers=3),
        "headers",
        4,
    ),
    "first token, no headers": lambda kind: (
        sending(Response(kind([])), wait=99),
        Timeouts(first_token=20),
        "first_token",
        20,
    ),
    "first token, headers": lambda kind: (
        sending(Response(kind([99.0])), [(CONNECTED, 4.0), (SENT, 0.0)], 4),
        Timeouts(headers=9, first_token=20),
        "first_token",
        20,
    ),
    "gap": lambda kind: (
        sending(Response(kind([9.0, b"a", 2.0, b"b", 99.0]))),
        Timeouts(gap=3),
        "gap",
        14,
    ),
    "the others": lambda kind: (
        sending(Response(kind([b"a", 99.0]))),
        Timeouts(first_token=3),
        "silence",
        10,
    ),
}


@pytest.mark.parametrize(
    "steps",
    [
        [("http2.send_request_headers.started", 0.0), ("http2.send_request_body.complete", 3.0)],
        [("http11.send_request_body.complete", 0.0)],
    ],
)
async def test_a_connection_that_serves_already_needs_no_time_to_connect(steps: Any) -> None:
    send = sending(Response(Body([b"a."])), steps, 3)
    assert (await run(send, timeouts=Timeouts(connecting=1))).came == b"a."


@BODIES
@pytest.mark.parametrize("name", LATE)
async def test_a_limit_of_its_own_names_itself(kind: type[Body], name: str) -> None:
    send, timeouts, which, seconds = LATE[name](kind)
    began = anyio.current_time()
    with pytest.raises(BackendTimeout) as caught:
        await run(send, timeouts=timeouts)
    assert caught.value.which == which
    assert caught.value.timeout == (10 if which == "silence" else getattr(timeouts, which))
    assert f"{caught.value.timeout:g} s" in caught.value.message
    assert which == "silence" or f"Timeouts({which}=" in caught.value.message
    assert anyio.current_time() == began + seconds


@BODIES
async def test_what_says_nothing_is_no_first_token(kind: type[Body]) -> None:
    class Unmoved(Gathering):
        def data(self, data: bytes) -> None:
            self.silent = data == b":"
            self.begun = data not in (b":", b"-")

    sink, began = Unmoved(), anyio.current_time()
    exchange = Exchange(
        sink, silence_timeout=10, clock=anyio.current_time, timeouts=Timeouts(first_token=30)
    )
    with pytest.raises(BackendTimeout) as caught:
        await exchange.run(sending(Response(kind([1.0, b":", 1.0, b"-"] * 99))), URL, b"")
    assert (caught.value.which, caught.value.phase) == ("first_token", Phase.FIRST_TOKEN)
    assert anyio.current_time() == began + 30


@BODIES
async def test_without_a_limit_any_silence_is_borne(kind: type[Body]) -> None:
    sink = await run(sending(Response(kind([1e6, b"a", 1e6, b"."])), wait=1e6), None)
    assert sink.came == b"a."


@BODIES
@pytest.mark.parametrize("steps", [[99.0], [0.5, b" "] * 100], ids=["silent", "trickling"])
async def test_a_body_that_goes_on_after_the_reply_is_waited_for_only_shortly(
    kind: type[Body], steps: list[Any]
) -> None:
    body, began = kind([b"all.", *steps]), anyio.current_time()
    sink = await run(sending(Response(body)))
    assert sink.came.startswith(b"all.")
    assert anyio.current_time() == began + DRAIN_TIMEOUT
    assert body.closed


@BODIES
async def test_an_error_after_the_end_of_the_reply_does_not_count(kind: type[Body]) -> None:
    sink = await run(sending(Response(kind([b"all.", httpx2.ReadError("gone")]))))
    assert sink.came == b"all."
    assert (await run(sending(Response(kind([b"all.", b"!"]))))).came == b"all."


@BODIES
async def test_what_the_sink_raises_ends_the_exchange(kind: type[Body]) -> None:
    body = kind([b"a", b"!", b"b", 1e6])
    with pytest.raises(ProtocolError, match="no reply"):
        await run(sending(Response(body)))
    assert body.closed


async def test_a_flood_after_a_failure_is_left_at_once() -> None:
    body = Ours([b"!", FLOOD])
    with pytest.raises(ProtocolError):
        await run(sending(Response(body)))
    assert body.given == 1


@BODIES
@pytest.mark.parametrize(
    "rest", [[b"because"], [b"because", 99.0], [b"because", httpx2.ReadError("x")]]
)
async def test_an_error_status_is_told_with_what_came_of_its_body(
    kind: type[Body], rest: list[Any]
) -> None:
    body = kind(list(rest))
    with pytest.raises(StatusError, match="because") as caught:
        await run(sending(Response(body, 503)))
    assert caught.value.status == 503
    assert body.closed


@BODIES
async def test_of_an_endless_error_body_only_the_beginning_is_read(kind: type[Body]) -> None:
    more: list[Any] = [FLOOD] if kind is Ours else [b"x" * 1024, 0.0] * 1000
    with pytest.raises(StatusError) as caught:
        await run(sending(Response(kind(list(more)), 500)))
    assert len(caught.value.message) == MAX_ERROR_BYTES


async def test_an_error_body_that_nobody_can_decode_leaves_the_status() -> None:
    with pytest.raises(StatusError) as caught:
        await run(sending(Response(Body([b"x"]), 503, {"content-encoding": "br"})))
    assert caught.value.status == 503


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_an_error_status(status: int) -> None:
    with pytest.raises(StatusError) as caught:
        await run(sending(Response(Body([]), status, {"location": "http://elsewhere"})))
    assert caught.value.status == status


ERRORS: dict[str, tuple[type[BackendError], str]] = {
    "ConnectError": (BackendUnavailable, "http://box:1"),
    "ConnectTimeout": (BackendUnavailable, "http://box:1"),
    "PoolTimeout": (BackendUnavailable, "higher limits"),
    "ReadTimeout": (BackendTimeout, "own time limit"),
    "WriteTimeout": (BackendTimeout, "own time limit"),
    "DecodingError": (ProtocolError, "DecodingError"),
    "UnsupportedProtocol": (ProtocolError, "UnsupportedProtocol"),
    "LocalProtocolError": (ProtocolError, "LocalProtocolError"),
    "RemoteProtocolError": (ConnectionLost, "broke"),
    "ReadError": (ConnectionLost, "broke"),
    "WriteError": (ConnectionLost, "broke"),
    "CloseError": (ConnectionLost, "broke"),
    "ProxyError": (BackendUnavailable, "the proxy before http://box:1 refused"),
}


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("words", ["", "what it says"])
async def test_an_error_of_the_http_library_becomes_ours(
    library: Any, name: str, words: str
) -> None:
    kind, match = ERRORS[name]
    original = getattr(library, name)(words)
    with pytest.raises(kind, match=match) as caught:
        await run(sending(original))
    assert type(caught.value) is kind
    assert caught.value.__cause__ is original
    assert words in str(caught.value) or name == "PoolTimeout"
    assert "secret" not in str(caught.value)


async def test_any_other_error_comes_out_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        await run(sending(ZeroDivisionError()))


async def test_an_outer_cancellation_is_no_timeout() -> None:
    body = Body([b"a", math.inf])
    with anyio.move_on_after(3) as scope:
        await run(sending(Response(body)))
    assert scope.cancelled_caught
    assert body.closed


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 0 "}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 -0000"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": f"Mon, 01 Jan {'9' * 20} 00:00:00 GMT"}, None),
        ({"retry-after": f"Wed, 21 Oct 2015 07:28:00 +{'9' * 20}"}, None),
    ],
)
async def test_retry_after_is_seconds_or_a_date(
    said: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(said) == seconds
