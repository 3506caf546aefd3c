"""
A fast model server: just enough of the Ollama protocol to measure clients with.

It is a process of its own and does as little as it can per token: replies are rendered
once, one timer serves all connections, and tokens that are due at the same time leave
in one write (each in its own HTTP chunk). So it never is what a measurement waits for.

    POST /api/chat               a reply as NDJSON, paced by the model's name
    POST /v1/chat/completions    the same as server-sent events, for OpenAI clients
    GET  /stats                  what was served so far, as JSON
    POST /reset                  forget what was counted

Hang-ups are noted on `time.monotonic`, which all processes of one machine share, under
the number that the prompt carries: ``request-17``. A prompt that says ``briefly`` gets one
token at once, whatever the model, to make a connection ready. Faults, honest replies and strict
parsing are not its business; `motet.testing` has a server for those.

References: https://github.com/ollama/ollama/blob/main/docs/api.md, "Generate a chat
completion"; RFC 9112 section 7.1, "Chunked transfer coding".
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import gc
import heapq
import importlib
import json
import math
import re
import sys
import time
from collections.abc import Callable
from typing import Any, Final, cast

import attrs

from benchmarks._limits import raise_open_files_limit
from benchmarks._pacing import WARM_UP, WORD, Pacing, parse_model

TICK: Final = 0.001  # seconds; finer is lost anyway, epoll waits in milliseconds
_ROUNDING: Final = 1e-6  # ticks; a time that is a whole tick stays that tick
BACKLOG: Final = 8192  # as long as the system allows: a full one costs a second per connect

# Everything that came before a question about the counters has been counted when it is
# answered: a hang-up needs two turns of the event loop from the socket to the counter.
STATS_DELAY: Final = 0.005  # seconds

_REQUEST_ID: Final = re.compile(rb"request-(\d+)")
_BRIEFLY: Final = WARM_UP.encode()
_CONTENT_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@attrs.frozen
class Dialect:
    """The bytes of one protocol."""

    head: bytes
    before: bytes  # the text of the token
    after: bytes
    end: bytes

    def token(self, text: str) -> bytes:
        """Return one token as one HTTP chunk."""
        return _chunk(self.before + text.encode() + self.after)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _head(content_type: bytes) -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n" % content_type
    )


OLLAMA: Final = Dialect(
    head=_head(b"application/x-ndjson"),
    before=b'{"model":"load","created_at":"2026-01-01T00:00:00.123456789Z",'
    b'"message":{"role":"assistant","content":"',
    after=b'"},"done":false}\n',
    end=_chunk(
        b'{"model":"load","created_at":"2026-01-01T00:00:00.123456789Z",'
        b'"message":{"role":"assistant","content":""},"done":true,"done_reason":"stop",'
        b'"total_duration":1000000,"load_duration":1000,"prompt_eval_count":10,'
        b'"prompt_eval_duration":1000,"eval_count":20,"eval_duration":1000}\n'
    )
    + b"0\r\n\r\n",
)

OPENAI: Final = Dialect(
    head=_head(b"text/event-stream"),
    before=b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"load",'
    b'"choices":[{"index":0,"delta":{"role":"assistant","content":"',
    after=b'"},"finish_reason":null}]}\n\n',
    end=_chunk(
        b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"load",'
        b'"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    )
    + _chunk(b"data: [DONE]\n\n")
    + b"0\r\n\r\n",
)


@attrs.define
class Counters:
    """What the server saw since the last reset, and what is open now."""

    connections: int = 0  # open now
    serving: int = 0  # replies under way now
    accepted: int = 0
    requests: int = 0
    completed: int = 0
    tokens: int = 0
    hangups: list[tuple[int, float]] = attrs.field(factory=list)  # request id, monotonic seconds

    def reset(self) -> None:
        """Forget the past; what is open stays counted."""
        self.accepted = self.requests = self.completed = self.tokens = 0
        self.hangups.clear()


class Ticker:
    """One timer for all replies: callbacks in buckets of one millisecond."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._buckets: dict[int, list[Callable[[float], None]]] = {}
        self._ticks: list[int] = []  # a heap of the keys of the buckets
        self._timer: asyncio.TimerHandle | None = None
        self._past = 0  # the last tick that was run

    def call_at(self, when: float, fn: Callable[[float], None]) -> None:
        """Call *fn* with the time at *when*, on the event loop's clock, or a tick later.

        Never within the present tick: what two calls write must leave in two writes.
        """
        tick = max(math.ceil(when / TICK - _ROUNDING), self._past + 1)
        bucket = self._buckets.get(tick)
        if bucket is not None:
            bucket.append(fn)
            return
        self._buckets[tick] = [fn]
        heapq.heappush(self._ticks, tick)
        if self._ticks[0] == tick:
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._ticks[0] * TICK, self._run)

    def _run(self) -> None:
        now = self._loop.time()
        self._past = int(now / TICK + _ROUNDING)
        while self._ticks and self._ticks[0] <= self._past:
            for fn in self._buckets.pop(heapq.heappop(self._ticks)):
                fn(now)
        if self._ticks:
            self._arm()


class Reply:
    """One reply under way."""

    __slots__ = ("_connection", "_dialect", "_due", "_left", "_pacing", "_ticker", "request_id")

    def __init__(
        self, connection: Connection, pacing: Pacing, dialect: Dialect, request_id: int
    ) -> None:
        self._connection = connection
        self._pacing = pacing
        self._dialect = dialect
        self._ticker = connection.server.ticker
        self._left = pacing.tokens
        self._due = 0.0
        self.request_id = request_id

    def start(self, now: float) -> None:
        """Send what is due at once and leave the rest to the ticker; *now* is the loop's."""
        self._due = now + self._pacing.first
        if self._pacing.first > 0:
            self._ticker.call_at(self._due, self.step)
        else:
            self.step(now)

    def step(self, now: float) -> None:
        """Send all tokens that are due, or the end when there are none left."""
        connection = self._connection
        if connection.reply is not self:  # hung up, while this call waited in the ticker
            return
        pacing = self._pacing
        begun = self._left < pacing.tokens
        if pacing.tokens and not self._left:
            connection.finish(self._dialect.end)
            return
        count = self._count_due(now)
        self._left -= count
        connection.server.counters.tokens += count
        data = _render(self._dialect, pacing, count)
        if not begun:
            data = self._dialect.head + data
        if self._left:
            connection.write(data)
            self._due += pacing.gap * count
        elif pacing.silence or pacing.segments:
            connection.write(data)
            self._due += pacing.gap + pacing.silence
        else:
            connection.finish(data + self._dialect.end)
            return
        self._ticker.call_at(self._due, self.step)

    def _count_due(self, now: float) -> int:
        pacing = self._pacing
        if pacing.segments:
            return 1
        if not pacing.gap:
            return self._left
        # Late: as a slow network would, send at once what is due by now.
        return min(self._left, 1 + max(0, int((now - self._due) / pacing.gap)))


def _render(dialect: Dialect, pacing: Pacing, count: int) -> bytes:
    if not pacing.stamped:
        return dialect.token(WORD) * count
    return dialect.token(f"{time.monotonic():.6f} ") * count


@functools.lru_cache(maxsize=256)
def _without_delay(pacing: Pacing) -> Pacing:
    return Pacing(tokens=1, stamped=pacing.stamped)


class Connection(asyncio.Protocol):
    """One client: parses requests just well enough and owns the reply under way."""

    __slots__ = ("_buffer", "_transport", "reply", "server")

    def __init__(self, server: LoadServer) -> None:
        self.server = server
        self.reply: Reply | None = None
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self.server.counters.connections += 1
        self.server.counters.accepted += 1

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[: end + 2]
            length = _CONTENT_LENGTH.search(head)
            body_end = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < body_end:
                return
            body = self._buffer[end + 4 : body_end]
            self._buffer = self._buffer[body_end:]
            self._dispatch(head[: head.index(b" HTTP/")], body)

    def eof_received(self) -> bool:
        self._hung_up()
        return False  # close our side too

    def connection_lost(self, exc: Exception | None) -> None:
        self._hung_up()
        self.server.counters.connections -= 1
        self._transport = None

    def _hung_up(self) -> None:
        if self.reply is not None:
            counters = self.server.counters
            counters.hangups.append((self.reply.request_id, time.monotonic()))
            counters.serving -= 1
            self.reply = None

    def write(self, data: bytes) -> None:
        """Send *data*; a connection that is gone swallows it."""
        if self._transport is not None:
            self._transport.write(data)

    def finish(self, data: bytes) -> None:
        """Send the last bytes of the reply under way."""
        self.write(data)
        self.reply = None
        self.server.counters.serving -= 1
        self.server.counters.completed += 1

    def _dispatch(self, request: bytes, body: bytes) -> None:
        match request:
            case b"POST /api/chat":
                self._serve(OLLAMA, body)
            case b"POST /v1/chat/completions":
                self._serve(OPENAI, body)
            case b"GET /stats":
                self.server.loop.call_later(STATS_DELAY, self._answer_stats)
            case b"POST /reset":
                self.server.counters.reset()
                self._answer(200, {})
            case b"GET /api/version":
                self._answer(200, {"version": "0.0.0-load"})
            case _:
                self._answer(404, {"error": f"not served here: {request.decode()}"})

    def _serve(self, dialect: Dialect, body: bytes) -> None:
        counters = self.server.counters
        counters.requests += 1
        try:
            pacing = parse_model(json.loads(body)["model"])
        except (ValueError, LookupError, TypeError) as exc:
            self._answer(404, {"error": str(exc)})
            return
        if _BRIEFLY in body:
            pacing = _without_delay(pacing)
        numbered = _REQUEST_ID.search(body)
        self.reply = Reply(self, pacing, dialect, int(numbered[1]) if numbered else -1)
        counters.serving += 1
        self.reply.start(self.server.loop.time())

    def _answer_stats(self) -> None:
        self._answer(200, {**attrs.asdict(self.server.counters), "cpu": time.process_time()})

    def _answer(self, status: int, record: dict[str, Any]) -> None:
        body = json.dumps(record).encode()
        self.write(
            b"HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (status, len(body), body)
        )


class LoadServer:
    """What all connections share."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.counters = Counters()
        self.ticker = Ticker(loop)

    def connect(self) -> Connection:
        """Make the protocol of one new connection."""
        return Connection(self)


async def _serve(host: str, port: int, until_stdin_closes: bool) -> None:
    loop = asyncio.get_running_loop()
    server = LoadServer(loop)
    listener = await loop.create_server(server.connect, host, port, backlog=BACKLOG)
    address, bound_port = listener.sockets[0].getsockname()[:2]
    print(f"http://{address}:{bound_port}", flush=True)
    stop = asyncio.Event()
    if until_stdin_closes:
        # A parent that dies, however it dies, takes its server with it.
        loop.add_reader(sys.stdin.fileno(), stop.set)
    await stop.wait()
    listener.close()


def main() -> None:
    """Serve until interrupted, or until the parent closes standard input."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 (default): any free one")
    parser.add_argument("--until-stdin-closes", action="store_true")
    arguments = parser.parse_args()
    raise_open_files_limit()
    # Connections are dropped by reference counting; walking five thousand of them again
    # and again would only make tokens late.
    gc.disable()
    try:
        loop_factory = importlib.import_module("uvloop").new_event_loop
    except ImportError:
        loop_factory = asyncio.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        try:
            runner.run(_serve(arguments.host, arguments.port, arguments.until_stdin_closes))
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
