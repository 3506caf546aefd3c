"""The mocks of HTTP libraries that users' tests have work with their own clients."""

import gzip
import json
from typing import Any

import anyio
import httpx
import httpx2
import pytest
import respx

from backends.raw import OK, Visit, answers, raw_server, whole
from motet import (
    BackendUnavailable,
    CBlock,
    ConnectionLost,
    ProtocolError,
    ReplyError,
    SimpleContext,
    StatusError,
)
from motet.backends import Backend, OllamaModelBackend, OpenAIBackend

pytestmark = pytest.mark.anyio

LINES = b'{"message":{"content":"Hello."},"done":false}\n{"done":true,"done_reason":"stop"}\n'
EVENTS = (
    b'data: {"choices":[{"index":0,"delta":{"content":"Hello."},"finish_reason":"stop"}]}\n\n'
    b"data: [DONE]\n\n"
)
PROTOCOLS: dict[str, tuple[Any, str, bytes]] = {
    "ollama": (OllamaModelBackend, "/api/chat", LINES),
    "openai": (OpenAIBackend, "/chat/completions", EVENTS),
}


async def ask(backend: Backend) -> str:
    with anyio.fail_after(20):
        text: str = await backend.begin(CBlock("Say hello."), SimpleContext())
        return text


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_respx_answers_for_a_server_that_is_not_there(protocol: str) -> None:
    make, path, body = PROTOCOLS[protocol]
    async with respx.mock(base_url="http://nowhere.example") as mock, httpx.AsyncClient() as http:
        route = mock.post(path).respond(200, content=body)
        assert await ask(make("m", base_url="http://nowhere.example", http_client=http)) == "Hello."
        assert json.loads(route.calls.last.request.content)["model"] == "m"


ERRORS_WITH_TEXT = {
    "ollama": b'{"message":{"content":"one "},"done":false}\n'
    b'{"message":{"content":"two"},"error":"out of luck"}\n',
    "openai": b'data: {"choices":[{"index":0,"delta":{"content":"one "}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"content":"two"},"finish_reason":"error"}]}\n\n',
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_text_that_comes_with_an_error_is_read_before_it(protocol: str) -> None:
    make, path, _ = PROTOCOLS[protocol]
    async with respx.mock(base_url="http://nowhere.example") as mock, httpx.AsyncClient() as http:
        mock.post(path).respond(200, content=ERRORS_WITH_TEXT[protocol])
        backend = make("m", base_url="http://nowhere.example", http_client=http)
        thunk = backend.begin(CBlock("Say hello."), SimpleContext())
        read = ""
        with anyio.fail_after(20), pytest.raises(ReplyError) as caught:
            async for delta in thunk:
                read += delta
    assert read == caught.value.partial == "one two"


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_hook_may_read_the_reply(protocol: str, library: Any) -> None:
    make, _, body = PROTOCOLS[protocol]
    read: list[bytes] = []

    async def log(response: Any) -> None:
        read.append(await response.aread())

    packed = gzip.compress(body)
    steps = [
        whole(b"too much to do").replace(b"200 OK", b"503 Busy"),
        OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed,
    ]
    hooks = {"response": [log]}
    async with (
        raw_server(answers(*steps)) as server,
        library.AsyncClient(event_hooks=hooks) as http,
    ):
        backend = make("m", base_url=server.url, http_client=http)
        with pytest.raises(StatusError, match="too much to do"):
            await ask(backend)
        assert await ask(backend) == "Hello."
    assert read == [b"too much to do", body]


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
async def test_a_hook_that_keeps_nothing_of_the_reply_is_told(library: Any) -> None:
    async def spoil(response: Any) -> None:
        async for _ in response.aiter_raw():
            pass

    busy = whole(b"too much to do").replace(b"200 OK", b"503 Busy")
    async with (
        raw_server(answers(busy, whole(LINES))) as server,
        library.AsyncClient(event_hooks={"response": [spoil]}) as http,
    ):
        backend = OllamaModelBackend("m", base_url=server.url, http_client=http)
        with pytest.raises(StatusError, match="503"):
            await ask(backend)
        with pytest.raises(ProtocolError, match="aread"):
            await ask(backend)


async def raise_at_once(response: Any) -> None:
    response.raise_for_status()


async def read_and_raise(response: Any) -> None:
    await response.aread()
    response.raise_for_status()


async def spoil_and_raise(response: Any) -> None:
    if response.is_error:
        async for _ in response.aiter_raw():
            pass
    response.raise_for_status()


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("hook", "said"),
    [
        (raise_at_once, "without saying why"),
        (read_and_raise, "too much to do"),
        (spoil_and_raise, "without saying why"),
    ],
)
async def test_a_status_that_a_hook_raises_is_a_status(
    protocol: str, library: Any, hook: Any, said: str
) -> None:
    make, _, body = PROTOCOLS[protocol]
    busy = whole(b"too much to do", b"Retry-After: 0").replace(b"200 OK", b"503 Busy")
    replies = [busy, busy, whole(body)]

    async def serve(visit: Visit) -> None:
        while True:
            await visit.request()
            await visit.send(replies.pop(0))

    async with (
        raw_server(serve) as server,
        library.AsyncClient(event_hooks={"response": [hook]}) as http,
    ):
        backend = make("m", base_url=server.url, http_client=http)
        with pytest.raises(StatusError, match=said) as caught:
            await ask(backend)
        assert caught.value.status == 503
        assert caught.value.retry_after == 0
        assert type(caught.value.__cause__).__name__ == "HTTPStatusError"
        again = make("m", base_url=server.url, http_client=http, retries=1)
        assert await ask(again) == "Hello."


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
async def test_the_status_of_another_request_is_not_the_servers(library: Any) -> None:
    async with (
        raw_server(answers(whole(b"").replace(b"200 OK", b"401 No"))) as tokens,
        raw_server(answers(whole(LINES))) as server,
        library.AsyncClient() as plain,
    ):

        async def fetch_token(request: Any) -> None:
            (await plain.get(tokens.url)).raise_for_status()

        async with library.AsyncClient(event_hooks={"request": [fetch_token]}) as http:
            backend = OllamaModelBackend("m", base_url=server.url, http_client=http)
            with pytest.raises(library.HTTPStatusError, match="401"):
                await ask(backend)
        assert server.requests == []


@pytest.mark.parametrize(
    ("error", "kind"),
    [(httpx.ConnectError, BackendUnavailable), (httpx.ReadError, ConnectionLost)],
)
async def test_and_fails_for_it(error: Any, kind: type[Exception]) -> None:
    async with respx.mock as mock, httpx.AsyncClient() as http:
        mock.post("http://nowhere.example:80/api/chat").mock(side_effect=error("so it is"))
        with pytest.raises(kind, match="so it is"):
            await ask(OllamaModelBackend("m", base_url="http://nowhere.example", http_client=http))
