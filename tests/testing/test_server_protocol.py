"""The simulated server speaks Ollama's protocol over real HTTP."""

import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx2
import pytest

from motet.testing import ModelServer, Outcome, Reply, open_server, serve_in_thread
from motet.testing.server import _http
from motet.testing.server.__main__ import main

pytestmark = pytest.mark.anyio

MODEL = "granite4.1:3b"


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with open_server(missing_models=["absent:1b"]) as server:
        yield server


@pytest.fixture
async def client(server: ModelServer) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False) as client:
        yield client


def chat(text: str = "Hello.", **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}


def lines(response: httpx2.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in response.text.split("\n") if line]


async def test_a_chat_streams_one_token_a_line(
    server: ModelServer, client: httpx2.AsyncClient
) -> None:
    server.script([Reply("Two words")])
    response = await client.post("/api/chat", json=chat())
    assert response.headers["content-type"] == "application/x-ndjson"
    assert response.headers["transfer-encoding"] == "chunked"
    first, second, last = lines(response)
    assert [first["message"], second["message"]] == [
        {"role": "assistant", "content": "Two"},
        {"role": "assistant", "content": " words"},
    ]
    assert first["done"] is second["done"] is False
    assert last["done"] is True
    assert last["done_reason"] == "stop"
    assert last["message"] == {"role": "assistant", "content": ""}
    assert (last["prompt_eval_count"], last["eval_count"]) == (1, 2)
    assert all(
        isinstance(last[name], int) and last[name] >= 0
        for name in ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")
    )


async def test_generate_has_a_response_and_no_message(
    server: ModelServer, client: httpx2.AsyncClient
) -> None:
    server.script([Reply("Two words")])
    response = await client.post("/api/generate", json={"model": MODEL, "prompt": "x"})
    assert [line["response"] for line in lines(response)] == ["Two", " words", ""]
    assert not any("message" in line for line in lines(response))


async def test_a_plain_reply_comes_in_one_piece(
    server: ModelServer, client: httpx2.AsyncClient
) -> None:
    server.script([Reply("Two words", thinking="Hm."), Reply(thinking="Hm.")])
    response = await client.post("/api/chat", json=chat(stream=False))
    reply = response.json()
    assert response.headers["content-type"].startswith("application/json")
    assert reply["message"] == {"role": "assistant", "content": "Two words", "thinking": "Hm."}
    assert reply["done"] is True
    assert server.requests[0].tokens_sent == 3
    invented = (await client.post("/api/chat", json=chat(stream=False))).json()
    assert invented["message"]["thinking"] == "Hm."
    assert "simulated" in invented["message"]["content"]


async def test_thinking_and_tool_calls_have_lines_of_their_own(
    server: ModelServer, client: httpx2.AsyncClient
) -> None:
    call = {"function": {"name": "weather", "arguments": {"city": "Bern"}}}
    server.script([Reply("Well", thinking="Hm.", tool_calls=[call])])
    thinking, text, tools, last = lines(await client.post("/api/chat", json=chat(think=True)))
    assert thinking["message"] == {"role": "assistant", "content": "", "thinking": "Hm."}
    assert text["message"]["content"] == "Well"
    assert tools["message"]["tool_calls"] == [call]
    assert last["eval_count"] == 3


async def test_the_model_always_says_that_it_is_simulated(client: httpx2.AsyncClient) -> None:
    for asked in (MODEL, f"{MODEL}-simulated", f"{MODEL}:latest", "whatever"):
        response = await client.post("/api/chat", json={**chat(), "model": asked})
        assert all(line["model"].endswith("-simulated") for line in lines(response))
        assert "simulated-simulated" not in response.text


@pytest.mark.parametrize("asked", ["absent:1b", "absent:1b-simulated"])
async def test_a_missing_model_is_not_found(asked: str, client: httpx2.AsyncClient) -> None:
    response = await client.post("/api/chat", json={**chat(), "model": asked})
    assert response.status_code == 404
    assert response.json() == {"error": f"model '{asked}' not found"}


async def test_an_unknown_model_is_not_found_if_only_the_listed_ones_are_accepted() -> None:
    async with (
        open_server(models=["known:1b"], accept_any_model=False) as server,
        httpx2.AsyncClient(base_url=server.url, trust_env=False) as client,
    ):
        unknown = await client.post("/api/chat", json={**chat(), "model": "other:1b"})
        known = await client.post("/api/chat", json={**chat(), "model": "known:1b"})
    assert (unknown.status_code, known.status_code) == (404, 200)
    assert [request.outcome for request in server.requests] == [Outcome.REFUSED, Outcome.FINISHED]


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"", "body"),
        (b"{", "JSON"),
        (b"[]", "object"),
        (b"{}", "model"),
        (b'{"model": 3}', "model"),
        (b'{"model": "m", "messages": {}}', "messages"),
        (b'{"model": "m", "messages": ["x"]}', "messages"),
        (b'{"model": "m", "messages": [{"role": "robot", "content": "x"}]}', "role"),
        (b'{"model": "m", "messages": [{"role": "user", "content": 3}]}', "content"),
        (b'{"model": "m", "stream": "yes"}', "stream"),
        (b'{"model": "m", "messages": [{"role": "user"}], "options": []}', "options"),
        (b'{"model": "m", "messages": [{"role": "user"}], "format": 3}', "format"),
        (b'{"model": "m", "messages": [{"role": "user"}], "options": {"stop": [1]}}', "stop"),
        (b'{"model": "m", "messages": [{"role": "user"}], "options": {"seed": true}}', "seed"),
    ],
)
async def test_a_bad_body_is_refused_by_name(
    body: bytes, names: str, client: httpx2.AsyncClient
) -> None:
    response = await client.post("/api/chat", content=body)
    assert response.status_code == 400
    assert names in response.json()["error"]


async def test_requests_without_a_prompt_load_and_unload(client: httpx2.AsyncClient) -> None:
    load = await client.post("/api/chat", json={"model": MODEL})
    unload = await client.post(
        "/api/generate", json={"model": MODEL, "keep_alive": 0, "stream": False}
    )
    assert [line["done_reason"] for line in lines(load)] == ["load"]
    assert unload.json()["done_reason"] == "unload"


async def test_the_other_endpoints_answer(client: httpx2.AsyncClient) -> None:
    tags = (await client.get("/api/tags")).json()
    loaded = (await client.get("/api/ps")).json()
    assert tags["models"][0]["name"] == loaded["models"][0]["name"] == f"{MODEL}-simulated"
    assert "simulated" in (await client.get("/api/version")).json()["version"]
    show = await client.post("/api/show", json={"model": MODEL})
    assert "completion" in show.json()["capabilities"]
    assert (await client.get("/")).text
    head = await client.head("/")
    assert (head.status_code, head.text) == (200, "")
    assert (await client.get("/api/nothing")).status_code == 404


async def test_the_same_request_gets_the_same_reply(client: httpx2.AsyncClient) -> None:
    async def reply(seed: int) -> list[str]:
        body = chat("Write a poem about rivers.", options={"seed": seed})
        response = await client.post("/api/chat", json=body)
        return [line["message"]["content"] for line in lines(response)]

    assert await reply(1) == await reply(1)
    assert len({"".join(await reply(seed)) for seed in range(8)}) > 1


async def test_num_predict_and_stop_end_a_reply(
    server: ModelServer, client: httpx2.AsyncClient
) -> None:
    server.script([Reply("one two three four")], repeat=True)
    short = lines(await client.post("/api/chat", json=chat(options={"num_predict": 2})))
    exact = lines(await client.post("/api/chat", json=chat(options={"num_predict": 4})))
    stopped = lines(await client.post("/api/chat", json=chat(options={"stop": ["ree", " three"]})))
    alone = lines(await client.post("/api/chat", json=chat(options={"stop": " four"})))
    assert (len(short) - 1, short[-1]["done_reason"], short[-1]["eval_count"]) == (2, "length", 2)
    assert (len(exact) - 1, exact[-1]["done_reason"]) == (4, "stop")
    assert "".join(line["message"]["content"] for line in stopped) == "one two"
    assert alone[-1]["eval_count"] == 3


async def test_one_connection_carries_many_requests(
    server: ModelServer, client: httpx2.AsyncClient
) -> None:
    for _ in range(3):
        await client.post("/api/chat", json=chat())
    assert {request.connection for request in server.requests} == {0}
    assert (server.connections, server.connections_accepted) == (1, 1)


async def test_a_request_is_recorded(server: ModelServer, client: httpx2.AsyncClient) -> None:
    server.script([Reply("Two words")])
    await client.post("/api/chat", json=chat("What?"), headers={"X-Name": "me"})
    (request,) = server.replies
    assert request.body == chat("What?")
    assert (request.method, request.path, request.prompt) == ("POST", "/api/chat", "What?")
    assert request.headers["x-name"] == "me"
    assert request.streamed
    assert (request.tokens_sent, request.text_sent) == (2, "Two words")
    assert request.first_token_at is not None
    assert request.ended_at is not None
    assert request.arrived_at <= request.first_token_at <= request.ended_at
    assert request.outcome is Outcome.FINISHED
    assert server.totals == {Outcome.FINISHED: 1}


async def exchange(server: ModelServer, data: bytes) -> bytes:
    """Send bytes and return all that comes until the server closes."""
    host, port = server.url.removeprefix("http://").split(":")
    received = b""
    async with await anyio.connect_tcp(host, int(port)) as stream:
        await stream.send(data)
        with anyio.fail_after(20):
            async for some in stream:
                received += some
    return received


async def test_what_is_not_http_is_refused(server: ModelServer) -> None:
    received = await exchange(server, b"what is this\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 400 ")
    assert b'{"error":' in received
    await server.wait_idle(connections=True)


async def test_a_body_that_is_too_long_is_refused(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_http, "MAX_BODY_BYTES", 10)
    head = b"POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n"
    assert (await exchange(server, head + b"x" * 11)).startswith(b"HTTP/1.1 413 ")


async def test_a_client_of_http_1_0_gets_a_body_that_ends_with_the_connection(
    server: ModelServer,
) -> None:
    server.script([Reply("Two words")])
    body = json.dumps(chat()).encode()
    head = b"POST /api/chat HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(body)
    received = await exchange(server, head + body)
    head, _, rest = received.partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert len([json.loads(line) for line in rest.splitlines()]) == 3


async def test_a_client_that_waits_for_permission_gets_it(server: ModelServer) -> None:
    body = json.dumps(chat()).encode()
    head = (
        b"POST /api/chat HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    )
    host, port = server.url.removeprefix("http://").split(":")
    async with await anyio.connect_tcp(host, int(port)) as stream:
        await stream.send(head)
        assert (await stream.receive()).startswith(b"HTTP/1.1 100 ")
        await stream.send(body)
        received = b"".join([some async for some in stream])
    assert received.startswith(b"HTTP/1.1 200 ")


async def test_requests_that_come_together_are_answered_in_order(server: ModelServer) -> None:
    server.script([Reply("first"), Reply("second")])
    body = json.dumps(chat()).encode()
    request = b"POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % len(body)
    together = request + b"\r\n" + body + request + b"Connection: close\r\n\r\n" + body
    received = await exchange(server, together)
    assert received.count(b"HTTP/1.1 200 ") == 2
    assert received.index(b"first") < received.index(b"second")


async def test_a_client_that_floods_the_server_is_read_no_further(server: ModelServer) -> None:
    server.script([Reply(["x"], time_to_first_token=60)])
    body = json.dumps(chat()).encode()
    request = b"POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    host, port = server.url.removeprefix("http://").split(":")
    async with await anyio.connect_tcp(host, int(port)) as stream:
        await stream.send(request + body)
        with anyio.move_on_after(0.5) as scope:
            for _ in range(10_000):
                await stream.send(b"x" * 65536)
        assert scope.cancelled_caught
        assert server.serving == 1


async def test_the_server_listens_where_it_is_told() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        async with (
            open_server(host="::1") as server,
            httpx2.AsyncClient(base_url=server.url, trust_env=False) as client,
        ):
            assert server.url.startswith("http://[::1]:")
            assert (await client.get("/")).status_code == 200
    except OSError:
        pytest.skip("no IPv6 here")


async def test_an_address_in_use_is_an_error(server: ModelServer) -> None:
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        async with open_server(port=port):
            pass


@pytest.mark.parametrize("port", [-1, 65536, 99999])
async def test_a_port_that_does_not_exist_is_refused(port: int) -> None:
    with pytest.raises(ValueError, match=f"up to 65535, not {port}"):
        async with open_server(port=port):
            pass
    with pytest.raises(ValueError, match="up to 65535"), serve_in_thread(port=port):
        pass


@pytest.mark.parametrize("port", ["-1", "65536", "99999", "http", ""])
async def test_so_it_is_on_the_command_line(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--port", port])
    assert caught.value.code == 2
    assert "--port: it must be a number up to 65535" in capsys.readouterr().err


async def test_headers_come_with_the_first_token_or_at_once() -> None:
    for at_once in (False, True):
        async with (
            open_server(time_to_first_token=60, headers_at_once=at_once) as server,
            httpx2.AsyncClient(base_url=server.url, trust_env=False) as client,
        ):
            with anyio.move_on_after(0.3 if not at_once else 20):
                async with client.stream("POST", "/api/chat", json=chat()) as response:
                    assert at_once
                    assert response.status_code == 200
            await server.wait_idle()
            assert server.requests[0].tokens_sent == 0


async def test_a_connection_without_requests_ends_after_a_while() -> None:
    async with open_server(keep_alive_timeout=0.01) as server:
        host, port = server.url.removeprefix("http://").split(":")
        async with await anyio.connect_tcp(host, int(port)) as stream:
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()
        assert server.connections_accepted == 1
        assert server.connections == 0


async def test_idle_connections_can_be_dropped(
    server: ModelServer, client: httpx2.AsyncClient
) -> None:
    await client.get("/")
    server.drop_idle_connections()
    await server.wait_idle(connections=True)
    assert (await client.get("/")).status_code == 200
