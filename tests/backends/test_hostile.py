"""Servers that mean harm: to the memory, to the event loop, to keys."""

import gzip
import logging
import tracemalloc
import zlib
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import httpx2
import pytest

from backends.raw import OK, Handler, Visit, answers, chunked, raw_server, whole
from motet import (
    BackendError,
    BackendUnavailable,
    CBlock,
    FallbackBackend,
    ModelOption,
    ProtocolError,
    ReplyTooLarge,
    SimpleContext,
    StatusError,
)
from motet._http.connection import MAX_HEADER_BYTES
from motet._wire.chunked import MAX_TRAILER_BYTES
from motet.backends import OllamaModelBackend, OpenAIBackend

pytestmark = pytest.mark.anyio

LINE = b'{"model":"m","message":{"role":"assistant","content":"hi"},"done":false}\n'
LAST = b'{"model":"m","done":true,"done_reason":"stop"}\n'
KEY = "b7f0c2d94c5e4a0f-and-more"  # looks like nothing in particular
LIBRARIES = {"ours": None, "httpx": httpx, "httpx2": httpx2}


async def ask(backend: Any, **options: Any) -> str:
    # The test's own limit is far beyond what any of this takes; a hang is what it is for.
    with anyio.fail_after(20):
        thunk = backend.begin(CBlock("Say something."), SimpleContext(), model_options=options)
        text: str = await thunk
        return text


def endless(beginning: bytes, more: bytes) -> Handler:
    """Send *beginning*, and then *more* until the client has had enough."""

    async def handle(visit: Visit) -> None:
        await visit.request()
        await visit.send(beginning)
        while True:
            await visit.send(more)

    return handle


def in_chunks(piece: bytes, count: int = 1) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece) * count


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
ENDLESS: dict[str, tuple[Handler, type[BackendError], int | None]] = {
    "status line": (endless(b"", b"HTTP" * 4096), ReplyTooLarge, MAX_HEADER_BYTES),
    "header": (endless(OK + b"A: ", b"b" * 8192), ReplyTooLarge, MAX_HEADER_BYTES),
    "headers": (endless(OK, b"A: b\r\n" * 999), ReplyTooLarge, MAX_HEADER_BYTES),
    "interim responses": (
        endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 99),
        ProtocolError,
        None,
    ),
    "chunk size": (endless(CHUNKED, b"0" * 999), ReplyTooLarge, 4096),
    "chunk extension": (endless(CHUNKED + b"5;a=", b"b" * 999), ReplyTooLarge, 4096),
    "trailers": (
        endless(CHUNKED + b"0\r\n", b"A: b\r\n" * 999),
        ReplyTooLarge,
        MAX_TRAILER_BYTES,
    ),
    "blank lines": (endless(CHUNKED, in_chunks(b"\n", 999)), ReplyTooLarge, 10**4),
    "line": (endless(CHUNKED, in_chunks(b"x" * 65536)), ReplyTooLarge, 10**6),
    "reply": (endless(CHUNKED, in_chunks(LINE, 99)), ReplyTooLarge, 10**6),
    "reply of one-byte chunks": (
        endless(CHUNKED, b"".join(in_chunks(LINE[at : at + 1]) for at in range(len(LINE)))),
        ReplyTooLarge,
        10**4,
    ),
    "body without a length": (endless(OK + b"\r\n", LINE * 99), ReplyTooLarge, 10**6),
}


@pytest.mark.parametrize("what", ENDLESS)
async def test_what_has_no_end_is_given_one_without_a_time_limit(what: str) -> None:
    handler, kind, limit = ENDLESS[what]
    async with raw_server(handler) as server:
        backend = OllamaModelBackend(
            "m", base_url=server.url, timeout=None, max_reply_bytes=limit or 10**6
        )
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                await anyio.lowlevel.checkpoint()
                beats += 1

        tracemalloc.start()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(beat)
                with pytest.raises(kind) as caught:
                    await ask(backend, **{ModelOption.STREAM_TIMEOUT: None})
                tasks.cancel_scope.cancel()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        if limit is not None:
            assert isinstance(caught.value, ReplyTooLarge)
            assert caught.value.limit == limit
        assert beats > 0  # others have run meanwhile
        assert peak < 32 * 2**20
        await server.wait_empty()


async def test_an_error_status_whose_explanation_has_no_end_is_told() -> None:
    head = b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with raw_server(endless(head, in_chunks(b"busy " * 999))) as server:
        with pytest.raises(StatusError) as caught:
            await ask(OllamaModelBackend("m", base_url=server.url, timeout=None))
        assert len(str(caught.value)) < 1000
        await server.wait_empty()


async def test_a_byte_now_and_then_does_not_move_the_limit_before_the_headers_are_here() -> None:
    async def drip(visit: Visit) -> None:
        await visit.request()
        for at in range(10_000):
            await visit.send((OK + b"A: " + b"b" * 10_000)[at : at + 1])
            await anyio.sleep(0.02)

    async with raw_server(drip) as server:
        with pytest.raises(BackendError):
            await ask(OllamaModelBackend("m", base_url=server.url, timeout=0.3))
        await server.wait_empty()


# --- compression

BOMB = gzip.compress(LINE + b" " * 50_000_000, compresslevel=1)


def _client(name: str, **options: Any) -> Any:
    library: Any = LIBRARIES[name]
    return None if library is None else library.AsyncClient(**options)


async def _closed(http: Any) -> None:
    if http is not None:
        await http.aclose()


@pytest.mark.parametrize("name", LIBRARIES)
async def test_a_compressed_flood_is_not_unpacked(name: str) -> None:
    async with raw_server(answers(chunked(BOMB, headers=b"Content-Encoding: gzip\r\n"))) as server:
        http = _client(name)
        backend = OllamaModelBackend(
            "m", base_url=server.url, http_client=http, max_reply_bytes=10**6
        )
        tracemalloc.start()
        try:
            with pytest.raises(ReplyTooLarge) as caught:
                await ask(backend)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            await _closed(http)
        assert caught.value.partial == "hi"
        assert peak < 16 * 2**20


@pytest.mark.parametrize("name", LIBRARIES)
async def test_a_compressed_explanation_is_not_unpacked_either(name: str) -> None:
    flood = gzip.compress(b"busy" + b" " * 50_000_000, compresslevel=1)
    head = b"HTTP/1.1 503 Busy\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    async with raw_server(answers(head % len(flood) + flood)) as server:
        http = _client(name)
        tracemalloc.start()
        try:
            with pytest.raises(StatusError, match="busy"):
                await ask(OllamaModelBackend("m", base_url=server.url, http_client=http))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            await _closed(http)
        assert peak < 16 * 2**20


def _raw_deflate(data: bytes) -> bytes:
    squeezer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return squeezer.compress(data) + squeezer.flush()


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(LINE) + gzip.compress(LAST)),
        ("X-GZIP", gzip.compress(LINE + LAST)),
        ("deflate", zlib.compress(LINE + LAST)),
        ("deflate", _raw_deflate(LINE + LAST)),
        ("identity", LINE + LAST),
    ],
    ids=["two bodies", "capitals", "wrapped", "bare", "not at all"],
)
@pytest.mark.parametrize("size", [1, 10**6])
async def test_what_is_compressed_once_is_read(
    name: str, coding: str, body: bytes, size: int
) -> None:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    answer = chunked(*pieces, headers=f"Content-Encoding: {coding}\r\n".encode())
    async with raw_server(answers(answer)) as server:
        http = _client(name)
        backend = OllamaModelBackend("m", base_url=server.url, http_client=http)
        assert await ask(backend) == "hi"
        await backend.close_idle()
        await _closed(http)


@pytest.mark.parametrize("coding", ["gzip, gzip", "br", "zstd", "gzip"])
async def test_what_is_compressed_otherwise_is_an_error(coding: str) -> None:
    answer = chunked(LINE, LAST, headers=f"Content-Encoding: {coding}\r\n".encode())
    async with raw_server(answers(answer)) as server:
        with pytest.raises(ProtocolError, match=coding):
            await ask(OllamaModelBackend("m", base_url=server.url))


# --- keys


def backends_with_a_key(url: str, http: Any = None) -> list[Any]:
    return [
        OpenAIBackend("m", base_url=url, api_key=KEY, http_client=http),
        OpenAIBackend("m", base_url=url, headers={"X-API-Key": KEY}, http_client=http),
    ]


def assert_nothing_shows_the_key(error: BaseException | None) -> None:
    while error is not None:
        assert KEY not in repr(error)
        error = error.__cause__ or error.__context__


REPEATED = {
    "an error status": b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n%s",
    "an error in the reply": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s",
}


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("where", REPEATED)
@pytest.mark.parametrize("which", [0, 1])
async def test_a_key_that_a_server_repeats_is_not_in_the_error(
    name: str, where: str, which: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said = b'{"error": {"message": "the key %s is unknown"}}' % KEY.encode()
    async with raw_server(answers(REPEATED[where] % (len(said), said))) as server:
        http = _client(name)
        backend = backends_with_a_key(server.url, http)[which]
        with pytest.raises(BackendError, match=r"the key \[redacted\] is unknown") as caught:
            await ask(backend)
        await _closed(http)
        assert KEY.encode() in server.requests[0]
    assert_nothing_shows_the_key(caught.value)
    assert KEY not in caplog.text
    assert KEY not in repr(backend)


CREDENTIALS = {
    "Cookie": f"theme=dark; session={KEY}; lang=en",
    "Authorization": KEY,
    "Proxy-Authorization": f"Bearer {KEY}",
    "X-Api-Key": KEY,
    "api-key": KEY,
    "X-Auth-Key": KEY,
}


@pytest.mark.parametrize("header", CREDENTIALS)
@pytest.mark.parametrize("where", REPEATED)
async def test_a_credential_in_any_header_that_a_server_repeats_is_not_in_the_error(
    header: str, where: str
) -> None:
    said = b'{"error": {"message": "the theme dark of %s is unknown"}}' % KEY.encode()
    async with raw_server(answers(REPEATED[where] % (len(said), said))) as server:
        headers = {header: CREDENTIALS[header]}
        backend = OpenAIBackend("m", base_url=server.url, headers=headers)
        with pytest.raises(BackendError, match=r"theme dark of \[redacted\] is") as caught:
            await ask(backend)
        assert CREDENTIALS[header].encode() in server.requests[0]
    assert_nothing_shows_the_key(caught.value)


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
async def test_a_cookie_of_a_client_of_ones_own_is_not_repeated(library: Any) -> None:
    said = b'{"error": "who is %s?"}' % KEY.encode()
    answer = b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said)
    async with (
        raw_server(answers(answer)) as server,
        library.AsyncClient(cookies={"session": KEY}) as http,
    ):
        with pytest.raises(StatusError, match=r"who is \[redacted\]\?"):
            await ask(OllamaModelBackend("m", base_url=server.url, http_client=http))
        assert KEY.encode() in server.requests[0]


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("status", [400, 404, 500])
@pytest.mark.parametrize("said", ["who is %s?", "the model m is not found", ""])
async def test_a_key_in_the_query_of_the_address_is_sent_and_not_shown(
    name: str, status: int, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "motet")
    if "%s" in said:
        said %= KEY
    body = b'{"error": {"message": "%s"}}' % said.encode()
    answer = b"HTTP/1.1 %d No\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)
    async with raw_server(answers(answer)) as server:
        http = _client(name)
        url = f"{server.url}/v1?code={KEY}&api-version=2026-11-01"
        backend = OpenAIBackend("m", base_url=url, http_client=http)
        with pytest.raises(BackendError) as caught:
            await ask(FallbackBackend([backend]))
        await backend.close_idle()
        await _closed(http)
        assert f"?code={KEY}&api-version=2026-11-01 HTTP/1.1".encode() in server.requests[0]
    assert f"{server.url}/v1?code=[redacted]&api-version=[redacted]" in str(caught.value)
    assert_nothing_shows_the_key(caught.value)
    assert not any(
        KEY in record.getMessage() for record in caplog.records if record.name == "motet"
    )


async def test_an_address_where_nothing_answers_is_named_without_its_query() -> None:
    backend = OpenAIBackend("m", base_url=f"http://127.0.0.1:1?code={KEY}")
    with pytest.raises(BackendUnavailable, match=r"http://127\.0\.0\.1:1") as caught:
        await ask(backend)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("key", [f"{KEY}\nx", f"“{KEY}”", f"{KEY}…", f"{KEY}\x00"])
async def test_a_key_that_cannot_be_sent_is_refused_and_not_quoted(key: str) -> None:
    with pytest.raises(ValueError, match=r"authorization.*copy that again") as caught:
        OpenAIBackend("m", base_url="http://box/v1", api_key=key)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_takes_a_key_to_another_host(name: str, status: int) -> None:
    async with raw_server(answers(whole(b""))) as elsewhere:
        answer = b"HTTP/1.1 %d Away\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % (
            status,
            elsewhere.url.encode(),
        )
        async with raw_server(answers(answer)) as server:
            for which in (0, 1):
                http = _client(name, follow_redirects=True)
                backend = backends_with_a_key(server.url, http)[which]
                with pytest.raises(StatusError) as caught:
                    await ask(backend)
                await backend.close_idle()
                assert caught.value.status == status
                await _closed(http)
        assert elsewhere.visits == []


async def test_a_password_of_a_client_of_ones_own_is_not_repeated() -> None:
    said = b'{"error": "who is %s?"}' % KEY.encode()
    answer = b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said)
    headers = {"authorization": f"Bearer {KEY}"}
    async with (
        raw_server(answers(answer)) as server,
        httpx2.AsyncClient(headers=headers) as http,
    ):
        with pytest.raises(StatusError, match=r"who is \[redacted\]\?"):
            await ask(OllamaModelBackend("m", base_url=server.url, http_client=http))


async def test_what_the_library_quotes_of_a_header_is_not_shown() -> None:
    async with httpx2.AsyncClient(headers={"x-api-key": f"{KEY}\n"}) as http:
        with pytest.raises((BackendError, BackendUnavailable)) as caught:
            await ask(OllamaModelBackend("m", base_url="http://127.0.0.1:1", http_client=http))
    error: BaseException | None = caught.value
    while error is not None:
        assert KEY not in str(error)
        error = error.__cause__ if error.__suppress_context__ else error.__context__
