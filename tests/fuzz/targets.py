"""
What is fuzzed: each parser, given any bytes, cut anywhere.

A target takes bytes and raises only if the parser is wrong: an error that is none of the
documented ones, a result that depends on how the bytes were cut, a piece that is too
large. Hypothesis runs the targets in the tests; `fuzz.run` gives them to atheris.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import zlib
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, TypeVar

import anyio
import httpx2

from motet import BackendError, ProtocolError
from motet._http.connection import Connection
from motet._values.secrets import MIN_SECRET_CHARACTERS, REDACTED, redacted, redacted_value
from motet._wire.chunked import ChunkedDecoder
from motet._wire.decompress import MAX_PIECE_BYTES, Decompressor
from motet._wire.ndjson import LineSplitter
from motet._wire.ollama import ReplyRecord
from motet._wire.openai_replies import ChatRecord
from motet._wire.sse import EventSplitter
from motet._wire.wording import error_text

T = TypeVar("T")
Target = Callable[[bytes], None]

# Small, so that the fuzzer finds the limits.
_MAX_LINE: Final = 64
_MAX_DECODED: Final = 4 * 1024 * 1024


def cut(data: bytes) -> tuple[bytes, list[bytes]]:
    """Return what is to be parsed, and the same in pieces; the first byte says how."""
    if not data:
        return b"", []
    size, body = data[0] % 16 + 1, data[1:]
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    if data[0] & 0x80:  # the first piece with all but its end
        pieces = [body[:-size], body[-size:]]
    return body, pieces


def _split(splitter: Any, pieces: Iterable[bytes]) -> tuple[list[bytes], bool]:
    found: list[bytes] = []
    try:
        for piece in pieces:
            found += splitter.feed(piece)
        found.append(splitter.finish())
    except ProtocolError:
        return found, True
    return found, False


def ndjson(data: bytes) -> None:
    """Lines do not depend on how they were cut."""
    body, pieces = cut(data)
    whole = _split(LineSplitter(max_line_bytes=_MAX_LINE), [body])
    assert whole == _split(LineSplitter(max_line_bytes=_MAX_LINE), pieces)
    assert all(len(line) <= _MAX_LINE for line in whole[0])


def sse(data: bytes) -> None:
    """Events do not depend on how they were cut."""
    body, pieces = cut(data)
    whole = _split(EventSplitter(max_event_bytes=_MAX_LINE), [body])
    assert whole == _split(EventSplitter(max_event_bytes=_MAX_LINE), pieces)


def _dechunk(pieces: Iterable[bytes]) -> tuple[bytes, bool, bool, bool]:
    decoder, payload, wrong = ChunkedDecoder(), b"", False
    for piece in pieces:
        try:
            payload += decoder.feed(piece)
        except ProtocolError:
            payload, wrong = payload + decoder.rescued, True
            break
    return payload, wrong, decoder.complete, decoder.surplus


def chunked(data: bytes) -> None:
    """A chunked body does not depend on how it was cut."""
    body, pieces = cut(data)
    assert _dechunk([body]) == _dechunk(pieces)


def _decompressed(coding: str, pieces: Iterable[bytes]) -> tuple[bytes, bool]:
    decoder, out = Decompressor(coding), bytearray()
    try:
        for piece in itertools.chain.from_iterable(map(decoder.feed, pieces)):
            assert 0 < len(piece) <= MAX_PIECE_BYTES
            out += piece
            if len(out) > _MAX_DECODED:
                break
    except ProtocolError:
        return bytes(out), True
    return bytes(out), False


def decompress(data: bytes) -> None:
    """A compressed body is decoded in bounded pieces, whatever it is and however it was cut."""
    body, pieces = cut(data)
    for coding in ("gzip", "deflate"):
        _decompressed(coding, [body])
        _decompressed(coding, pieces)
    for coding, pack in (("gzip", gzip.compress), ("deflate", zlib.compress)):
        packed = pack(body)
        each = [packed[at : at + 1] for at in range(len(packed))]
        assert _decompressed(coding, [packed]) == _decompressed(coding, each) == (body, False)


def coding(data: bytes) -> None:
    """The name of a content coding is known or refused."""
    with contextlib.suppress(ProtocolError):
        Decompressor(data.decode("latin-1"))


class _Stream:
    """A connected stream whose peer says what it is to say and hangs up."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]
        self.reads = 0

    def extra(self, attribute: object) -> None:
        return None

    async def send(self, data: bytes) -> None:
        return None

    async def receive(self, size: int) -> bytes:
        self.reads += 1
        if not self._pieces:
            raise anyio.EndOfStream
        return self._pieces.pop(0)

    async def pump(self, take: Callable[[bytes], bool]) -> None:
        while take(await self.receive(0)):
            pass


def _now(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run what never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    raise AssertionError("it waits for something that is not the stream")


async def _read_in_pieces(connection: Connection, body: bytearray) -> None:
    while data := await connection.read():
        body += data


async def _read_handed_on(connection: Connection, body: bytearray) -> None:
    def take(data: bytes) -> bool:
        body.extend(data)
        return True

    await connection.pump(take)


async def _converse(
    connection: Connection, read: Callable[[Connection, bytearray], Coroutine[Any, Any, None]]
) -> list[tuple[int, bytes]]:
    answers = []
    for method in (b"POST", b"HEAD", b"POST"):
        await connection.send(method, b"/", [(b"Host", b"x")], b"")
        head, body = await connection.receive_head(), bytearray()
        await read(connection, body)
        answers.append((head.status_code, bytes(body)))
        if not connection.make_ready(60):
            break
    return answers


def connection(data: bytes) -> None:
    """Whatever a server says, the connection ends, and with a documented error."""
    body, pieces = cut(data)
    results = []
    for said, read in itertools.product(([body], pieces), (_read_in_pieces, _read_handed_on)):
        stream = _Stream(said)
        try:
            results.append(_now(_converse(Connection(stream), read)))  # type: ignore[arg-type]
        except (httpx2.TransportError, ProtocolError):
            results.append([])
        # After the end of the stream there is no going round and round.
        assert stream.reads <= len(said) + 4
    # Cut in another way, a connection may be given up after an answer and not before it.
    for answers in zip(*results, strict=False):
        assert answers.count(answers[0]) == len(answers)
    # Read in another way, it is just the same.
    assert (results[0], results[2]) == (results[1], results[3])


def _read(splitter: Any, record: Any, pieces: Iterable[bytes]) -> tuple[object, ...]:
    wrong = False
    try:
        for piece in pieces:
            for item in splitter.feed(piece):
                text, thoughts = record.take(item)
                assert isinstance(text, str)
                assert isinstance(thoughts, str)
        if rest := splitter.finish():
            record.take(rest)
        record.check()
    except BackendError as exc:
        wrong = True
        str(exc)
    facts = (record.text, record.thinking, record.model, record.finish_reasons, record.usage)
    return (wrong, record.done, *map(repr, (*facts, record.tool_calls, record.response())))


def ollama(data: bytes) -> None:
    """Ollama's replies, read to their end or to an error, always have facts."""
    body, pieces = cut(data)
    assert _read(LineSplitter(), ReplyRecord(), [body]) == _read(
        LineSplitter(), ReplyRecord(), pieces
    )


def openai(data: bytes) -> None:
    """OpenAI's replies, read to their end or to an error, always have facts."""
    body, pieces = cut(data)
    assert _read(EventSplitter(), ChatRecord(), [body]) == _read(
        EventSplitter(), ChatRecord(), pieces
    )


def errors(data: bytes) -> None:
    """What a server says is put into one short line, without what it repeats of a key."""
    line = error_text(data)
    assert len(line) <= 1000
    assert "\n" not in line
    key = "".join(character for character in data[:24].decode("latin-1") if character.isalnum())
    hidden = redacted(f"{line} {key} {line}", [key])
    if len(key) >= MIN_SECRET_CHARACTERS and key not in REDACTED:
        assert key not in hidden
    redacted_value({"said": line, key: [line, key]}, [key])


TARGETS: Final[dict[str, Target]] = {
    target.__name__: target
    for target in (
        ndjson,
        sse,
        chunked,
        decompress,
        coding,
        connection,
        ollama,
        openai,
        errors,
    )
}

# Where a fuzzer begins. The first byte says how the rest is cut.
SEEDS: Final[dict[str, list[bytes]]] = {
    "ndjson": [b'\x02{"a":1}\r\n\n{"b":2}\n{"c"', b"\x00" + b"x" * 70 + b"\n"],
    "sse": [
        b"\x01\xef\xbb\xbfno event at all",
        b"\x01\xef\xbb\xbf" + b"x" * 63,
        b": c\n\ndata: a\r\ndata: b\r\n\r\nevent: x\rdata\r\r",
        b"\x01\xef\xbb\xbfdata: a\n\n",
    ],
    "chunked": [b"\x035;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n", b"\x00A\r\n0123456789\r\n0\r\n\r\nx"],
    "decompress": [b"\x00" + gzip.compress(b"hello"), b"\x01" + zlib.compress(b"a" * 999)],
    "coding": [b"gzip", b"deflate", b"gzip, gzip", b"br"],
    "connection": [
        b"\x05HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"\x0fHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 204 No\r\n\r\n",
        b"\x81HTTP/1.1 103 Hints\r\n\r\nHTTP/1.0 200 OK\r\n\r\nhello",
        b"\x01HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    "ollama": [
        (
            b'\x04{"message":{"content":"h\xc3\xa9","thinking":"t"},"done":false}\n'
            b'{"done":true,"done_reason":"stop","eval_count":2,"eval_duration":9}\n'
        ),
        b'\x00{"message":{"tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]}}\n',
        b'\x00{"error":"no"}\n',
    ],
    "openai": [
        (
            b'\x06data: {"choices":[{"index":0,"delta":{"content":"h\xc3\xa9"}}]}\n\n'
            b'data: {"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"total_tokens":3}}\n\n'
            b"data: [DONE]\n\n"
        ),
        (
            b'\x00data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c","function":'
            b'{"name":"f","arguments":"{\\"a\\":"}}]}}]}\n\ndata: {"choices":[{"delta":{"tool_calls":'
            b'[{"index":0,"function":{"arguments":"1}"}}]}}]}\n\n'
        ),
        b'\x00data: {"error":{"message":"no"}}\n\n',
        b'\x00{"choices":[{"message":{"content":"whole"},"finish_reason":"stop"}]}',
    ],
    "errors": [b'{"error":{"message":"no"}}', b'{"detail":[{"msg":"a"}]}', b"\xff<html>"],
}
