"""The Ollama backend: its requests, its facts, its errors, and nothing left open."""

import json
from collections.abc import Iterator
from typing import Any

import anyio
import httpx
import httpx2
import pytest

from backends.raw import answers, chunked, raw_server
from loops import REAL_LOOPS
from motet import (
    BackendError,
    BackendUnavailable,
    CBlock,
    ModelNotFound,
    ModelOption,
    SimpleContext,
)
from motet._http.client import shared_transport
from motet._runtime.host import current_host
from motet._values.errors import StatusError
from motet.backends import OllamaModelBackend
from motet.testing import (
    Drop,
    EndlessHeaders,
    EndlessLine,
    ErrorLine,
    Garbage,
    ModelServer,
    Redirect,
    Refuse,
    Reply,
    Reset,
    Stall,
    Truncate,
    serve_in_thread,
)

MODEL = "a-model"
LINE = b'{"model":"m","message":{"role":"assistant","content":"hi"},"done":false}\n'
LAST = b'{"model":"m","done":true,"done_reason":"stop"}\n'


@pytest.fixture(scope="module")
def shared_server() -> Iterator[ModelServer]:
    with serve_in_thread(loop="trio") as server:
        yield server


@pytest.fixture
def server(shared_server: ModelServer) -> Iterator[ModelServer]:
    shared_server.reset()
    yield shared_server
    shared_server.block_until_idle()


def begin(backend: OllamaModelBackend, **options: Any) -> Any:
    return backend.begin(CBlock("Say something."), SimpleContext(), model_options=options)


async def nothing_is_open() -> None:
    assert shared_transport(current_host()).leased == 0


@pytest.mark.parametrize(
    ("host", "url"),
    [("box", "http://box:11434"), (":80", "http://127.0.0.1:80"), (None, "http://127.0.0.1:11434")],
)
def test_the_server_is_the_one_of_the_environment(
    host: str | None, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OLLAMA_HOST", raising=False)
    if host is not None:
        monkeypatch.setenv("OLLAMA_HOST", host)
    backend = OllamaModelBackend(MODEL)
    assert backend.base_url == url
    monkeypatch.setenv("OLLAMA_HOST", "elsewhere")
    assert backend.base_url == url
    assert OllamaModelBackend(MODEL, base_url="https://other/x/").base_url == "https://other:443/x"


OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "none": ({}, {}),
    "plain": ({ModelOption.STREAM: False}, {}),
    "streamed": ({ModelOption.STREAM: True}, {}),
    "temperature": ({ModelOption.TEMPERATURE: 0.5}, {"options": {"temperature": 0.5}}),
    "seed": ({ModelOption.SEED: 3}, {"options": {"seed": 3}}),
    "length": ({ModelOption.MAX_NEW_TOKENS: 9}, {"options": {"num_predict": 9}}),
    "window": ({ModelOption.CONTEXT_WINDOW: 99}, {"options": {"num_ctx": 99}}),
    "stops": ({ModelOption.STOP_SEQUENCES: ["x"]}, {"options": {"stop": ["x"]}}),
    "thinking": ({ModelOption.THINKING: True}, {"think": True}),
    "level": ({ModelOption.THINKING: "low"}, {"think": "low"}),
    "Ollama's own": ({"top_k": 4, "num_ctx": 8}, {"options": {"top_k": 4, "num_ctx": 8}}),
    "the top level's": ({"keep_alive": 0}, {"keep_alive": 0}),
}


@pytest.mark.anyio
@pytest.mark.parametrize("name", OPTIONS)
async def test_each_option_has_its_place_in_the_request(name: str, server: ModelServer) -> None:
    options, expected = OPTIONS[name]
    await begin(OllamaModelBackend(MODEL, base_url=server.url), **options)
    (request,) = server.replies
    plain = {
        "model": MODEL,
        "stream": True,  # whatever the caller wants: only then does hanging up stop the server
        "options": {},
        "messages": [{"role": "user", "content": "Say something."}],
        "tools": [],
    }
    assert request.body == plain | expected
    assert request.headers["accept-encoding"] == "identity"


@pytest.mark.anyio
async def test_the_bytes_of_a_request(anyio_backend: Any) -> None:
    async with raw_server(answers(chunked(LINE, LAST))) as server:
        backend = OllamaModelBackend("m", base_url=server.url)
        assert await begin(backend, **{ModelOption.SYSTEM_PROMPT: "Be brief.", "seed": 1}) == "hi"
        body = (
            b'{"model":"m","stream":true,"options":{"seed":1},"messages":[{"role":"system",'
            b'"content":"Be brief."},{"role":"user","content":"Say something."}],"tools":[]}'
        )
        head, _, sent = server.requests[0].partition(b"\r\n\r\n")
        assert sent == body
        assert head.startswith(b"POST /api/chat HTTP/1.1\r\n")
        await backend.close_idle()


@pytest.mark.anyio
async def test_the_facts_of_a_reply(server: ModelServer) -> None:
    server.script([Reply(["Hel", "lo"], done_reason="length")])
    thunk = begin(OllamaModelBackend(MODEL, base_url=server.url))
    assert await thunk == "Hello"
    facts = thunk.generation
    assert facts.usage["total_tokens"] == sum(
        facts.usage[key] for key in ("prompt_tokens", "completion_tokens")
    )
    assert facts.finish_reasons == ["length"]
    assert (facts.model, facts.provider, facts.response_id) == (MODEL, "ollama", None)
    assert thunk.raw.response["message"]["content"] == "Hello"
    assert facts.ttfb_ms >= 0


@pytest.mark.anyio
async def test_a_usage_that_is_no_number_does_not_cost_the_reply(anyio_backend: Any) -> None:
    last = b'{"done":true,"done_reason":"stop","prompt_eval_count":7,"eval_count":"3"}\n'
    line = b'{"model":"m","message":{"role":"assistant","content":"hi"},"done":false}\n'
    async with raw_server(answers(chunked(line, last))) as server:
        thunk = begin(OllamaModelBackend(MODEL, base_url=server.url))
        assert await thunk == "hi"
    assert thunk.generation.usage["prompt_tokens"] == 7
    assert thunk.generation.finish_reasons == ["stop"]


@pytest.mark.anyio
async def test_a_model_that_is_missing_is_named_with_the_way_to_get_it(server: ModelServer) -> None:
    server.script([Refuse(404, 'model "a-model" not found')])
    with pytest.raises(ModelNotFound, match="ollama pull a-model"):
        await begin(OllamaModelBackend(MODEL, base_url=server.url))


@pytest.mark.anyio
async def test_a_server_that_is_not_there_is_named_with_the_way_to_start_it() -> None:
    async with raw_server(answers()) as server:
        pass
    with pytest.raises(BackendUnavailable, match="ollama serve") as caught:
        await begin(OllamaModelBackend(MODEL, base_url=server.url))
    assert server.url in str(caught.value)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("said", "seconds"), [("7", 7.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), (None, None)]
)
@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_server_may_say_for_how_long(
    status: int, said: str | None, seconds: float | None, server: ModelServer
) -> None:
    server.script([Refuse(status, "busy", {"retry-after": said} if said else {})])
    with pytest.raises(StatusError, match="busy") as caught:
        await begin(OllamaModelBackend(MODEL, base_url=server.url))
    assert (caught.value.status, caught.value.retry_after) == (status, seconds)


@pytest.mark.anyio
@pytest.mark.parametrize("body", [b"", b"[]", b"plain", b'{"detail": "x"}', b"\xff" * 100_000])
async def test_an_error_body_may_have_any_shape(body: bytes, server: ModelServer) -> None:
    server.script([Refuse(500, body=body)])
    with pytest.raises(StatusError) as caught:
        await begin(OllamaModelBackend(MODEL, base_url=server.url))
    assert len(caught.value.message) < 1000


@pytest.mark.anyio
async def test_a_redirect_is_not_followed(server: ModelServer) -> None:
    async with raw_server(answers()) as elsewhere:
        server.script([Redirect(f"{elsewhere.url}/api/chat")])
        with pytest.raises(StatusError) as caught:
            await begin(OllamaModelBackend(MODEL, base_url=server.url))
        assert caught.value.status == 307
        assert elsewhere.visits == []


FAULTS = [Drop(2), Reset(2), Stall(2), Garbage(2), ErrorLine(2), Truncate(2), EndlessLine(2)]


def _name(step: Any) -> str:
    return type(step).__name__


@pytest.mark.anyio
@pytest.mark.parametrize("fault", FAULTS, ids=_name)
@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
async def test_a_fault_is_a_named_error_with_what_came_and_leaves_nothing_open(
    fault: Any, streamed: bool, server: ModelServer
) -> None:
    server.script([Reply(["a", "b", "c"], fault=fault, tokens_per_second=100)])
    limit = 0.5 if isinstance(fault, Stall) else 20
    options = {ModelOption.STREAM: streamed, ModelOption.STREAM_TIMEOUT: limit}
    thunk = begin(OllamaModelBackend(MODEL, base_url=server.url), **options)
    with anyio.fail_after(30), pytest.raises(BackendError) as caught:
        await thunk
    assert type(caught.value) is not BackendError
    assert caught.value.partial == "ab"
    await nothing_is_open()
    with anyio.fail_after(10):
        await server.wait_idle()


SURVIVED = {
    "line endings": Reply(["né", "ü"], newline="\r\n"),
    "blank lines": Reply(["né", "ü"], blank_lines=True),
    "cut anywhere": Reply(["né", "ü"], slice_bytes=1),
    "another content type": Reply(["né", "ü"], content_type="text/html"),
}


@pytest.mark.anyio
@pytest.mark.parametrize("name", SURVIVED)
async def test_an_oddity_is_survived(name: str, server: ModelServer) -> None:
    server.script([SURVIVED[name]])
    assert await begin(OllamaModelBackend(MODEL, base_url=server.url)) == "néü"


@pytest.mark.anyio
async def test_headers_without_an_end_are_given_one(server: ModelServer) -> None:
    server.script([EndlessHeaders()])
    with anyio.fail_after(30), pytest.raises(BackendError):
        await begin(OllamaModelBackend(MODEL, base_url=server.url))
    await nothing_is_open()


@pytest.mark.anyio
async def test_text_before_a_malformed_chunk_is_in_the_error(anyio_backend: Any) -> None:
    async with raw_server(answers(chunked(LINE, end=b"zz\r\n"))) as server:
        with pytest.raises(BackendError) as caught:
            await begin(OllamaModelBackend(MODEL, base_url=server.url))
        assert caught.value.partial == "hi"


def test_one_backend_serves_several_loops_and_opens_nothing_before(server: ModelServer) -> None:
    accepted = server.connections_accepted
    backend = OllamaModelBackend(MODEL, base_url=server.url)
    assert server.connections_accepted == accepted

    async def main() -> None:
        assert await begin(backend)

    for name, options in REAL_LOOPS.values():
        anyio.run(main, backend=name, backend_options=options)
    server.block_until_idle(connections=True)
    assert server.connections_accepted == accepted + len(REAL_LOOPS)


@pytest.mark.anyio
@pytest.mark.parametrize("limit", [None, 7])
async def test_many_calls_at_once_keep_to_the_limit(limit: int | None, server: ModelServer) -> None:
    backend = OllamaModelBackend(MODEL, base_url=server.url, max_in_flight=limit)
    thunks = [begin(backend) for _ in range(300)]
    with anyio.fail_after(60):
        for thunk in thunks:
            assert await thunk
    # Each connection carries one call at a time, so this is how many there were at once.
    assert len({each.connection for each in server.replies}) <= (limit or 300)
    await nothing_is_open()


@pytest.mark.anyio
async def test_silence_is_borne_where_there_is_no_limit(server: ModelServer) -> None:
    server.script([Reply("Hello", time_to_first_token=0.3)])
    backend = OllamaModelBackend(MODEL, base_url=server.url, timeout=None)
    assert await begin(backend, **{ModelOption.STREAM_TIMEOUT: None}) == "Hello"


@pytest.mark.anyio
@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
async def test_a_client_of_the_users_own_is_used_as_it_is_and_not_closed(
    library: Any, server: ModelServer
) -> None:
    async with library.AsyncClient(
        headers={"x-mine": "1"}, cookies={"a": "b"}, auth=("me", "secret")
    ) as http:
        backend = OllamaModelBackend(MODEL, base_url=server.url, http_client=http)
        assert await begin(backend)
        assert not http.is_closed
        headers = server.replies[0].headers
        assert headers["x-mine"] == "1"
        assert headers["cookie"] == "a=b"
        assert headers["authorization"].startswith("Basic ")
        server.script([Stall(1)])
        thunk = begin(backend)
        await server.wait_until(lambda: server.replies[-1].tokens_sent == 1)
        await thunk.aclose()
        with anyio.fail_after(10):
            await server.wait_idle()
        assert await begin(backend)


@pytest.mark.anyio
@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
async def test_a_client_may_have_no_server_at_all_and_encoded_replies(library: Any) -> None:
    import gzip

    def answer(request: Any) -> Any:
        assert json.loads(request.content)["stream"] is True
        return library.Response(
            200, headers={"content-encoding": "gzip"}, content=gzip.compress(LINE + LAST)
        )

    async with library.AsyncClient(transport=library.MockTransport(answer)) as http:
        assert await begin(OllamaModelBackend("m", base_url="nowhere", http_client=http)) == "hi"
