"""Every scripted fault reaches the client as it is described, and is recorded."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import httpx2
import pytest

from motet.testing import (
    Drop,
    EndlessHeaders,
    EndlessLine,
    ErrorLine,
    Garbage,
    ModelServer,
    Outcome,
    Redirect,
    Refuse,
    Reply,
    Reset,
    Stall,
    Step,
    Truncate,
    open_server,
)

pytestmark = pytest.mark.anyio

WORDS = "one two three four"
STREAM = {"model": "m", "messages": [{"role": "user", "content": "Hello."}]}
PLAIN = {**STREAM, "stream": False}


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with open_server(default=Reply(WORDS)) as server:
        yield server


@pytest.fixture
async def client(server: ModelServer) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False) as client:
        yield client


async def read(
    client: httpx2.AsyncClient, body: dict[str, Any] = STREAM
) -> tuple[bytes, Exception | None]:
    """Return what arrived, and how it broke off."""
    arrived = bytearray()
    try:
        async with client.stream("POST", "/api/chat", json=body) as response:
            async for some in response.aiter_raw():
                arrived += some
    except httpx2.TransportError as exc:
        return bytes(arrived), exc
    return bytes(arrived), None


async def read_until(enough: Callable[[bytearray], bool], client: httpx2.AsyncClient) -> None:
    """Hang up when enough has arrived."""
    arrived = bytearray()
    with anyio.CancelScope() as scope:
        async with client.stream("POST", "/api/chat", json=STREAM) as response:
            async for some in response.aiter_raw():
                arrived += some
                if enough(arrived):
                    scope.cancel()  # a `break` would leave generators behind


def text(arrived: bytes) -> str:
    records = [json.loads(line) for line in arrived.splitlines() if line.strip()]
    return "".join(record["message"]["content"] for record in records)


@pytest.mark.parametrize("fault", [Drop, Reset])
@pytest.mark.parametrize("after", [0, 2, 4, 99])
async def test_a_broken_connection_breaks_the_body(
    fault: type[Drop] | type[Reset], after: int, server: ModelServer, client: httpx2.AsyncClient
) -> None:
    server.script([fault(after)])
    arrived, error = await read(client)
    assert error is not None
    sent = min(after, 4)
    if fault is Drop:  # a reset may overtake what was sent before
        assert text(arrived) == WORDS[: [0, 3, 7, 13, 18][sent]]
    (request,) = server.requests
    assert (request.outcome, request.tokens_sent) == (Outcome.FAILED, sent)
    assert await read(client) is not None
    assert server.requests[1].outcome is Outcome.FINISHED


async def test_a_stall_is_silence_until_the_client_hangs_up(
    server: ModelServer, client: httpx2.AsyncClient
) -> None:
    server.script([Stall(2)])
    await read_until(lambda arrived: arrived.count(b"\n") == 2, client)
    await server.wait_idle()
    (request,) = server.requests
    assert (request.outcome, request.text_sent) == (Outcome.HUNG_UP, "one two")
    assert request.hung_up


@pytest.mark.parametrize("body", [STREAM, PLAIN])
async def test_a_stall_with_an_end_goes_on(
    body: dict[str, Any], server: ModelServer, client: httpx2.AsyncClient
) -> None:
    server.script([Stall(2, seconds=0.01)])
    arrived, error = await read(client, body)
    assert (text(arrived), error) == (WORDS, None)
    assert server.requests[0].outcome is Outcome.FINISHED


async def test_garbage_is_no_json_in_a_proper_body(
    server: ModelServer, client: httpx2.AsyncClient
) -> None:
    server.script([Garbage(1), Garbage(data=b"nonsense")])
    arrived, error = await read(client)
    first, rest = arrived.split(b"\n", 1)
    assert (text(first), error) == ("one", None)
    with pytest.raises((json.JSONDecodeError, UnicodeDecodeError)):
        json.loads(rest)
    assert await read(client, PLAIN) == (b"nonsense", None)
    assert [request.outcome for request in server.requests] == [Outcome.FAILED] * 2


async def test_an_error_in_a_stream_is_a_line(
    server: ModelServer, client: httpx2.AsyncClient
) -> None:
    server.script([ErrorLine(1, "out of memory")])
    arrived, error = await read(client)
    first, second = arrived.splitlines()
    assert (text(first), json.loads(second), error) == ("one", {"error": "out of memory"}, None)


async def test_an_error_in_a_plain_reply_is_a_status(
    server: ModelServer, client: httpx2.AsyncClient
) -> None:
    server.script([ErrorLine(1, "out of memory")])
    response = await client.post("/api/chat", json=PLAIN)
    assert (response.status_code, response.json()) == (500, {"error": "out of memory"})


async def test_a_truncated_reply_ends_without_its_last_line(
    server: ModelServer, client: httpx2.AsyncClient
) -> None:
    server.script([Truncate(3), Truncate(0), Truncate(99), Truncate(1)])
    arrived, error = await read(client)
    assert (text(arrived), error) == ("one two three", None)
    assert b'"done":true' not in arrived
    assert await read(client) == (b"", None)
    assert text((await read(client))[0]) == WORDS
    plain = json.loads((await read(client, PLAIN))[0])
    assert (plain["message"]["content"], plain["done"]) == ("one", False)


@pytest.mark.parametrize("body", [STREAM, PLAIN])
@pytest.mark.parametrize("fault", [EndlessLine(1, 100_000), EndlessHeaders(100_000)])
async def test_what_is_endless_floods_until_its_limit(
    fault: Step, body: dict[str, Any], server: ModelServer, client: httpx2.AsyncClient
) -> None:
    server.script([fault])
    arrived, error = await read(client, body)
    assert error is not None
    if isinstance(fault, EndlessLine):
        assert len(arrived.splitlines()[-1]) > 50_000
    await server.wait_idle()
    # h11 gives up on the headers before they end.
    assert server.requests[0].outcome in (Outcome.FAILED, Outcome.HUNG_UP)


async def test_a_client_may_leave_what_is_endless(server: ModelServer) -> None:
    server.script([EndlessLine(1)])
    # Without httpx2: on uvloop no cancellation gets through to a task that finds data
    # whenever it looks for some.
    host, port = server.url.removeprefix("http://").split(":")
    body = json.dumps(STREAM).encode()
    head = b"POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with await anyio.connect_tcp(host, int(port)) as stream:
        await stream.send(head + body)
        size = 0
        while size < 1_000_000:
            size += len(await stream.receive())
    await server.wait_idle()
    assert server.requests[0].outcome is Outcome.HUNG_UP


@pytest.mark.parametrize("fault", [Drop(1), Reset(1)])
async def test_a_broken_plain_reply_is_shorter_than_announced(
    fault: Step, server: ModelServer, client: httpx2.AsyncClient
) -> None:
    server.script([fault])
    _, error = await read(client, PLAIN)
    assert error is not None
    assert server.requests[0].outcome is Outcome.FAILED


async def test_a_refusal_has_its_status_headers_and_error(
    server: ModelServer, client: httpx2.AsyncClient
) -> None:
    server.script([Refuse(429, "slow down", {"Retry-After": "2"}), Refuse(599, body=b"oops")])
    busy = await client.post("/api/chat", json=STREAM)
    broken = await client.post("/api/chat", json=STREAM)
    assert (busy.status_code, busy.json()) == (429, {"error": "slow down"})
    assert busy.headers["retry-after"] == "2"
    assert (broken.status_code, broken.text) == (599, "oops")
    assert {request.outcome for request in server.requests} == {Outcome.REFUSED}
    assert server.connections_accepted == 1


async def test_a_redirect_leads_elsewhere(server: ModelServer, client: httpx2.AsyncClient) -> None:
    server.script([Redirect("http://192.0.2.1/api/chat")])
    response = await client.post("/api/chat", json=STREAM, follow_redirects=False)
    assert response.status_code == 307
    assert response.headers["location"] == "http://192.0.2.1/api/chat"


async def test_a_body_can_be_cut_anywhere(server: ModelServer, client: httpx2.AsyncClient) -> None:
    server.script([Reply("né süß 猫", slice_bytes=1)])
    pieces = []
    async with client.stream("POST", "/api/chat", json=STREAM) as response:
        async for some in response.aiter_raw():
            pieces.append(some)  # noqa: PERF401 - the comprehension would hide what is tried
    assert {len(piece) for piece in pieces} == {1}
    assert text(b"".join(pieces)) == "né süß 猫"


@pytest.mark.parametrize("size", [3, 7, 4096])
@pytest.mark.parametrize("body", [STREAM, PLAIN])
async def test_slices_lose_nothing(
    size: int, body: dict[str, Any], server: ModelServer, client: httpx2.AsyncClient
) -> None:
    server.script([Reply(WORDS, slice_bytes=size)])
    arrived, error = await read(client, body)
    assert (text(arrived), error) == (WORDS, None)


async def test_lines_may_end_in_another_way(
    server: ModelServer, client: httpx2.AsyncClient
) -> None:
    server.script([Reply(WORDS, newline="\r\n", blank_lines=True)])
    arrived, _ = await read(client)
    assert text(arrived) == WORDS
    assert arrived.count(b"\r\n") == arrived.count(b"\n") == 10
    assert arrived.startswith(b"\r\n")


@pytest.mark.parametrize("body", [STREAM, PLAIN])
async def test_a_content_type_may_be_wrong(
    body: dict[str, Any], server: ModelServer, client: httpx2.AsyncClient
) -> None:
    server.script([Reply(content_type="text/html")])
    response = await client.post("/api/chat", json=body)
    assert response.headers["content-type"] == "text/html"


async def test_a_reply_may_have_no_text_and_any_reason(
    server: ModelServer, client: httpx2.AsyncClient
) -> None:
    server.script([Reply("", done_reason="load")])
    (last,) = (await read(client))[0].splitlines()
    assert json.loads(last)["done_reason"] == "load"


async def test_tokens_are_sent_as_they_are_given(
    server: ModelServer, client: httpx2.AsyncClient
) -> None:
    server.script([Reply(["Hel", "lo wor", "ld"])])
    arrived, _ = await read(client)
    assert server.requests[0].sent == ["Hel", "lo wor", "ld"]
    assert text(arrived) == "Hello world"


async def test_a_request_takes_the_first_step_that_fits(
    server: ModelServer, client: httpx2.AsyncClient
) -> None:
    async def say(prompt: str) -> str:
        body = {"model": "m", "messages": [{"role": "user", "content": prompt}]}
        return text((await read(client, body))[0])

    server.script([Reply("river")], when=lambda request: "river" in request.prompt)
    server.script([Reply("first"), Reply("second")])
    assert await say("a") == "first"
    assert await say("a river") == "river"
    assert await say("another river") == "second"
    assert await say("b") == WORDS
    server.script([Reply("again")], repeat=True)
    assert [await say("c") for _ in range(3)] == ["again"] * 3
    server.reset()
    assert server.requests == ()
    assert await say("d") == WORDS


async def test_other_endpoints_have_scripts_of_their_own(
    server: ModelServer, client: httpx2.AsyncClient
) -> None:
    server.script([Refuse(503), Reply("no reply here")], path="/api/tags")
    assert text((await read(client))[0]) == WORDS
    assert (await client.get("/api/tags")).status_code == 503
    assert (await client.get("/api/tags")).status_code == 200


async def test_what_is_no_step_is_refused(server: ModelServer) -> None:
    with pytest.raises(TypeError, match="not a step"):
        server.script(["Hello"])  # type: ignore[list-item]  # the mistake


@pytest.mark.parametrize(
    "settings",
    [{"time_to_first_token": -1.0}, {"tokens_per_second": 0.0}],
)
async def test_impossible_paces_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        async with open_server(**settings):
            pass
    with pytest.raises(ValueError, match="must be"):
        Reply(**settings)


async def test_a_bug_in_a_condition_ends_the_server() -> None:
    with pytest.raises(ZeroDivisionError):
        async with open_server() as server:
            server.script([Reply("x")], when=lambda _: bool(1 // 0))
            async with httpx2.AsyncClient(base_url=server.url, trust_env=False) as client:
                await client.post("/api/chat", json=STREAM)
                await anyio.sleep_forever()
