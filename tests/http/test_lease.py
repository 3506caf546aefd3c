"""The lease transport: who has which connection, and that nobody keeps one for good."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest

from backends.raw import OK, Handler, RawServer, Visit, answers, chunked, raw_server, whole
from motet._http import connection, lease
from motet._http.connection import MAX_HEADER_BYTES
from motet._http.lease import LeaseTransport, Room
from motet._values.errors import ProtocolError

pytestmark = pytest.mark.anyio


def client(transport: LeaseTransport) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=transport, timeout=None)


async def echo(visit: Visit) -> None:
    """Answer every request with the number of its connection."""
    while True:
        await visit.request()
        await visit.send(whole(str(visit.server.visits.index(visit)).encode()))


async def silent(visit: Visit) -> None:
    await visit.request()
    await visit.stay()


async def idle_is(transport: LeaseTransport, leased: int, idle: int) -> None:
    assert (transport.leased, transport.idle) == (leased, idle)


async def test_a_plain_client_gets_and_posts_on_one_connection() -> None:
    transport = LeaseTransport()
    async with raw_server(echo) as server, client(transport) as http:
        assert (await http.get(server.url)).text == "0"
        assert (await http.post(server.url, json={"a": 1})).text == "0"
        assert (await http.post(server.url, data={"a": "b"})).text == "0"
        async with http.stream("GET", server.url) as response:
            assert [line async for line in response.aiter_lines()] == ["0"]
        await idle_is(transport, 0, 1)
    await idle_is(transport, 0, 0)


async def test_a_plain_client_may_ask_for_the_head_only() -> None:
    transport = LeaseTransport()
    head = answers(OK + b"Transfer-Encoding: chunked\r\n\r\n", whole(b"x"))
    async with raw_server(head) as server, client(transport) as http:
        with anyio.fail_after(10):
            assert (await http.head(server.url)).status_code == 200
            assert (await http.get(server.url)).text == "x"
        assert len(server.visits) == 1


async def test_a_stream_that_is_left_early_closes_its_connection() -> None:
    transport = LeaseTransport()
    endless = answers(chunked(b"a\n", b"b\n", end=b""))
    async with raw_server(endless) as server, client(transport) as http:
        # The client's own generator is closed by hand; ours below it leaves nothing suspended.
        async with (
            http.stream("GET", server.url) as response,
            aclosing(aiter(response.stream)) as stream,  # type: ignore[type-var, arg-type] # a generator
        ):
            assert await anext(stream) == b"a\nb\n"
        await idle_is(transport, 0, 0)
        await server.wait_empty()


async def test_the_connection_used_last_is_used_first() -> None:
    transport = LeaseTransport()
    async with raw_server(echo) as server, client(transport) as http:
        requests = [http.build_request("GET", server.url) for _ in range(3)]
        held = [await http.send(request, stream=True) for request in requests]
        await idle_is(transport, 3, 0)
        for number in (2, 0, 1):
            assert await held[number].aread() == str(number).encode()
        await idle_is(transport, 0, 3)
        assert (await http.get(server.url)).text == "1"
        assert (await http.get(server.url)).text == "1"
        assert len(server.visits) == 3


async def test_each_origin_has_its_own_connections() -> None:
    transport = LeaseTransport()
    async with raw_server(echo) as one, raw_server(echo) as other, client(transport) as http:
        for server in (one, other, one, other):
            await http.get(server.url)
        await idle_is(transport, 0, 2)
        assert (len(one.visits), len(other.visits)) == (1, 1)
        await transport.close_idle()
        await one.wait_empty()
        await other.wait_empty()
        await idle_is(transport, 0, 0)


async def test_connections_that_serve_nobody_make_room_the_oldest_first() -> None:
    room = Room(3)
    transports = [LeaseTransport(room=room) for _ in range(2)]
    async with (
        raw_server(echo) as one,
        raw_server(echo) as other,
        raw_server(echo) as third,
        client(transports[0]) as http,
        client(transports[1]) as elsewhere,
    ):
        await http.get(one.url)
        await elsewhere.get(other.url)
        await http.get(other.url)
        await idle_is(transports[0], 0, 2)
        await http.get(third.url)
        await one.wait_empty()  # the server hears of it
        await elsewhere.get(one.url)
        await idle_is(transports[0], 0, 2)
        await idle_is(transports[1], 0, 1)
        assert [len(server.visits) for server in (one, other, third)] == [2, 2, 1]
        await http.get(third.url)  # one that is there needs no room
        await idle_is(transports[0], 0, 2)
        await idle_is(transports[1], 0, 1)


async def test_without_idle_connections_nobody_waits_for_room() -> None:
    transport = LeaseTransport(room=Room(1))
    async with raw_server(echo) as server, client(transport) as http:
        requests = [http.build_request("GET", server.url) for _ in range(3)]
        held = [await http.send(request, stream=True) for request in requests]
        await idle_is(transport, 3, 0)
        for response in held:
            await response.aread()
        await idle_is(transport, 0, 3)


async def test_connections_that_are_being_opened_count(monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[tuple[int, int]] = []
    meeting = anyio.Event()
    coming = 0

    async def connect(*args: Any, **kwargs: Any) -> Any:
        nonlocal meeting, coming
        coming += 1
        if coming % 4 == 0:
            met.append((transport.open, transport.idle))
            meeting.set()
            meeting = anyio.Event()
        else:
            await meeting.wait()
        return await connection.connect(*args, **kwargs)

    monkeypatch.setattr(lease, "connect", connect)
    transport = LeaseTransport(room=Room(4))
    async with raw_server(echo) as one, raw_server(echo) as other, client(transport) as http:
        for server in (one, other):
            async with anyio.create_task_group() as tasks:
                for _ in range(4):
                    tasks.start_soon(http.get, server.url)
            await idle_is(transport, 0, 4)
    assert met == [(4, 0), (4, 0)]
    assert transport.open == 0


async def test_a_connection_that_was_given_up_while_it_was_opened_takes_no_room() -> None:
    transport = LeaseTransport(room=Room(4))
    async with raw_server(echo) as server, client(transport) as http:
        with pytest.raises(httpx2.ConnectError):
            await http.get("http://127.0.0.1:1")
        with anyio.CancelScope() as scope:
            scope.cancel()
            await http.get(server.url)
        assert scope.cancelled_caught
    assert transport.open == 0


async def test_a_connection_that_the_server_closed_meanwhile_is_not_used() -> None:
    transport = LeaseTransport()
    once = answers(whole(b"1"), stay=False)
    async with raw_server(once, echo) as server, client(transport) as http:
        await http.get(server.url)
        await server.wait_empty()
        assert (await http.get(server.url)).text == "1"
        assert len(server.requests) == 2


async def test_a_connection_that_waited_too_long_is_not_used() -> None:
    transport = LeaseTransport(keepalive=-1)
    async with raw_server(echo) as server, client(transport) as http:
        assert [(await http.get(server.url)).text for _ in range(3)] == ["0", "1", "2"]
        await idle_is(transport, 0, 0)


async def test_connections_that_nobody_uses_again_are_closed_while_others_are_used() -> None:
    transport = LeaseTransport()
    async with raw_server(echo) as one, raw_server(echo) as other, client(transport) as http:
        requests = [http.build_request("GET", one.url) for _ in range(3)]
        held = [await http.send(request, stream=True) for request in requests]
        for response in held:
            await response.aread()
        for connection in next(iter(transport._idle.values())):
            connection.expires = 0.0
        await http.get(other.url)
        await one.wait_empty()
        await idle_is(transport, 0, 1)


async def test_a_new_server_may_be_asked_while_the_idle_are_closed() -> None:
    transport = LeaseTransport()
    async with raw_server(echo) as one, raw_server(echo) as other, client(transport) as http:
        await http.get(one.url)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(transport.close_idle)
            tasks.start_soon(http.get, other.url)
        await one.wait_empty()


async def close_on_the_second(visit: Visit) -> None:
    await visit.request()
    await visit.send(whole(b"1"))
    await visit.request()  # and hangs up, without a word


async def test_a_connection_closed_at_the_very_moment_is_replaced_once() -> None:
    transport = LeaseTransport()
    async with raw_server(close_on_the_second, echo) as server, client(transport) as http:
        await http.get(server.url)
        assert (await http.post(server.url, content=b"again")).text == "1"
        assert len(server.visits) == 2
        await idle_is(transport, 0, 1)


async def test_and_only_once() -> None:
    transport = LeaseTransport()

    async def gone(visit: Visit) -> None:
        await visit.request()

    async with raw_server(close_on_the_second, gone) as server, client(transport) as http:
        await http.get(server.url)
        with pytest.raises(httpx2.RemoteProtocolError, match="unanswered"):
            await http.get(server.url)
        assert len(server.visits) == 2
        await idle_is(transport, 0, 0)


async def test_a_body_that_can_be_read_only_once_is_not_sent_again() -> None:
    transport = LeaseTransport()

    async def body() -> AsyncIterator[bytes]:
        yield b"once"

    async with raw_server(close_on_the_second, echo) as server, client(transport) as http:
        await http.get(server.url)
        with pytest.raises(httpx2.RemoteProtocolError):
            await http.post(server.url, content=body())
        assert len(server.visits) == 1


@pytest.mark.parametrize(
    "answer", [b"nonsense\r\n\r\n", OK + b"A: " + b"b" * (MAX_HEADER_BYTES + 1), OK]
)
async def test_a_request_that_was_answered_badly_is_not_sent_again(answer: bytes) -> None:
    transport = LeaseTransport()
    badly = answers(whole(b"1"), answer, stay=False)
    async with raw_server(badly, echo) as server, client(transport) as http:
        await http.get(server.url)
        with pytest.raises((httpx2.RemoteProtocolError, ProtocolError)):
            await http.get(server.url)
        assert len(server.visits) == 1
        await idle_is(transport, 0, 0)


async def test_surplus_bytes_are_never_the_answer_to_the_next_request() -> None:
    transport = LeaseTransport()
    smuggling = answers(whole(b"mine") + whole(b"smuggled"))
    async with raw_server(smuggling, echo) as server, client(transport) as http:
        assert (await http.get(server.url)).text == "mine"
        assert (await http.get(server.url)).text == "1"


async def read_nothing(visit: Visit) -> None:
    await anyio.sleep_forever()


# Where the client stands when it is cancelled; what the server does; what the client sends.
MOMENTS: dict[str, tuple[Handler, bytes]] = {
    "sending": (read_nothing, b"x" * 20_000_000),
    "waiting for the headers": (silent, b"x"),
    "reading": (answers(chunked(b"hello", end=b"")), b"x"),
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("kept", [False, True], ids=["new", "kept"])
async def test_a_cancellation_closes_the_connection_and_ends_the_lease(
    moment: str, kept: bool
) -> None:
    handler, content = MOMENTS[moment]
    transport = LeaseTransport()

    async def first_well(visit: Visit) -> None:
        if kept:
            await visit.request()
            await visit.send(whole(b"1"))
        await handler(visit)

    async with raw_server(first_well, echo) as server, client(transport) as http:
        if kept:
            await http.get(server.url)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(post, http, server.url, content)
            await until(lambda: transport.leased == 1)
            await anyio.wait_all_tasks_blocked()
            assert transport.leased == 1
            tasks.cancel_scope.cancel()
        await idle_is(transport, 0, 0)
        if handler is not read_nothing:  # which would not notice
            await server.wait_empty()
        assert (await http.get(server.url)).text == "1"


async def post(http: httpx2.AsyncClient, url: str, content: bytes) -> None:
    request = http.build_request("POST", url, content=content)
    response = await http.send(request, stream=True)
    try:
        async for _ in response.stream:  # type: ignore[union-attr] # an async one
            pass
    finally:
        await response.aclose()


async def until(condition: Any) -> None:
    with anyio.fail_after(10):
        while not condition():
            await anyio.lowlevel.checkpoint()


async def test_a_cancellation_while_connecting_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    transport = LeaseTransport()

    async def never(*args: object) -> None:
        await anyio.sleep_forever()

    async with raw_server(echo) as server, client(transport) as http:
        with monkeypatch.context() as patch:
            patch.setattr(connection, "open_socket", never)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(post, http, server.url, b"x")
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
        await idle_is(transport, 0, 0)
        assert (await http.get(server.url)).text == "0"


async def test_a_cancellation_while_the_connection_is_reported_closes_it() -> None:
    transport = LeaseTransport()

    async def trace(event: str, info: object) -> None:
        await anyio.sleep_forever()

    async with raw_server(echo) as server, client(transport) as http:
        async with anyio.create_task_group() as tasks:
            request = http.build_request("GET", server.url, extensions={"trace": trace})
            tasks.start_soon(http.send, request)
            await until(lambda: server.visits)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        await idle_is(transport, 0, 0)
        await server.wait_empty()


async def test_closing_the_transport_closes_what_is_in_use() -> None:
    transport = LeaseTransport()
    async with raw_server(answers(whole(b"hello"))) as server:
        http = client(transport)
        request = http.build_request("GET", server.url)
        response = await http.send(request, stream=True)
        stream = aiter(response.stream)  # type: ignore[arg-type] # an async one
        assert await anext(stream) == b"hello"
        assert await anext(stream, b"") == b""
        await transport.aclose()
        await response.aclose()  # a connection that is closed must not be kept
        await idle_is(transport, 0, 0)
        await server.wait_empty()


async def test_the_server_may_be_a_unix_socket(tmp_path: Any) -> None:
    path = str(tmp_path / "s")
    transport = LeaseTransport(uds=path)
    async with raw_server(echo, uds=path), client(transport) as http:
        assert (await http.get("http://anything/")).text == "0"
        assert (await http.get("http://anything/")).text == "0"


async def test_the_server_may_be_an_ipv6_address() -> None:
    transport = LeaseTransport()
    server: RawServer
    async with raw_server(echo, host="::1") as server, client(transport) as http:
        assert (await http.get(server.url)).text == "0"
        assert b"host: [::1]:" in server.requests[0].lower()
