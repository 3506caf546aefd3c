"""The OpenAI backend: its address and keys, its requests, facts and errors."""

import json
from typing import Any

import anyio
import pytest

from backends.raw import Handler, Visit, answers, chunked, raw_server, whole
from motet import (
    BackendTimeout,
    BackendUnavailable,
    CBlock,
    ConnectionLost,
    FallbackBackend,
    ImageUrlBlock,
    Message,
    ModelNotFound,
    ModelOption,
    ProtocolError,
    ReplyError,
    ReplyRefused,
    SimpleContext,
    StatusError,
    TruncatedReply,
    open_session,
    start_session,
)
from motet._http.client import shared_transport
from motet._runtime.host import current_host
from motet.backends import OpenAIBackend
from motet.model_ids import IBM_GRANITE_4_1_3B, MISTRALAI_DEVSTRAL_2_123B

HEAD = b"Content-Type: text/event-stream\r\n"
VARIABLES = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID")


def event(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    data = {"id": "chatcmpl-1", "model": "m-1", "choices": choices, **more}
    return b"data: " + json.dumps(data).encode() + b"\n\n"


HI = event({"role": "assistant", "content": "hi"})
STOP = event({}, "stop")
USAGE = event(usage={"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4})
DONE = b"data: [DONE]\n\n"
WHOLE = (HI, STOP, USAGE, DONE)


def stream(*pieces: bytes, **more: Any) -> bytes:
    return chunked(*pieces, headers=HEAD, **more)


def refusal(status: int, error: Any) -> bytes:
    body = json.dumps({"error": error}).encode()
    return b"HTTP/1.1 %d No\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def begin(backend: OpenAIBackend, action: Any = None, **options: Any) -> Any:
    action = CBlock("Say something.") if action is None else action
    return backend.begin(action, SimpleContext(), model_options=options)


def sent(request: bytes) -> tuple[list[bytes], Any]:
    head, _, body = request.partition(b"\r\n\r\n")
    return head.lower().split(b"\r\n"), json.loads(body)


def nothing_is_open() -> None:
    assert shared_transport(current_host()).leased == 0


# ---- Where and who ----


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://box:8000/v1", "http://box:8000/v1"),
        (" https://box/v1/ ", "https://box/v1"),
        ("http://[::1]:1/v1", "http://[::1]:1/v1"),
        ("https://box/v1?version=2", "https://box/v1?version=2"),
        ("HTTP://box", "http://box"),
    ],
)
def test_the_server_is_a_url(given: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert OpenAIBackend("m", base_url=given).base_url == url
    monkeypatch.setenv("OPENAI_BASE_URL", given)
    assert OpenAIBackend("m").base_url == url


@pytest.mark.parametrize("given", ["box:8000", "ftp://x", "http://", "http://x:99999", "x"])
def test_what_is_no_url_is_refused_with_an_example(given: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        OpenAIBackend("m", base_url=given)


def test_openai_itself_wants_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="OPENAI_API_KEY or api_key is required"):
        OpenAIBackend("gpt-x")
    assert OpenAIBackend("gpt-x", api_key="k").base_url == "https://api.openai.com/v1"
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert OpenAIBackend().model_id == "gpt-5.1"


def test_a_key_is_never_shown() -> None:
    backend = OpenAIBackend("m", base_url="http://box/v1", api_key="sk-secret")
    assert repr(backend) == ("OpenAIBackend(model_id='m', base_url='http://box/v1', api_key='***')")
    backend = OpenAIBackend("m", base_url="http://box/v1?key=secret")
    assert backend.base_url == "http://box/v1?key=secret"  # what is asked
    for shown in (repr(backend), backend.label, repr(FallbackBackend([backend]))):
        assert "http://box/v1?key=[redacted]" in shown
        assert "secret" not in shown
    with pytest.raises(ValueError, match="password") as caught:
        OpenAIBackend("m", base_url="http://me:sk-secret@box/v1")
    assert "secret" not in str(caught.value)
    with pytest.raises(TypeError, match="not bytes") as wrong:
        OpenAIBackend("m", base_url="http://box/v1", api_key=b"sk-secret")  # type: ignore[arg-type]
    assert "secret" not in str(wrong.value)


def test_models_are_known_by_their_names() -> None:
    backend = OpenAIBackend(IBM_GRANITE_4_1_3B, base_url="http://box/v1")
    assert backend.model_id == "ibm-granite/granite-4.1-3b"
    with pytest.raises(ValueError, match="openai_name"):
        OpenAIBackend(MISTRALAI_DEVSTRAL_2_123B, base_url="http://box/v1")


def test_a_session_takes_it_by_name() -> None:
    session = start_session("openai", "m", base_url="http://box/v1", api_key="k")
    assert isinstance(session.backend, OpenAIBackend)
    with pytest.raises(TypeError, match="OpenAIBackend knows the option 'basurl'"):
        start_session("openai", "m", basurl="x")


@pytest.mark.anyio
async def test_the_headers_say_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj")
    async with raw_server(answers(stream(*WHOLE), stream(*WHOLE))) as server:
        backend = OpenAIBackend(
            "m",
            base_url=f"{server.url}/v1",
            api_key="sk-1",
            organization="org",
            headers={"X-Title": "Mine"},
        )
        assert await begin(backend) == "hi"
        head, _ = sent(server.requests[0])
        assert head[0] == b"post /v1/chat/completions http/1.1"
        for line in (
            b"authorization: bearer sk-1",
            b"openai-organization: org",
            b"openai-project: proj",
            b"x-title: mine",
            b"accept: text/event-stream",
            b"accept-encoding: identity",
        ):
            assert line in head
        assert await begin(OpenAIBackend("m", base_url=f"{server.url}/v1")) == "hi"
        assert not any(line.startswith(b"authorization") for line in sent(server.requests[1])[0])
        await backend.close_idle()


# ---- Replies ----


@pytest.mark.anyio
@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
async def test_the_facts_of_a_reply(streamed: bool) -> None:
    think = event({"reasoning": "Hm"})
    async with raw_server(answers(stream(think, *WHOLE))) as server:
        thunk = begin(OpenAIBackend("m", base_url=server.url), **{ModelOption.STREAM: streamed})
        assert await thunk == "hi"
        facts = thunk.generation
        assert (facts.provider, facts.model, facts.response_model) == ("openai", "m", "m-1")
        assert (facts.finish_reasons, facts.response_id) == (["stop"], "chatcmpl-1")
        assert facts.usage == {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
        assert facts.ttfb_ms >= 0
        assert thunk.thinking == "Hm"
        assert thunk.raw.response["choices"][0]["message"]["content"] == "hi"
        assert thunk.generate_log.backend == "openai::m"
        assert sent(server.requests[0])[1]["stream"] is True
        nothing_is_open()


@pytest.mark.anyio
async def test_a_server_that_does_not_stream_is_understood() -> None:
    message = {"role": "assistant", "content": "hi"}
    reply = {"id": "1", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    body = json.dumps(reply, indent=2).encode()
    async with raw_server(answers(whole(body, b"Content-Type: application/json"))) as server:
        assert await begin(OpenAIBackend("m", base_url=server.url)) == "hi"


@pytest.mark.anyio
async def test_an_image_may_be_a_url() -> None:
    async with raw_server(answers(stream(*WHOLE))) as server:
        async with open_session("openai", "m", base_url=server.url) as session:
            await session.achat("Look", images=[ImageUrlBlock("https://x/y.png")])
        content = sent(server.requests[0])[1]["messages"][0]["content"]
        assert content[1] == {"type": "image_url", "image_url": {"url": "https://x/y.png"}}


@pytest.mark.anyio
@pytest.mark.parametrize("said", ["Unknown parameter: '{}'.", "{} must not be set"])
@pytest.mark.parametrize("field", ["stream_options", "max_tokens", "chat_template_kwargs"])
async def test_a_field_that_a_server_refuses_is_left_out_from_then_on(
    field: str, said: str
) -> None:
    no = refusal(400, {"message": said.format(field), "param": field})
    async with raw_server(answers(no, stream(HI, STOP), stream(HI, STOP))) as server:
        backend = OpenAIBackend("m", base_url=server.url)
        options = {ModelOption.MAX_NEW_TOKENS: 5, ModelOption.THINKING: True}
        assert await begin(backend, **options) == "hi"
        thunk = begin(backend, **options)
        assert await thunk == "hi"
        assert [field in sent(request)[1] for request in server.requests] == [True, False, False]


@pytest.mark.anyio
@pytest.mark.parametrize("status", [400, 500])
async def test_a_field_is_left_out_from_then_on_only_if_that_was_of_use(status: int) -> None:
    no = refusal(400, {"message": "stream_options, it says"})
    otherwise = refusal(status, {"message": "bad weather"})
    async with raw_server(answers(no, otherwise, stream(HI, STOP))) as server:
        backend = OpenAIBackend("m", base_url=server.url)
        with pytest.raises(StatusError, match="bad weather"):
            await begin(backend)
        assert await begin(backend) == "hi"
        carried = ["stream_options" in sent(request)[1] for request in server.requests]
        assert carried == [True, False, True]


@pytest.mark.anyio
async def test_a_reply_that_breaks_off_has_shown_all_the_same_that_a_field_is_refused() -> None:
    no = refusal(400, {"message": "stream_options, it says"})
    cut = stream(HI)  # without its end
    async with raw_server(answers(no, cut, stream(HI, STOP))) as server:
        backend = OpenAIBackend("m", base_url=server.url)
        with pytest.raises(TruncatedReply):
            await begin(backend)
        assert await begin(backend) == "hi"
        assert "stream_options" not in sent(server.requests[-1])[1]


@pytest.mark.anyio
async def test_calls_at_once_find_out_each_for_itself_what_a_server_refuses() -> None:
    no = refusal(400, {"message": "stream_options, it says"})
    first_asked, both_asked, first_answered = anyio.Event(), anyio.Event(), anyio.Event()

    def refused_once(asked: anyio.Event, until: anyio.Event) -> Handler:
        async def serve(visit: Visit) -> None:
            await visit.request()
            asked.set()
            await until.wait()
            await visit.send(no)
            await visit.request()
            await visit.send(stream(HI, STOP))
            await visit.stay()

        return serve

    # The second is refused when the backend knows already, but was asked when it did not.
    first = refused_once(first_asked, both_asked)
    second = refused_once(both_asked, first_answered)
    async with raw_server(first, second) as server:
        backend = OpenAIBackend("m", base_url=server.url)
        one = begin(backend)
        with anyio.fail_after(10):
            await first_asked.wait()
            two = begin(backend)
            assert await one == "hi"
            first_answered.set()
            assert await two == "hi"
        carried = ["stream_options" in sent(request)[1] for request in server.requests]
        assert sorted(carried) == [False, False, True, True]


@pytest.mark.anyio
async def test_a_refusal_of_something_else_is_not_asked_again() -> None:
    no = refusal(400, {"message": "stream_options, it says again", "param": "stream_options"})
    async with raw_server(answers(no, no)) as server:
        with pytest.raises(StatusError, match="it says again") as caught:
            await begin(OpenAIBackend("m", base_url=server.url))
        assert caught.value.status == 400
        assert len(server.requests) == 2
        nothing_is_open()


@pytest.mark.anyio
@pytest.mark.parametrize(
    "said",
    [
        "max_tokens is too large: 5. This model supports at most 4 completion tokens.",
        "This model's maximum context length is 4 tokens, and max_tokens is 5.",
        "{'loc': ('body',), 'msg': 'top_k is wrong', 'input': {'messages': [], 'max_tokens': 5}}",
    ],
)
async def test_a_field_whose_value_is_refused_stays(said: str) -> None:
    no = refusal(400, {"message": said})
    async with raw_server(answers(no, stream(HI, STOP))) as server:
        backend = OpenAIBackend("m", base_url=server.url)
        with pytest.raises(StatusError, match="max_tokens"):
            await begin(backend, **{ModelOption.MAX_NEW_TOKENS: 5})
        assert await begin(backend, **{ModelOption.MAX_NEW_TOKENS: 4}) == "hi"
        assert sent(server.requests[1])[1]["max_tokens"] == 4


@pytest.mark.anyio
async def test_options_without_effect_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    async with raw_server(answers(stream(*WHOLE), stream(*WHOLE))) as server:
        backend = OpenAIBackend("m", base_url=server.url)
        for _ in range(2):
            await begin(backend, **{ModelOption.CONTEXT_WINDOW: 9, ModelOption.LOGITS: True})
    assert len(caplog.messages) == 2


ENDINGS: dict[str, tuple[bytes, type[Exception], str]] = {
    "no end": (stream(HI), TruncatedReply, "hi"),
    "cut in an event": (stream(HI, STOP[:-5]), TruncatedReply, "hi"),
    "dropped": (stream(HI, end=b""), ConnectionLost, "hi"),
    "an error": (stream(HI, b'data: {"error": {"message": "sorry"}}\n\n'), ReplyError, "hi"),
    "no JSON": (stream(HI, b"data: <html>\n\n"), ProtocolError, "hi"),
    "a page": (whole(b"<html>\n<p>Log in</p>", b"Content-Type: text/html"), ProtocolError, ""),
    "an error for a body": (whole(b'{"error": "sorry"}'), ReplyError, ""),
    "nothing": (stream(), TruncatedReply, ""),
    "a refusal": (stream(event({"refusal": "I will not."}, "stop"), DONE), ReplyRefused, ""),
    "half a call": (
        stream(
            HI,
            event({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{"}}]}),
            STOP,
            DONE,
        ),
        ProtocolError,
        "hi",
    ),
}


@pytest.mark.anyio
@pytest.mark.parametrize("name", ENDINGS)
async def test_a_reply_that_is_none_is_a_named_error_with_what_came(name: str) -> None:
    response, error, partial = ENDINGS[name]
    async with raw_server(answers(response, stay=False)) as server:
        with pytest.raises(error) as caught:
            await begin(OpenAIBackend("m", base_url=server.url))
        assert caught.value.partial == partial  # type: ignore[attr-defined]
        assert caught.value.backend == "openai"  # type: ignore[attr-defined]
        nothing_is_open()


@pytest.mark.anyio
@pytest.mark.parametrize("pieces", [(HI, STOP), (HI, DONE), (HI, STOP, USAGE)])
async def test_a_reason_to_finish_or_the_end_mark_is_enough(pieces: tuple[bytes, ...]) -> None:
    async with raw_server(answers(stream(*pieces))) as server:
        assert await begin(OpenAIBackend("m", base_url=server.url)) == "hi"


@pytest.mark.anyio
async def test_comments_are_no_sign_that_the_model_lives() -> None:
    async def handle(visit: Any) -> None:
        await visit.request()
        await visit.send(stream(HI, end=b""))
        while True:
            await visit.send(b"e\r\n: processing\n\n\r\n")
            await anyio.sleep(0.02)

    async with raw_server(handle) as server:
        with anyio.fail_after(10), pytest.raises(BackendTimeout) as caught:
            await begin(
                OpenAIBackend("m", base_url=server.url), **{ModelOption.STREAM_TIMEOUT: 0.5}
            )
        assert caught.value.partial == "hi"
        await server.wait_empty()


@pytest.mark.anyio
async def test_a_cancelled_reply_closes_its_connection() -> None:
    async def handle(visit: Any) -> None:
        await visit.request()
        await visit.send(stream(HI, end=b""))
        await visit.stay()

    async with raw_server(handle) as server:
        thunk = begin(OpenAIBackend("m", base_url=server.url))
        assert await thunk.astream() == "hi"
        await thunk.cancel_generation()
        assert thunk.value == "hi"
        await server.wait_empty()


@pytest.mark.anyio
async def test_a_server_that_is_not_there_is_named_with_what_to_do() -> None:
    async with raw_server(answers()) as server:
        pass
    with pytest.raises(BackendUnavailable, match="OPENAI_BASE_URL"):
        await begin(OpenAIBackend("m", base_url=server.url))


@pytest.mark.anyio
async def test_a_model_or_an_address_that_is_missing_is_told() -> None:
    no_model = refusal(404, {"message": "The model `m` does not exist", "code": "model_not_found"})
    nothing = refusal(404, "Not Found")
    async with raw_server(answers(no_model, nothing)) as server:
        backend = OpenAIBackend("m", base_url=server.url)
        with pytest.raises(ModelNotFound, match="does not have the model 'm'"):
            await begin(backend)
        with pytest.raises(StatusError, match="mostly ends in /v1"):
            await begin(backend)


@pytest.mark.anyio
async def test_the_key_is_in_no_error() -> None:
    no = refusal(401, {"message": "Incorrect API key provided"})
    async with raw_server(answers(no)) as server:
        with pytest.raises(StatusError) as caught:
            await begin(OpenAIBackend("m", base_url=server.url, api_key="sk-secret"))
        assert "secret" not in repr(caught.value) + str(vars(caught.value))


@pytest.mark.anyio
async def test_the_models_of_a_server_are_listed() -> None:
    listed = whole(b'{"object": "list", "data": [{"id": "a"}, {"id": "b"}]}')
    async with raw_server(answers(listed, whole(b"[]"), refusal(500, "sorry"))) as server:
        backend = OpenAIBackend("m", base_url=f"{server.url}/v1")
        assert await backend.models() == ["a", "b"]
        assert server.requests[0].startswith(b"GET /v1/models HTTP/1.1\r\n")
        with pytest.raises(ProtocolError, match="not a list of models"):
            await backend.models()
        with pytest.raises(StatusError, match="sorry"):
            await backend.models()
        nothing_is_open()


@pytest.mark.anyio
async def test_a_conversation_keeps_the_calls_and_their_results() -> None:
    from motet import ChatContext, acall_tools, tool

    @tool
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    asked = event(
        {"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "add", "arguments": ""}}]}
    )
    rest = event({"tool_calls": [{"index": 0, "function": {"arguments": '{"a": 1, "b": 2}'}}]})
    end = event({}, "tool_calls")
    async with raw_server(answers(stream(asked, rest, end, DONE), stream(*WHOLE))) as server:
        async with open_session("openai", "m", ctx=ChatContext(), base_url=server.url) as session:
            thunk = await session.ainstruct(
                "1 + 2?",
                model_options={ModelOption.TOOLS: [add]},
                tool_calls=True,
                await_result=True,
            )
            for message in await acall_tools(thunk, session.backend):
                session.ctx = session.ctx.add(message)
            await session.aact(Message("user", "And?"), await_result=True)
        first, second = (sent(request)[1] for request in server.requests)
        assert first["tools"][0]["function"]["name"] == "add"
        _, turn, result, _ = second["messages"]
        assert turn["tool_calls"][0]["id"] == result["tool_call_id"] == "c1"
        assert result["content"] == "3"


@pytest.mark.anyio
async def test_texts_are_continued_one_request_for_each() -> None:
    def text(piece: str, finish: str | None = None) -> bytes:
        choice = {"index": 0, "text": piece, "finish_reason": finish}
        return b"data: " + json.dumps({"id": "cmpl-1", "choices": [choice]}).encode() + b"\n\n"

    reply = stream(text("on"), text("ce", "stop"), USAGE, DONE)
    async with raw_server(answers(reply)) as server:
        backend = OpenAIBackend("m", base_url=f"{server.url}/v1")
        options = {ModelOption.MAX_NEW_TOKENS: 5}
        first, second = await backend.generate_from_raw(["a", "b"], model_options=options)
        assert (first.value, second.value) == ("once", "once")
        assert first.generation.usage is not None
        assert first.raw.response["choices"][0]["text"] == "once"
        heads, bodies = zip(*map(sent, server.requests), strict=True)
        assert {head[0] for head in heads} == {b"post /v1/completions http/1.1"}
        assert sorted(body["prompt"] for body in bodies) == ["a", "b"]
        assert bodies[0]["max_tokens"] == 5
