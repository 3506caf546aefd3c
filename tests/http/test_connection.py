"""One HTTP/1.1 connection against servers whose every byte is written here."""

import socket
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import anyio
import h11
import httpx2
import pytest
import trustme
from anyio.abc import SocketAttribute

from backends.raw import OK, Handler, Visit, answers, chunked, raw_server, whole
from motet._http.connection import MAX_HEADER_BYTES, MAX_INTERIM_RESPONSES, Connection, connect
from motet._values.errors import ProtocolError, ReplyTooLarge

pytestmark = pytest.mark.anyio


async def ask(connection: Connection, body: bytes = b"", **headers: str) -> h11.Response:
    sent = {"Host": "x", **headers}
    if body:
        sent["Content-Length"] = str(len(body))
    await connection.send(b"POST", b"/", [(k.encode(), v.encode()) for k, v in sent.items()], body)
    return await connection.receive_head()


class ReadAll(Protocol):
    """Reads a body to its end; what came, also before an error, is in *came* as well."""

    async def __call__(self, connection: Connection, came: list[bytes] | None = None) -> bytes: ...


async def read_in_pieces(connection: Connection, came: list[bytes] | None = None) -> bytes:
    pieces = [] if came is None else came
    while data := await connection.read():
        pieces.append(data)
    return b"".join(pieces)


async def read_handed_on(connection: Connection, came: list[bytes] | None = None) -> bytes:
    pieces = [] if came is None else came

    def take(data: bytes) -> bool:
        pieces.append(data)
        return True

    await connection.pump(take)
    return b"".join(pieces)


@pytest.fixture(params=[read_in_pieces, read_handed_on], ids=["read", "handed on"])
def read_all(request: pytest.FixtureRequest) -> ReadAll:
    reads: ReadAll = request.param
    return reads


# What the server sends; the body in it; whether the connection may serve once more.
RESPONSES: dict[str, tuple[bytes, bytes, bool]] = {
    "with its length": (whole(b"hello"), b"hello", True),
    "empty": (whole(b""), b"", True),
    "chunked": (chunked(b"hel", b"lo"), b"hello", True),
    "chunked, with nothing in it": (chunked(), b"", True),
    "chunked, with trailers": (chunked(b"hello", end=b"0\r\nA: b\r\n\r\n"), b"hello", True),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
    "no content, though chunked": (
        b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"",
        True,
    ),
    "after a 1xx": (
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + whole(b"hello"),
        b"hello",
        True,
    ),
    "after two 1xx, chunked": (
        b"HTTP/1.1 102 Wait\r\n\r\nHTTP/1.1 102 Wait\r\n\r\n" + chunked(b"hello"),
        b"hello",
        True,
    ),
    "with its length, to be closed": (whole(b"hello", b"Connection: close"), b"hello", False),
    "chunked, to be closed": (
        chunked(b"hel", b"lo", headers=b"Connection: close\r\n"),
        b"hello",
        False,
    ),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello", False),
    "with surplus": (whole(b"hello") + b"surplus", b"hello", False),
    "with a second response": (whole(b"hello") + whole(b"other"), b"hello", False),
    "chunked, with surplus": (chunked(b"hello") + b"surplus", b"hello", False),
    "chunked, with a second response": (chunked(b"hello") + whole(b"other"), b"hello", False),
}


@pytest.mark.parametrize("name", RESPONSES)
async def test_a_body_comes_whole_and_the_connection_is_kept_only_if_it_is_clean(
    name: str, read_all: ReadAll
) -> None:
    response, body, reusable = RESPONSES[name]
    async with raw_server(answers(response, whole(b"again"))) as server:
        connection = await connect("127.0.0.1", server.port)
        await ask(connection, b"question")
        assert await read_all(connection) == body
        assert await connection.read() == b""
        assert connection.make_ready(60) is reusable
        if reusable:
            assert not connection.is_stale()
            await ask(connection)
            assert await read_all(connection) == b"again"
        await connection.aclose()
        await connection.aclose()
        await server.wait_empty()


@pytest.mark.parametrize("name", RESPONSES)
async def test_a_response_may_be_cut_anywhere(name: str, read_all: ReadAll) -> None:
    response, body, _ = RESPONSES[name]

    async def in_bytes(visit: Visit) -> None:
        await visit.request()
        for at in range(len(response)):
            await visit.send(response[at : at + 1])
        await visit.stay()

    async with raw_server(in_bytes) as server:
        connection = await connect("127.0.0.1", server.port)
        await ask(connection)
        assert await read_all(connection) == body
        await connection.aclose()


@pytest.mark.parametrize("head", [b"HTTP/1.0 200 OK\r\n\r\n", OK + b"Connection: close\r\n\r\n"])
async def test_a_body_without_a_length_ends_with_the_connection(
    head: bytes, read_all: ReadAll
) -> None:
    async with raw_server(answers(head + b"hello", stay=False)) as server:
        connection = await connect("127.0.0.1", server.port)
        await ask(connection)
        assert await read_all(connection) == b"hello"
        assert not connection.make_ready(60)
        await connection.aclose()


@pytest.mark.parametrize(
    ("sent", "kind", "error"),
    [
        (b"", httpx2.RemoteProtocolError, "unanswered"),
        (b"HTTP/1.1 200 OK\r\nContent-", httpx2.RemoteProtocolError, "unanswered"),
        (b"HTTP/1.1 102 Wait\r\n\r\n", httpx2.RemoteProtocolError, "unanswered"),
        (b"SSH-2.0-nothing-of-yours\r\n\r\n", ProtocolError, "illegal"),
        (b"HTTP/1.1 101 Come along\r\n\r\n", ProtocolError, "not HTTP"),
        (b"HTTP/1.1 103 Wait\r\n\r\n" * (MAX_INTERIM_RESPONSES + 1), ProtocolError, "interim"),
        (OK + b"A: " + b"b" * (MAX_HEADER_BYTES + 1), ReplyTooLarge, "exceeds 65536"),
        (OK + b"A: b\r\n" * MAX_HEADER_BYTES, ReplyTooLarge, "exceeds 65536"),
        (OK + b"A: b\r\n c\r\n" * MAX_HEADER_BYTES, ReplyTooLarge, "exceeds 65536"),
    ],
)
async def test_a_response_without_a_proper_head_is_an_error(
    sent: bytes, kind: type[Exception], error: str
) -> None:
    async with raw_server(answers(sent, stay=False)) as server:
        connection = await connect("127.0.0.1", server.port)
        with pytest.raises(kind, match=error):
            await ask(connection)
        assert not connection.make_ready(60)
        await connection.aclose()


@pytest.mark.parametrize(
    "response",
    [
        OK + b"Content-Length: 9\r\n\r\nhello",
        chunked(b"hello", end=b""),
        chunked(b"hello", end=b"5\r\nhe"),
        chunked(b"hello", end=b"0\r\n"),
        chunked(b"hello", end=b"", headers=b"Connection: close\r\n"),
    ],
)
async def test_a_body_that_breaks_off_is_an_error_after_what_came(
    response: bytes, read_all: ReadAll
) -> None:
    async with raw_server(answers(response, stay=False)) as server:
        connection = await connect("127.0.0.1", server.port)
        await ask(connection)
        came: list[bytes] = []
        for _ in range(2):
            with pytest.raises(httpx2.RemoteProtocolError):
                await read_all(connection, came)
        assert b"".join(came).startswith(b"hello")
        assert not connection.make_ready(60)
        await connection.aclose()


@pytest.mark.parametrize(
    "response",
    [chunked(b"hello", end=b""), OK + b"Content-Length: 9\r\n\r\nhello"],
    ids=["chunked", "with its length"],
)
async def test_a_body_may_be_left_before_its_end(response: bytes) -> None:
    came: list[bytes] = []

    def take(data: bytes) -> bool:
        came.append(data)
        return False

    async with raw_server(answers(response)) as server:
        connection = await connect("127.0.0.1", server.port)
        await ask(connection)
        with anyio.fail_after(10):
            await connection.pump(take)
        assert came == [b"hello"]
        assert not connection.make_ready(60)
        await connection.aclose()


async def test_handing_on_may_be_given_up_and_taken_up_again() -> None:
    async def slowly(visit: Visit) -> None:
        await visit.request()
        response = chunked(*(b"%03d." % number for number in range(50)))
        for at in range(0, len(response), 7):
            await visit.send(response[at : at + 7])
            await anyio.sleep(0.001)
        await visit.stay()

    came: list[bytes] = []
    async with raw_server(slowly) as server:
        connection = await connect("127.0.0.1", server.port)
        await ask(connection)
        given_up, whole_body = 0, False
        while not whole_body:
            with anyio.move_on_after(0.005) as scope:
                await read_handed_on(connection, came)
                whole_body = True
            given_up += scope.cancelled_caught
        assert given_up > 1
        assert b"".join(came) == b"".join(b"%03d." % number for number in range(50))
        assert connection.make_ready(60)
        await connection.aclose()


async def test_a_few_interim_responses_are_skipped(read_all: ReadAll) -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 2
    async with raw_server(answers(interim + whole(b"hello"))) as server:
        connection = await connect("127.0.0.1", server.port)
        assert (await ask(connection)).status_code == 200
        assert await read_all(connection) == b"hello"
        await connection.aclose()


@pytest.mark.parametrize("headers", [b"", b"Connection: close\r\n"], ids=["kept", "closed"])
async def test_what_came_before_a_malformed_chunk_is_not_lost(
    headers: bytes, read_all: ReadAll
) -> None:
    async with raw_server(answers(chunked(b"hello", end=b"zz\r\n", headers=headers))) as server:
        connection = await connect("127.0.0.1", server.port)
        await ask(connection)
        came: list[bytes] = []
        for _ in range(2):
            with pytest.raises(ProtocolError):
                await read_all(connection, came)
        assert came == [b"hello"]
        assert not connection.make_ready(60)
        await connection.aclose()


def _reset_when_closed(visit: Visit) -> None:
    raw = visit.stream.extra(SocketAttribute.raw_socket)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize("answer", [b"", OK, whole(b"hello")[:-2]], ids=["none", "head", "body"])
async def test_a_reset_is_a_transport_error(answer: bytes, read_all: ReadAll) -> None:
    async def reset(visit: Visit) -> None:
        await visit.request()
        if answer:
            await visit.send(answer)
        _reset_when_closed(visit)

    async with raw_server(reset) as server:
        connection = await connect("127.0.0.1", server.port)
        with pytest.raises(httpx2.TransportError):
            await ask(connection)
            await read_all(connection)
        await connection.aclose()


async def test_a_refusal_that_comes_before_the_request_is_read_is_told(read_all: ReadAll) -> None:
    async def refuse(visit: Visit) -> None:
        await visit.stream.receive()
        await visit.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!")
        await visit.stay()

    async with raw_server(refuse) as server:
        connection = await connect("127.0.0.1", server.port)
        head = await ask(connection, b"x" * 8_000_000)
        assert head.status_code == 413
        assert await read_all(connection) == b"no!"
        await connection.aclose()


# More than is taken for a server that does not read: Unix sockets hold little, and those of
# TCP on asyncio are read before anybody asks.
LONG = b"x" * 8_000_000
REFUSAL = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!"


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize(
    "before", [b"", b"HTTP/1.1 100 Continue\r\n\r\n"], ids=["at once", "after a 1xx"]
)
async def test_a_refusal_is_told_while_the_server_reads_no_further(
    tls: bool, before: bytes, tmp_path: Path, authority: trustme.CA, read_all: ReadAll
) -> None:
    told, path = anyio.Event(), str(tmp_path / "s")

    async def refuse(visit: Visit) -> None:
        await visit.stream.receive()
        if before:
            await visit.send(before)
            await anyio.wait_all_tasks_blocked()
        await visit.send(REFUSAL)
        await told.wait()
        await visit.stay()

    context = _server_side(authority, "127.0.0.1") if tls else None
    async with raw_server(refuse, tls=context, uds=path) as server:
        trust = _trusting(authority) if tls else None
        connection = await connect("127.0.0.1", 0, ssl_context=trust, uds=path)
        with anyio.fail_after(10):
            head = await ask(connection, LONG)
            assert head.status_code == 413
            assert await read_all(connection) == b"no!"
        # What follows would be taken for the rest of this request.
        assert not connection.make_ready(60)
        await connection.aclose()
        told.set()
        await server.wait_empty()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
async def test_a_refusal_is_told_though_the_connection_breaks(
    tls: bool, authority: trustme.CA, read_all: ReadAll
) -> None:
    async def refuse(visit: Visit) -> None:
        await visit.stream.receive()
        await visit.send(REFUSAL)
        _reset_when_closed(visit)

    context = _server_side(authority, "127.0.0.1") if tls else None
    async with raw_server(refuse, tls=context) as server:
        trust = _trusting(authority) if tls else None
        connection = await connect("127.0.0.1", server.port, ssl_context=trust)
        with anyio.fail_after(10):
            assert (await ask(connection, LONG)).status_code == 413
            assert await read_all(connection) == b"no!"
        await connection.aclose()


async def test_a_welcome_answer_does_not_stop_the_request(
    tmp_path: Path, read_all: ReadAll
) -> None:
    path = str(tmp_path / "s")

    async def answer_early(visit: Visit) -> None:
        _, _, body = (await visit.stream.receive()).partition(b"\r\n\r\n")
        await visit.send(OK + b"Transfer-Encoding: chunked\r\n\r\n")
        await anyio.wait_all_tasks_blocked()
        while len(body) < len(LONG):
            body += await visit.stream.receive()
        await visit.send(b"5\r\nhello\r\n0\r\n\r\n")
        await answers(whole(b"again"))(visit)

    async with raw_server(answer_early, uds=path):
        connection = await connect("127.0.0.1", 0, uds=path)
        with anyio.fail_after(10):
            assert (await ask(connection, LONG)).status_code == 200
            assert await read_all(connection) == b"hello"
            assert connection.make_ready(60)
            await ask(connection)
            assert await read_all(connection) == b"again"
        await connection.aclose()


@pytest.mark.parametrize(
    ("answer", "error"),
    [(b"", httpx2.TransportError), (b"what?\r\n\r\n", ProtocolError)],
    ids=["nothing", "no HTTP"],
)
async def test_what_is_no_answer_ends_a_long_request_too(
    answer: bytes, error: type[Exception], tmp_path: Path
) -> None:
    told, path = anyio.Event(), str(tmp_path / "s")

    async def say_nothing_proper(visit: Visit) -> None:
        await visit.stream.receive()
        if answer:
            await visit.send(answer)
            await told.wait()

    async with raw_server(say_nothing_proper, uds=path) as server:
        connection = await connect("127.0.0.1", 0, uds=path)
        with anyio.fail_after(10), pytest.raises(error):
            await ask(connection, LONG)
        told.set()
        await connection.aclose()
        await server.wait_empty()


async def test_an_answer_to_head_has_no_body(read_all: ReadAll) -> None:
    head = OK + b"Transfer-Encoding: chunked\r\n\r\n"
    async with raw_server(answers(head, whole(b"again"))) as server:
        connection = await connect("127.0.0.1", server.port)
        await connection.send(b"HEAD", b"/", [(b"Host", b"x")], b"")
        assert (await connection.receive_head()).status_code == 200
        with anyio.fail_after(10):
            assert await connection.read() == b""
        assert connection.make_ready(60)
        await ask(connection)
        assert await read_all(connection) == b"again"
        await connection.aclose()


class _Pieces:
    """A request body in pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._pieces:
            raise StopAsyncIteration
        return self._pieces.pop(0)


@pytest.mark.parametrize("framing", [(b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked")])
async def test_a_request_body_may_come_in_pieces(
    framing: tuple[bytes, bytes], read_all: ReadAll
) -> None:
    async with raw_server(answers(whole(b"1"), whole(b"2"))) as server:
        connection = await connect("127.0.0.1", server.port)
        for expected in (b"1", b"2"):
            await connection.send(b"POST", b"/", [(b"Host", b"x"), framing], _Pieces(b"hel", b"lo"))
            await connection.receive_head()
            assert await read_all(connection) == expected
            assert connection.make_ready(60)
        await connection.aclose()
        sent = {request.partition(b"\r\n\r\n")[2] for request in server.requests}
        assert sent == {b"hello" if framing[1] == b"5" else b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"}


async def test_a_request_that_is_no_http_is_not_sent() -> None:
    async with raw_server(answers()) as server:
        connection = await connect("127.0.0.1", server.port)
        with pytest.raises(httpx2.LocalProtocolError) as caught:
            await connection.send(b"POST", b"/", [(b"Host", b"a\r\nB: c")], b"")
        assert "B: c" not in str(caught.value)  # it may be a key
        assert caught.value.__cause__ is None
        await connection.aclose()
        assert server.requests == []


async def test_an_idle_connection_is_stale_when_its_time_or_the_server_is_gone(
    read_all: ReadAll,
) -> None:
    async def hang_up(visit: Visit) -> None:
        await answers(whole(b"1"), stay=False)(visit)

    async with raw_server(answers(whole(b"1")), hang_up) as server:
        expired = await connect("127.0.0.1", server.port)
        await ask(expired)
        await read_all(expired)
        assert expired.make_ready(-1)
        assert expired.is_stale()
        await expired.aclose()

        left = await connect("127.0.0.1", server.port)
        await ask(left)
        await read_all(left)
        assert left.make_ready(60)
        await server.wait_empty()
        assert left.is_stale()
        await left.aclose()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def _server_side(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def _trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_a_connection_may_be_tls(authority: trustme.CA, read_all: ReadAll) -> None:
    handler: Handler = answers(whole(b"1"), chunked(b"2"))
    async with raw_server(handler, tls=_server_side(authority, "127.0.0.1")) as server:
        connection = await connect("127.0.0.1", server.port, ssl_context=_trusting(authority))
        for expected in (b"1", b"2"):
            await ask(connection)
            assert await read_all(connection) == expected
            assert connection.make_ready(60)
        await connection.aclose()


@pytest.mark.parametrize("wrong", ["name", "authority"])
async def test_a_server_that_cannot_be_trusted_is_not_spoken_to(
    authority: trustme.CA, wrong: str
) -> None:
    name = "elsewhere.example" if wrong == "name" else "127.0.0.1"
    trusted = trustme.CA() if wrong == "authority" else authority
    async with raw_server(answers(), tls=_server_side(authority, name)) as server:
        with pytest.raises(httpx2.ConnectError, match="certificate"):
            await connect("127.0.0.1", server.port, ssl_context=_trusting(trusted))
        await server.wait_empty()
        assert server.requests == []


async def test_tls_with_a_server_that_speaks_none_is_an_error(authority: trustme.CA) -> None:
    async def no_tls(visit: Visit) -> None:
        await visit.stream.receive()
        await visit.send(whole(b"hello"))

    async with raw_server(no_tls) as server:
        with pytest.raises(httpx2.ConnectError):
            await connect("127.0.0.1", server.port, ssl_context=_trusting(authority))
        await server.wait_empty()


async def test_a_connection_may_be_a_unix_socket(tmp_path: Path, read_all: ReadAll) -> None:
    path = str(tmp_path / "s")
    async with raw_server(answers(whole(b"hello")), uds=path):
        connection = await connect("ignored", 1, uds=path)
        await ask(connection)
        assert await read_all(connection) == b"hello"
        await connection.aclose()
    with pytest.raises(httpx2.ConnectError):
        await connect("ignored", 1, uds=str(tmp_path / "other"))


async def test_a_connection_may_be_ipv6(read_all: ReadAll) -> None:
    async with raw_server(answers(whole(b"hello")), host="::1") as server:
        connection = await connect("::1", server.port)
        await ask(connection)
        assert await read_all(connection) == b"hello"
        await connection.aclose()
