"""The simulated server sees who comes and goes, and lets tests wait for it."""

import errno
import json
import math
import socket
import subprocess
import sys
import threading
import time
from typing import Any, Literal

import anyio
import anyio.lowlevel
import httpx2
import pytest

from motet.testing import ModelServer, Outcome, Reply, Stall, open_server, serve_in_thread

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Write a poem."}]}
LOOPS: list[Literal["asyncio", "uvloop", "trio"]] = ["asyncio", "uvloop", "trio"]


def client_of(server: ModelServer) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=server.url, trust_env=False, timeout=60)


async def begin(client: httpx2.AsyncClient) -> None:
    await client.post("/api/chat", json=CHAT)


@pytest.mark.anyio
async def test_a_cancelled_request_is_seen_to_hang_up() -> None:
    async with open_server(default=Reply(fault=Stall(0))) as server, client_of(server) as client:
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(begin, client)
            await server.wait_until(lambda: server.serving == 5)
            assert server.open_requests == server.requests
            tasks.cancel_scope.cancel()
        await server.wait_idle(connections=True)
        server.assert_idle(connections=True)
    assert server.totals == {Outcome.HUNG_UP: 5}
    assert all(request.ended_at is not None for request in server.requests)


@pytest.mark.anyio
async def test_hang_ups_are_recorded_with_their_times() -> None:
    async with open_server() as server, client_of(server) as client:
        server.script([Reply("whole"), Stall(after_tokens=2)])
        await begin(client)
        began = time.monotonic()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(begin, client)
            await server.wait_until(lambda: bool(server.serving and server.requests[-1].sent[1:]))
            tasks.cancel_scope.cancel()
        await server.wait_idle()
        [request] = server.hang_ups
        assert request is server.requests[1]
        assert request.tokens_sent == 2
        assert request.ended_at is not None
        assert began <= request.arrived_at <= request.ended_at <= time.monotonic()


@pytest.mark.anyio
async def test_all_connections_can_be_dropped() -> None:
    async with open_server() as server, client_of(server) as client:
        server.script([Reply("whole"), Stall(after_tokens=1)])
        await begin(client)
        async with anyio.create_task_group() as tasks:

            async def lose() -> None:
                with pytest.raises(httpx2.TransportError):
                    await begin(client)

            tasks.start_soon(lose)
            await server.wait_until(lambda: server.serving == 1)
            server.drop_connections()
        await server.wait_idle(connections=True)
        server.assert_idle(connections=True)


@pytest.mark.anyio
async def test_a_hang_up_between_tokens_keeps_their_count() -> None:
    tokens = ["token "] * 1000
    async with (
        open_server(tokens_per_second=100, default=Reply(tokens)) as server,
        client_of(server) as client,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(begin, client)
        await server.wait_until(lambda: bool(server.requests and server.requests[0].sent))
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await server.wait_idle()
        (request,) = server.requests
        assert request.hung_up
        assert 1 <= request.tokens_sent < 1000
        assert len(request.sent) == request.tokens_sent


@pytest.mark.anyio
async def test_a_client_that_does_not_read_holds_up_only_its_own_reply() -> None:
    reply = Reply(["x" * 65536] * 1000)
    async with open_server(default=reply) as server, client_of(server) as client:
        server.script([reply, Reply("quick")])
        async with client.stream("POST", "/api/chat", json=CHAT) as response:
            assert response.status_code == 200
            assert (await client.post("/api/chat", json=CHAT)).status_code == 200
            assert server.requests[0].outcome is Outcome.OPEN
        await server.wait_idle()
        assert server.requests[0].hung_up


@pytest.mark.anyio
async def test_assert_idle_says_what_is_open() -> None:
    async with open_server(default=Reply("a b c", fault=Stall(2))) as server:
        server.assert_idle(connections=True)
        async with client_of(server) as client, anyio.create_task_group() as tasks:
            tasks.start_soon(begin, client)
            await server.wait_until(
                lambda: server.serving == 1 and server.requests[0].tokens_sent == 2
            )
            with pytest.raises(AssertionError, match="not idle") as caught:
                server.assert_idle()
            message = str(caught.value)
            assert "POST /api/chat 'Write a poem.', 2 tokens sent, open after" in message
            tasks.cancel_scope.cancel()
        await server.wait_idle()
        server.assert_idle()


@pytest.mark.anyio
async def test_a_long_prompt_is_shortened_in_messages() -> None:
    async with open_server() as server, client_of(server) as client:
        body = {"model": "m", "prompt": "many words " * 100}
        await client.post("/api/generate", json=body)
        assert len(server.requests[0].describe()) < 250


@pytest.mark.anyio
async def test_leaving_the_block_closes_everything() -> None:
    async def hang(server: ModelServer) -> None:
        async with client_of(server) as client:
            with pytest.raises(httpx2.TransportError):
                await client.post("/api/chat", json=CHAT)

    async with (
        anyio.create_task_group() as tasks,
        open_server(default=Reply(fault=Stall(0))) as server,
    ):
        for _ in range(3):
            tasks.start_soon(hang, server)
        await server.wait_until(lambda: server.serving == 3)
    assert server.totals == {Outcome.STOPPED: 3}
    assert server.connections == 0


@pytest.mark.anyio
async def test_an_error_in_the_block_comes_out_as_it_is() -> None:
    with pytest.raises(KeyError):
        async with open_server():
            raise KeyError
    with anyio.CancelScope() as scope:
        async with open_server():
            scope.cancel()
            await anyio.lowlevel.checkpoint()
    assert scope.cancelled_caught


@pytest.mark.anyio
async def test_waiting_can_be_cancelled() -> None:
    async with open_server() as server:
        with anyio.move_on_after(0.01) as scope:
            await server.wait_until(lambda: False)
        assert scope.cancelled_caught
        with anyio.CancelScope() as scope:
            scope.cancel()
            await server.wait_idle()  # a checkpoint, though nothing is open
        assert scope.cancelled_caught


@pytest.mark.anyio
async def test_only_the_newest_requests_are_kept_if_so_wished() -> None:
    async with open_server(keep_requests=2) as server, client_of(server) as client:
        for _ in range(5):
            await client.get("/")
        assert [request.number for request in server.requests] == [3, 4]
        assert server.totals == {Outcome.FINISHED: 5}


@pytest.mark.anyio
async def test_many_connections_at_once_all_get_their_reply() -> None:
    count = 100
    body = json.dumps(CHAT).encode()
    request = b"POST /api/chat HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    request += b"Content-Length: %d\r\n\r\n" % len(body) + body
    replies: list[bytes] = []

    async def ask(address: str) -> None:
        host, port = address.split(":")
        async with await anyio.connect_tcp(host, int(port)) as stream:
            await stream.send(request)
            replies.append(b"".join([some async for some in stream]))

    async with open_server(time_to_first_token=0.2, tokens_per_second=1000) as server:
        async with anyio.create_task_group() as tasks:
            for _ in range(count):
                tasks.start_soon(ask, server.url.removeprefix("http://"))
        await server.wait_idle(connections=True)
        assert server.totals == {Outcome.FINISHED: count}
    assert len(replies) == count
    assert all(b'"done":true' in reply for reply in replies)


@pytest.mark.anyio
@pytest.mark.parametrize("loop", LOOPS)
async def test_a_server_in_a_thread_serves_another_loop(
    loop: Literal["asyncio", "uvloop", "trio"],
) -> None:
    with serve_in_thread(loop=loop, default=Reply(fault=Stall(1))) as server:
        async with client_of(server) as client, anyio.create_task_group() as tasks:
            tasks.start_soon(begin, client)
            await server.wait_until(lambda: server.serving == 1)
            tasks.cancel_scope.cancel()
        await server.wait_idle(connections=True)
        assert server.requests[0].hung_up


@pytest.mark.parametrize("loop", LOOPS)
def test_a_server_in_a_thread_serves_code_without_a_loop(
    loop: Literal["asyncio", "uvloop", "trio"],
) -> None:
    before = threading.active_count()
    with serve_in_thread(loop=loop, default=Reply("Two words")) as server:
        with httpx2.Client(base_url=server.url, trust_env=False) as client:
            reply = client.post("/api/chat", json={**CHAT, "stream": False}).json()
            assert reply["message"]["content"] == "Two words"
            with pytest.raises(TimeoutError, match="1 connections are open"):
                server.block_until_idle(connections=True, within=0.01)
        server.block_until_idle(connections=True)
        server.block_until(lambda: server.totals == {Outcome.FINISHED: 1})
    assert threading.active_count() == before


def test_a_block_in_a_thread_can_be_woken_by_the_server() -> None:
    with serve_in_thread() as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))):
            server.block_until(lambda: server.connections == 1)
        server.block_until(lambda: server.connections == 0)


def test_a_thread_that_cannot_listen_says_so() -> None:
    with serve_in_thread() as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"), serve_in_thread(port=port):
            pass


def test_an_error_in_the_thread_comes_out_of_the_block() -> None:
    with pytest.raises(ZeroDivisionError), serve_in_thread() as server:
        server.script([Reply("x")], when=lambda _: bool(1 // 0))
        with (
            httpx2.Client(base_url=server.url, trust_env=False) as client,
            pytest.raises(httpx2.TransportError),
        ):
            client.post("/api/chat", json=CHAT)


@pytest.mark.parametrize("loop", LOOPS)
def test_the_command_says_where_it_listens_and_what_it_served(loop: str) -> None:
    command = [sys.executable, "-m", "motet.testing.server", "--ttft", "0", "--tps", "inf"]
    process = subprocess.Popen(
        [*command, "--loop", loop, "--model", "a:1b", "--only-these-models"],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert "simulated" in process.stdout.readline()
        hint = process.stdout.readline()
        assert hint.startswith("OLLAMA_HOST=http://127.0.0.1:")
        url = hint.partition("=")[2].strip()
        with httpx2.Client(base_url=url, trust_env=False) as client:
            assert client.get("/api/tags").json()["models"][0]["name"] == "a:1b-simulated"
            assert client.post("/api/chat", json=CHAT).status_code == 404
        process.terminate()
        rest = process.stdout.read()
    assert process.returncode == 0
    assert "2 requests served: 1 finished, 1 refused." in rest


@pytest.mark.parametrize("argument", ["--ttft=-1", "--tps=0", "--ttft=inf", "--loop=none"])
def test_the_command_refuses_bad_arguments(argument: str) -> None:
    command = [sys.executable, "-m", "motet.testing.server", argument]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert argument.partition("=")[0] in ran.stderr


def test_the_command_says_that_an_address_is_taken() -> None:
    with serve_in_thread() as server:
        port = server.url.rpartition(":")[2]
        command = [sys.executable, "-m", "motet.testing.server", "--port", port]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "cannot listen" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_command_goes_on_when_nobody_reads_what_it_says() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "motet.testing.server"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "listens on" in process.stdout.readline()
        process.stdout.close()
        process.terminate()
        assert process.stderr.read() == ""
    assert process.returncode == 0


def test_a_pace_counts_from_the_request() -> None:
    from motet.testing.server._pacing import Pace

    pace = Pace(0.5, 10)
    assert [pace.due(index) for index in range(3)] == [0.5, 0.6, 0.7]
    assert pace.but(None, None) is pace
    assert pace.but(0.0, math.inf).due(1000) == 0.0
    assert pace.but(None, 20).due(1) == 0.55


@pytest.mark.anyio
async def test_a_server_that_runs_out_of_files_waits_for_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures = [OSError(errno.EMFILE, "too many open files"), ConnectionAbortedError()]
    accept = socket.socket.accept

    def failing_accept(self: socket.socket) -> tuple[socket.socket, Any]:
        if failures:
            raise failures.pop()
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", failing_accept)
    async with open_server() as server, client_of(server) as client:
        assert (await client.get("/")).status_code == 200
    assert not failures


@pytest.mark.anyio
async def test_a_listener_that_breaks_ends_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken_accept(_: socket.socket) -> tuple[socket.socket, Any]:
        raise OSError(errno.EINVAL, "broken")

    monkeypatch.setattr(socket.socket, "accept", broken_accept)
    with pytest.raises(OSError, match="broken"):
        async with open_server():
            await anyio.sleep_forever()


@pytest.mark.anyio
async def test_changes_elsewhere_wake_whoever_waits_once_they_are_announced() -> None:
    happened: list[bool] = []
    async with open_server() as server, anyio.create_task_group() as tasks:
        tasks.start_soon(server.wait_until, lambda: bool(happened))
        await anyio.wait_all_tasks_blocked()
        happened.append(True)
        server.notify()


@pytest.mark.anyio
async def test_a_client_that_vanishes_in_the_middle_of_a_request_leaves_nothing() -> None:
    async with open_server() as server:
        host, port = server.url.removeprefix("http://").split(":")
        async with await anyio.connect_tcp(host, int(port)) as stream:
            await stream.send(b"POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab")
            await server.wait_until(lambda: server.connections == 1)
        await server.wait_idle(connections=True)
        assert server.requests == ()
