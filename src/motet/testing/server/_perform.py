"""
Give one response: write it as its step says, at its pace, and break it where it must.

This module brings together what the others know: a step, the model's words, a dialect's
bytes, a connection. It knows no other request and does not decide which step is taken.
"""

import math
from collections.abc import Sequence
from typing import Any, Final, assert_never

import anyio
import anyio.lowlevel
import attrs
import msgspec

from motet.testing.server._http import HTTPConnection
from motet.testing.server._pacing import Pace
from motet.testing.server._protocol import Answer, Ask, Call, Delta, Kind, Stats, tokenise
from motet.testing.server._records import Log, Outcome, ServedRequest
from motet.testing.server._replies import invent
from motet.testing.server._scripts import (
    Drop,
    EndlessHeaders,
    EndlessLine,
    ErrorLine,
    Fault,
    Garbage,
    Redirect,
    Refuse,
    Reply,
    Reset,
    Stall,
    Truncate,
)

_JSON: Final = "application/json; charset=utf-8"
# A reply without a pace lets the others run after so many tokens, which also is when a
# hang-up is noticed. A checkpoint at each would double the cost of a token.
_TOKENS_PER_CHECKPOINT: Final = 16
_FILLER: Final = b"x" * 16 * 1024


class Broken(Exception):
    """The connection must not be used any more; its last bytes are written."""


@attrs.define
class Performance:
    """One response to one request."""

    connection: HTTPConnection
    request: ServedRequest
    log: Log
    pace: Pace
    headers_at_once: bool

    # --- without the model

    async def answer(self, answer: Answer) -> Outcome:
        """Send a response that needs no model."""
        if answer.effect is not None:
            answer.effect()
        if answer.text is not None:
            body, content_type = answer.text.encode(), answer.content_type
        else:
            body, content_type = msgspec.json.encode(answer.payload), _JSON
        await self._plain(answer.status, body, content_type)
        return Outcome.FINISHED if answer.status < 400 else Outcome.REFUSED

    async def refuse(self, refusal: Refuse, payload: object) -> Outcome:
        """Send an error status."""
        body = msgspec.json.encode(payload) if refusal.body is None else refusal.body
        await self._plain(refusal.status, body, _JSON, refusal.headers.items())
        return Outcome.REFUSED

    async def redirect(self, redirect: Redirect) -> Outcome:
        """Send the client elsewhere."""
        where = [("location", redirect.location)]
        await self._plain(redirect.status, b"", "text/plain", where)
        return Outcome.REFUSED

    async def endless_headers(self, step: EndlessHeaders) -> Outcome:
        """Send headers until the client has had enough."""
        # By hand, because h11 would not write half a head.
        await self.connection.write(b"HTTP/1.1 200 OK\r\n")
        line = b"x-filler: " + _FILLER[:1000] + b"\r\n"
        await self._flood(line * 16, step.max_bytes)
        raise Broken

    async def _plain(self, status: int, body: bytes, content_type: str, headers: Any = ()) -> None:
        chosen = dict([("content-type", content_type), *((k.lower(), v) for k, v in headers)])
        await self.connection.write(self._plain_bytes(status, body, list(chosen.items())))

    def _plain_bytes(self, status: int, body: bytes, headers: list[tuple[str, str]]) -> bytes:
        http = self.connection
        head = http.frame_head(status, [*headers, ("content-length", str(len(body)))])
        if self.request.method == "HEAD":
            body = b""
        return head + http.frame_data(body) + http.frame_end()

    # --- with the model

    async def reply(self, call: Call, reply: Reply, started: float) -> Outcome:
        """Send the model's reply.

        Args:
            call: what the client wants.
            reply: how it shall get it.
            started: when the request arrived, on the event loop's clock.

        Raises:
            Broken: as the reply's fault wants it.
            HungUp: the client has closed the connection.
        """
        deltas, reason = _deltas(call.ask, reply)
        pace = self.pace.but(reply.time_to_first_token, reply.tokens_per_second)
        course = _Course(self, call, reply, deltas, reply.done_reason or reason, started, pace)
        return await (course.stream() if call.streamed else course.whole())

    async def _flood(self, data: bytes, max_bytes: int) -> None:
        for _ in range(max_bytes // len(data)):
            await self.connection.write(data)
            await anyio.lowlevel.checkpoint()


@attrs.define
class _Course:
    """A reply on its way."""

    performance: Performance
    call: Call
    reply: Reply
    deltas: list[Delta]
    reason: str
    started: float
    pace: Pace
    _late_by: float = attrs.field(default=0.0, init=False)  # seconds, after a stall
    _sent: int = attrs.field(default=0, init=False)
    _head_sent: bool = attrs.field(default=False, init=False)
    _unsliced: bytearray = attrs.field(factory=bytearray, init=False)

    async def stream(self) -> Outcome:
        """Send a delta a line."""
        at_once = self.reply.headers_at_once
        if self.performance.headers_at_once if at_once is None else at_once:
            await self._write(b"")
        fault_at = self._fault_at()
        for index, delta in enumerate(self.deltas):
            if index == fault_at and await self._break():
                return Outcome.FAILED
            await self._wait_for(index)
            await self._write(self._lines(self.call.writer.delta(delta)))
            self._sent += 1
            self.performance.log.sent(self.performance.request, delta.text)
        if fault_at >= len(self.deltas) and fault_at is not math.inf and await self._break():
            return Outcome.FAILED
        if not self.deltas:
            await self._wait_for(0)
        await self._write(self._lines(self.call.writer.last(self._stats())), last=True)
        return Outcome.FINISHED

    async def whole(self) -> Outcome:
        """Send all of it in one piece, when the last token is due."""
        fault_at = self._fault_at()
        last = max(0, min(fault_at, len(self.deltas)) - 1)
        await self._wait_for(int(last))
        if fault_at is not math.inf and await self._break_whole():
            return Outcome.FAILED
        await self._wait_for(max(0, len(self.deltas) - 1))
        await self._send_whole(self.call.writer.whole(self.deltas, self._stats()))
        for delta in self.deltas:
            self.performance.log.sent(self.performance.request, delta.text)
        return Outcome.FINISHED

    async def _wait_for(self, index: int) -> None:
        delay = self.started + self._late_by + self.pace.due(index) - anyio.current_time()
        if delay > 0:
            await anyio.sleep(delay)
        elif index % _TOKENS_PER_CHECKPOINT == _TOKENS_PER_CHECKPOINT - 1:
            await anyio.lowlevel.checkpoint()

    def _fault_at(self) -> float:
        return math.inf if self.reply.fault is None else self.reply.fault.after_tokens

    async def _break(self) -> bool:
        """Do what the fault says; true if the reply ends by it, properly framed."""
        fault = self.reply.fault
        assert fault is not None
        match fault:
            case Stall():
                await self._stall(fault)
                return False
            case Drop() | Reset():
                await self._write(b"")  # a head at least, or no body would be broken
                self._disconnect(fault)
            case Garbage():
                await self._write(self._garbage(fault), last=True)
            case ErrorLine():
                await self._write(self._lines(self.call.writer.error(fault.message)), last=True)
            case Truncate():
                await self._write(b"", last=True)
            case EndlessLine():
                await self._write(self.call.writer.endless())
                await self._endless(fault)
            case _:
                assert_never(fault)
        return True

    async def _break_whole(self) -> bool:
        """Do the same to a reply that is not streamed."""
        fault = self.reply.fault
        assert fault is not None
        writer = self.call.writer
        deltas = self.deltas[: fault.after_tokens]
        match fault:
            case Stall():
                await self._stall(fault)
                return False
            case Drop() | Reset():
                body = writer.whole(self.deltas, self._stats())
                await self._send_whole(body, cut=len(body) // 2)
                self._disconnect(fault)
            case Garbage():
                await self._send_whole(self._garbage(fault))
            case ErrorLine():
                await self._send_whole(writer.error(fault.message), status=500)
            case Truncate():
                await self._send_whole(writer.whole(deltas, None))
            case EndlessLine():
                await self._write(writer.endless())
                await self._endless(fault)
            case _:
                assert_never(fault)
        return True

    async def _stall(self, fault: Stall) -> None:
        self._late_by += fault.seconds
        over = anyio.current_time() + fault.seconds
        if fault.keep_alive is not None and self.call.streamed:
            while anyio.current_time() < over:
                await self._write(self._lines(self.call.writer.keep_alive()))
                left = over - anyio.current_time()
                await anyio.sleep(max(0.0, min(fault.keep_alive, left)))
        else:
            await anyio.sleep(fault.seconds)

    def _garbage(self, fault: Garbage) -> bytes:
        return self.call.writer.garbage() if fault.data is None else fault.data

    async def _endless(self, fault: EndlessLine) -> None:
        http = self.performance.connection
        await self.performance._flood(http.frame_data(_FILLER), fault.max_bytes)
        raise Broken

    def _disconnect(self, fault: Fault) -> None:
        if isinstance(fault, Reset):
            self.performance.connection.reset()
        raise Broken

    # --- bytes

    def _lines(self, line: bytes) -> bytes:
        if self.reply.newline != "\n":
            line = line.replace(b"\n", self.reply.newline.encode())
        if self.reply.blank_lines:
            line = self.reply.newline.encode() + line
        return line

    async def _write(self, body: bytes, *, last: bool = False) -> None:
        """Write a part of a chunked body, the head before the first."""
        http = self.performance.connection
        data = b""
        if not self._head_sent:
            self._head_sent = True
            content_type = self.reply.content_type or self.call.writer.stream_content_type
            if not self.call.streamed:
                content_type = self.reply.content_type or _JSON
            data = http.frame_head(200, [("content-type", content_type)])
        if self.reply.slice_bytes is None:
            data += http.frame_data(body) if body else b""
        else:
            data += self._sliced(body, self.reply.slice_bytes, last)
        if last:
            data += http.frame_end()
        await http.write(data)

    def _sliced(self, body: bytes, size: int, last: bool) -> bytes:
        # Each slice is a chunk of its own: bytes that merely leave the server one by one
        # would reach a slow client in one piece.
        self._unsliced += body
        whole = len(self._unsliced) if last else len(self._unsliced) // size * size
        ready = bytes(self._unsliced[:whole])
        del self._unsliced[:whole]
        frame = self.performance.connection.frame_data
        return b"".join(frame(ready[at : at + size]) for at in range(0, whole, size))

    async def _send_whole(self, body: bytes, *, status: int = 200, cut: int | None = None) -> None:
        if self.reply.slice_bytes is not None and status == 200 and cut is None:
            await self._write(body, last=True)
            return
        headers = [("content-type", self.reply.content_type or _JSON)]
        data = self.performance._plain_bytes(status, body, headers)
        await self.performance.connection.write(
            data if cut is None else data[: len(data) - len(body) + cut]
        )

    def _stats(self) -> Stats:
        arrived = self.started
        first = self.started + self.pace.due(0)
        now = anyio.current_time()
        return Stats(
            done_reason=self.reason,
            prompt_tokens=self.call.ask.prompt_tokens,
            reply_tokens=len(self.deltas),
            prompt_duration=max(0.0, min(first, now) - arrived),
            reply_duration=max(0.0, now - first),
        )


def _deltas(ask: Ask, reply: Reply) -> tuple[list[Delta], str]:
    """Return what is sent, and why it ends."""
    invented = invent(ask) if reply.text is None else None
    text: str | Sequence[str] = "" if reply.text is None else reply.text
    thinking: str | Sequence[str] = "" if reply.thinking is None else reply.thinking
    if invented is not None:
        text = invented.text
        if reply.thinking is None:
            thinking = invented.thinking
    deltas = [Delta(Kind.THINKING, token) for token in _tokens(thinking)]
    deltas += [Delta(Kind.TEXT, token) for token in _tokens(_before(text, ask.stop))]
    reason = "stop"
    if ask.max_tokens is not None and len(deltas) > ask.max_tokens:
        del deltas[ask.max_tokens :]
        reason = "length"
    deltas += [Delta(Kind.TOOL_CALL, tool_call=call) for call in reply.tool_calls]
    return deltas, reason


def _tokens(text: str | Sequence[str]) -> list[str]:
    return tokenise(text) if isinstance(text, str) else list(text)


def _before(text: str | Sequence[str], stop: tuple[str, ...]) -> str | Sequence[str]:
    """Cut a text before the first stop string."""
    if not stop:
        return text
    whole = text if isinstance(text, str) else "".join(text)
    found = [at for at in (whole.find(string) for string in stop) if at >= 0]
    return whole[: min(found)] if found else text
