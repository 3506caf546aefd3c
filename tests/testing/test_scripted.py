"""The scripted backend: replies as data, the record of what was asked, mistakes in scripts."""

import re
from collections.abc import Iterator
from typing import Any

import anyio
import pydantic
import pytest

import motet
from motet import (
    BackendTimeout,
    GenerationCancelled,
    ModelOption,
    Phase,
    ReplyError,
    StatusError,
    ToolCallRequest,
    TruncatedReply,
)
from motet.streaming import stream_with_chunking
from motet.testing import (
    NEVER,
    TRUNCATED,
    Finish,
    Pause,
    ReplyOutcome,
    ScriptedBackend,
    ScriptedRequest,
    ScriptedStep,
    ScriptError,
    Thinking,
)
from virtual_time import on_virtual_time

pytestmark = [pytest.mark.anyio, on_virtual_time]


class Answer(pydantic.BaseModel):
    number: int


async def ask(backend: ScriptedBackend, prompt: str = "go", **options: Any) -> str:
    """Return the whole reply to one request."""
    async with motet.open_session(backend) as m:
        return await (await m.ainstruct(prompt, **options))


# Which reply.


async def test_a_text_is_the_reply_to_every_request() -> None:
    backend = ScriptedBackend("Hello.")
    assert [await ask(backend), await ask(backend)] == ["Hello.", "Hello."]


async def test_a_list_has_a_reply_for_each_request_in_turn() -> None:
    with ScriptedBackend(["one", ["t", "wo"], Pause(3)]) as backend:
        assert [await ask(backend) for _ in range(3)] == ["one", "two", ""]
    assert anyio.current_time() == 3


async def test_a_function_is_asked_for_every_reply() -> None:
    backend = ScriptedBackend(lambda asked: f"{asked.number}: {asked.prompt}")
    assert [await ask(backend, "a"), await ask(backend, "b")] == ["0: a", "1: b"]


async def test_a_reply_may_be_chosen_by_the_prompt() -> None:
    backend = (
        ScriptedBackend("anything else")
        .script(["sunny"], when="weather")
        .script("what time?", when=re.compile(r"\d\d:\d\d"))
        .script("long", when=lambda asked: len(asked.prompt) > 20)
    )
    prompts = ["the weather", "the weather", "at 10:30", "x" * 21, "the weather at 10:30"]
    assert [await ask(backend, prompt) for prompt in prompts] == [
        "sunny",
        "anything else",
        "what time?",
        "long",
        "what time?",
    ]


async def test_steps_may_be_made_one_by_one() -> None:
    def ticks(_: ScriptedRequest) -> Iterator[ScriptedStep]:
        for n in range(3):
            yield Pause(1)
            yield f"{n} at {anyio.current_time():g}; "

    assert await ask(ScriptedBackend(ticks)) == "0 at 1; 1 at 2; 2 at 3; "


# What a reply does.


async def test_deltas_and_silences_come_in_order_and_at_their_times() -> None:
    backend = ScriptedBackend([["a", 1, "b", Pause(0.5), "c"]])
    async with motet.open_session(backend) as m:
        thunk = await m.ainstruct("go")
        heard = [(anyio.current_time(), delta) async for delta in thunk]
    assert heard == [(0, "a"), (1, "b"), (1.5, "c")]


async def test_thoughts_and_facts_go_with_the_reply() -> None:
    said = Finish(
        usage={"total_tokens": 7},
        finish_reason="length",
        model="another",
        response_id="id 1",
        response={"raw": True},
    )
    backend = ScriptedBackend([[Thinking("hm"), 2, "yes", said]])
    async with motet.open_session(backend) as m:
        thunk = await m.ainstruct("go")
        assert await thunk == "yes"
    facts = thunk.generation
    assert thunk.thinking == "hm"
    assert facts.usage == {"total_tokens": 7}
    assert (facts.finish_reasons, facts.response_model, facts.response_id) == (
        ["length"],
        "another",
        "id 1",
    )
    assert facts.ttfb_ms == 0
    assert thunk.raw.response == {"raw": True}


async def test_without_facts_words_and_deltas_are_counted() -> None:
    async with motet.open_session(ScriptedBackend([["a", "b"]])) as m:
        thunk = await m.achat("three short words")
        assert thunk.content == "ab"
    backend = ScriptedBackend([["a", "b"], [1, "c", ReplyError("broken")]])
    async with motet.open_session(backend) as m:
        first, second = await m.ainstruct("go"), await m.ainstruct("go")
        await motet.gather_all([first, second])
    assert first.generation.usage == {
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "total_tokens": 3,
    }
    assert first.generation.finish_reasons == ["stop"]
    assert second.generation.usage is None, "it was cut short"


async def test_a_tool_may_be_called() -> None:
    @motet.tool
    async def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    backend = ScriptedBackend([[ToolCallRequest("add", {"a": 1, "b": 2})]])
    async with motet.open_session(backend) as m:
        thunk = await m.ainstruct("go", model_options={ModelOption.TOOLS: [add]}, tool_calls=True)
        await thunk
        results = await motet.acall_tools(thunk, backend)
    assert [result.content for result in results] == ["3"]
    assert thunk.generation.finish_reasons == ["tool_calls"]
    assert list(backend.requests[0].tools) == ["add"]


async def test_text_before_an_error_is_delivered() -> None:
    error = StatusError("too busy", status=503, retry_after=3)
    backend = ScriptedBackend([["par", 1, "tial", error]])
    with pytest.raises(StatusError) as caught:
        await ask(backend)
    assert caught.value is error
    assert (error.partial, error.backend, error.phase) == ("partial", "scripted", Phase.STREAMING)
    [asked] = backend.requests
    assert (asked.outcome, asked.error, asked.sent) == (
        ReplyOutcome.FAILED,
        error,
        ["par", "tial"],
    )


async def test_an_error_may_come_instead_of_a_reply() -> None:
    with pytest.raises(ReplyError) as caught:
        await ask(ScriptedBackend([ReplyError("broken")]))
    assert caught.value.phase is Phase.FIRST_TOKEN


async def test_a_reply_may_be_cut_short() -> None:
    with pytest.raises(TruncatedReply) as caught:
        await ask(ScriptedBackend([["par", TRUNCATED]]))
    assert caught.value.partial == "par"


async def test_one_who_never_answers_is_waited_for_as_long_as_a_real_server() -> None:
    backend = ScriptedBackend([["par", NEVER], NEVER], model_options={"temperature": 0})
    with pytest.raises(BackendTimeout) as caught:
        await ask(backend)
    assert (anyio.current_time(), caught.value.timeout) == (120, 120)
    assert (caught.value.phase, caught.value.partial) == (Phase.STREAMING, "par")
    with pytest.raises(BackendTimeout) as caught:
        await ask(backend, model_options={ModelOption.STREAM_TIMEOUT: 5})
    assert (anyio.current_time(), caught.value.phase) == (125, Phase.FIRST_TOKEN)


async def test_silences_add_up_until_the_server_says_something() -> None:
    limit = {ModelOption.STREAM_TIMEOUT: 5}
    backend = ScriptedBackend([[5, "a", 3, 2, Thinking("hm"), 5, "b"], ["a", 3, 3, "b"]])
    assert await ask(backend, model_options=limit) == "ab"
    began = anyio.current_time()
    with pytest.raises(BackendTimeout):
        await ask(backend, model_options=limit)
    assert anyio.current_time() == began + 5


async def test_without_a_limit_a_silence_may_last() -> None:
    backend = ScriptedBackend([[3600.0, "late"]])
    assert await ask(backend, model_options={ModelOption.STREAM_TIMEOUT: None}) == "late"


async def test_a_reply_may_wait_for_the_test() -> None:
    gate = anyio.Event()
    backend = ScriptedBackend([["a", gate, "b"]])
    async with motet.open_session(backend) as m:
        thunk = await m.ainstruct("go")
        assert await anext(aiter(thunk)) == "a"
        assert backend.open_replies == 1
        gate.set()
        assert await thunk == "ab"
        backend.assert_idle()


async def test_the_test_may_wait_for_a_request() -> None:
    backend = ScriptedBackend([NEVER])
    async with motet.open_session(backend) as m:
        await m.ainstruct("go")
        await backend.wait_until(lambda: backend.open_replies == 1)
        assert anyio.current_time() == 0


async def test_the_test_may_let_it_wait_for_too_long() -> None:
    with pytest.raises(BackendTimeout):
        await ask(ScriptedBackend([anyio.Event()]))
    assert anyio.current_time() == 120


# What is recorded.


async def test_everything_that_was_asked_is_recorded() -> None:
    backend = ScriptedBackend('{"number": 1}', model_options={ModelOption.TEMPERATURE: 0.5})
    await ask(
        backend,
        "count",
        format=Answer,
        model_options={ModelOption.SEED: 3, ModelOption.STREAM_TIMEOUT: 9},
    )
    [asked] = backend.requests
    assert backend.prompts == [asked.prompt] == ["count"]
    assert [message.role for message in asked.messages] == ["user"]
    assert (asked.options[ModelOption.TEMPERATURE], asked.options[ModelOption.SEED]) == (0.5, 3)
    assert asked.schema == Answer.model_json_schema()
    assert (asked.tools, asked.silence_timeout) == ({}, 9)
    assert (asked.number, asked.outcome, asked.text_sent) == (
        0,
        ReplyOutcome.COMPLETED,
        '{"number": 1}',
    )


async def test_the_times_of_a_reply_are_recorded() -> None:
    backend = ScriptedBackend([[1, "a", 1, "b", 1]])
    await anyio.sleep(10)
    await ask(backend)
    [asked] = backend.requests
    assert (asked.asked_at, asked.first_delta_at, asked.ended_at) == (10, 11, 13)
    assert asked.describe() == "request 0 'go': 2 deltas sent, completed after 3 s"


async def test_a_reply_that_nobody_wants_any_more_is_cancelled() -> None:
    backend = ScriptedBackend([["a", NEVER]])
    async with motet.open_session(backend, linger=0.25) as m:
        thunk = await m.ainstruct("go")
        with anyio.move_on_after(2):
            await thunk
        await backend.wait_idle()
        with pytest.raises(GenerationCancelled):
            await thunk
    [asked] = backend.requests
    assert (asked.outcome, asked.ended_at, asked.sent) == (ReplyOutcome.CANCELLED, 2.25, ["a"])
    assert asked.error is None


async def test_the_most_replies_at_the_same_time_are_counted() -> None:
    backend = ScriptedBackend(lambda asked: [asked.number + 1, "x"])
    async with motet.open_session(backend) as m:
        thunks = [await m.ainstruct("go") for _ in range(4)]
        await backend.wait_until(lambda: backend.open_replies == 3)
        await motet.wait_for_all_mots(thunks)
        await ask(backend)
    assert (backend.most_open_replies, backend.open_replies) == (4, 0)


# What is wrong.


async def test_a_request_that_was_forgotten_is_found() -> None:
    """The planted bug: a fan-out that returns with the first reply and leaves the others."""

    async def quickest(m: motet.MelleaSession) -> str:
        thunks = [await m.ainstruct(f"go {n}") for n in range(3)]
        async with motet.as_completed(thunks[:1]) as arriving:
            async for thunk in arriving:
                return await thunk
        raise AssertionError

    backend = ScriptedBackend(lambda asked: [asked.number + 1, "x"])
    async with motet.open_session(backend) as m:
        await quickest(m)
        with pytest.raises(AssertionError, match="open") as caught:
            backend.assert_idle()
    assert str(caught.value) == (
        "these replies are open:\n"
        "  request 1 'go 1': 0 deltas sent, open\n"
        "  request 2 'go 2': 0 deltas sent, open"
    )


async def test_a_request_without_a_reply_is_an_error_that_shows_the_scripts() -> None:
    backend = ScriptedBackend(["first"]).script("sunny", when="weather")
    await ask(backend)
    with pytest.raises(ScriptError) as caught:
        await ask(backend, "and   then?")
    assert str(caught.value) == (
        "no script has a reply for request 1 'and then?':\n"
        "  for prompts with 'weather': 0 replies used, without end\n"
        "  for any request: 1 replies used, 0 left"
    )
    with pytest.raises(ScriptError, match="found no reply"):
        backend.assert_used()


async def test_replies_that_nobody_asked_for_are_found() -> None:
    backend = ScriptedBackend(["first", ["never", Pause(1)]])
    with pytest.raises(ScriptError) as caught, backend:
        backend.script(["x"], when=re.compile("y+"))
        await ask(backend)
    assert str(caught.value) == (
        "these replies were never asked for:\n"
        "  for prompts that match 'y+': 'x'\n"
        "  for any request: ['never', Pause(seconds=1)]"
    )


async def test_a_block_that_fails_keeps_its_error() -> None:
    with pytest.raises(LookupError), ScriptedBackend(["never"]):
        raise LookupError


async def test_a_backend_without_scripts_says_so() -> None:
    with pytest.raises(ScriptError, match="there are no scripts"):
        await ask(ScriptedBackend())


@pytest.mark.parametrize(
    ("replies", "error"),
    [
        (3, TypeError),
        ([None], TypeError),
        ([["a", None]], TypeError),
        ([True], TypeError),
        ([[-1]], ValueError),
        ([float("nan")], ValueError),
        ([KeyboardInterrupt()], TypeError),
    ],
)
async def test_what_cannot_be_a_reply_is_refused_at_once(
    replies: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        ScriptedBackend(replies)


async def test_what_is_made_later_is_looked_at_later() -> None:
    odd: Any = object()
    for made in (lambda _: odd, lambda _: iter(["a", odd]), [iter([odd])]):
        with pytest.raises(TypeError, match="not a step"):
            await ask(ScriptedBackend(made))
    with pytest.raises(TypeError, match="last step"):
        await ask(ScriptedBackend([["a", Finish(), "b"]]))
    with pytest.raises(TypeError, match="when"):
        ScriptedBackend().script("x", when=odd)
    for wrong in (lambda: Pause(-1), lambda: Pause(float("nan")), lambda: Thinking(odd)):
        with pytest.raises((ValueError, TypeError)):
            wrong()


# What is built from replies.


async def test_a_strategy_tries_until_a_requirement_is_met() -> None:
    with ScriptedBackend([[1, "bad"], [1, "good"]]) as backend:
        text = await ask(
            backend,
            requirements=[motet.req("be good", motet.simple_validate(lambda text: text == "good"))],
            strategy=motet.RejectionSamplingStrategy(loop_budget=3),
        )
    assert (text, anyio.current_time()) == ("good", 2)


async def test_a_stream_is_stopped_at_its_first_bad_chunk() -> None:
    class NotBad(motet.Requirement):
        async def stream_validate(
            self, chunk: str, *, backend: Any, ctx: Any
        ) -> motet.PartialValidationResult:
            return motet.PartialValidationResult("fail" if "bad" in chunk else "unknown")

    backend = ScriptedBackend([["Good. ", 1, "Very bad. ", NEVER]])
    async with await stream_with_chunking(
        motet.Instruction("go"),
        backend,
        motet.SimpleContext(),
        requirements=[NotBad("not bad")],
    ) as result:
        await result.acomplete()
    assert not result.completed
    [asked] = backend.requests
    assert (asked.outcome, asked.ended_at) == (ReplyOutcome.CANCELLED, 1)


async def test_a_text_may_be_continued_as_it_is() -> None:
    backend = ScriptedBackend(["upon a time"]).script("seven", when="ten")
    thunks = await backend.generate_from_raw(["Once", "nine, ten"])
    assert [thunk.value for thunk in thunks] == ["upon a time", "seven"]
    assert sorted(backend.prompts) == ["Once", "nine, ten"]
    assert thunks[1].generation.usage == {
        "prompt_tokens": 2,
        "completion_tokens": 1,
        "total_tokens": 3,
    }


async def test_a_generative_function_gets_its_value() -> None:
    @motet.generative
    async def count(text: str) -> int:
        """Count the words."""

    backend = ScriptedBackend([[1, '{"result": 3}']])
    async with motet.open_session(backend) as m:
        assert await count(m, text="one two three") == 3
    schema = backend.requests[0].schema
    assert schema is not None
    assert "result" in schema["properties"]
