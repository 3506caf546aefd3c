"""What a call leaves behind: figures, thoughts, tool calls, the provider's record, the log."""

import datetime
import math
from typing import Any

import anyio
import pytest

import motet.functional
from motet import (
    BackendError,
    GenerateLog,
    GenerationCancelled,
    Instruction,
    MajorityVotingStrategy,
    ModelOption,
    ModelOutputThunk,
    RejectionSamplingStrategy,
    Requirement,
    SimpleContext,
    simple_validate,
    tool,
)
from motet.testing import ErrorLine, ModelServer, Reply, Stall
from session.forms import FORMS, Caller, session

pytestmark = pytest.mark.anyio

CALL = {"function": {"name": "add", "arguments": {"a": 1, "b": 2}}}


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def figures_are_whole(thunk: ModelOutputThunk[Any]) -> None:
    facts = thunk.generation
    assert (facts.model, facts.provider) == ("plain", "ollama")
    assert facts.response_model == "plain-simulated"
    assert facts.finish_reasons == ["stop"]
    assert facts.usage is not None
    assert facts.usage["total_tokens"] == (
        facts.usage["prompt_tokens"] + facts.usage["completion_tokens"]
    )
    assert facts.usage["completion_tokens"] > 0
    assert facts.ttfb_ms is not None
    assert 0 <= facts.ttfb_ms < math.inf
    assert facts.logits is facts.raw_logits is None


@pytest.mark.parametrize("form", FORMS)
async def test_a_complete_reply_leaves_everything(form: str, server: ModelServer) -> None:
    server.script([Reply(["a", "b"], thinking=["h", "m"], tool_calls=[CALL])])
    options = {ModelOption.TOOLS: [add], ModelOption.SEED: 7, ModelOption.THINKING: True}
    thunk = await Caller(form, session(server)).instruct(
        "go", model_options=options, tool_calls=True
    )
    figures_are_whole(thunk)
    assert not thunk.generation.streaming
    assert thunk.thinking == "hm"
    assert thunk.tool_calls["add"].args == {"a": 1, "b": 2}
    assert thunk.tool_calls["add"].func is add
    assert thunk.raw.provider == "ollama"
    assert thunk.raw.response["message"]["content"] == thunk.value == "ab"
    assert thunk.raw.response["message"]["thinking"] == "hm"
    assert not thunk.cancelled
    assert thunk.error is None
    log = thunk.generate_log
    assert isinstance(log, GenerateLog)
    assert log.prompt == [{"role": "user", "content": "go", "images": None}]
    assert log.backend == "ollama::plain"
    assert log.model_options is not None
    assert log.model_options[ModelOption.SEED] == 7
    assert log.model_output == thunk.raw.response
    assert isinstance(log.action, Instruction)
    assert log.result is thunk
    assert log.is_final_result
    assert log.date is not None
    assert log.date.tzinfo is not None
    assert abs(log.date - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(days=1)


async def test_the_log_says_what_the_options_do_not(server: ModelServer) -> None:
    server.script([Reply("a", tool_calls=[CALL])])
    options = {ModelOption.TOOLS: [add], ModelOption.SEED: 7, ModelOption.THINKING: True}
    async with session(server) as m:
        thunk = await m.ainstruct("go", model_options=options, tool_calls=True, await_result=True)
    assert thunk.generate_log is not None
    extra = thunk.generate_log.extra
    assert extra is not None
    assert extra["format"] is None
    assert extra["thinking"] is True
    assert extra["seed"] == 7
    assert set(extra["tools_available"]) == {"add"}
    assert set(extra["tools_called"]) == {"add"}


async def test_a_streamed_reply_leaves_the_same(server: ModelServer) -> None:
    server.script([Reply(["a", "b"])])
    async with session(server) as m:
        thunk = await m.ainstruct("go", model_options={ModelOption.STREAM: True})
        assert thunk.generation.streaming
        assert (thunk.generation.model, thunk.generation.provider) == ("plain", "ollama")
        assert thunk.generate_log is None
        assert "".join([delta async for delta in thunk]) == "ab"
        figures_are_whole(thunk)
        assert thunk.generate_log is not None
        assert thunk.thinking == ""


@pytest.mark.parametrize("way", ["cancelled", "given up", "closed", "failed"])
async def test_a_reply_that_was_cut_short_leaves_what_was_known(
    way: str, server: ModelServer
) -> None:
    fault = ErrorLine(3) if way == "failed" else Stall(3)
    server.script([Reply(["a", "b", "c"], thinking=["hm"], fault=fault)])
    m = session(server)
    m._linger = 0
    thunk = await m.ainstruct("go")
    with anyio.fail_after(60):
        await server.wait_until(lambda: bool(server.replies and server.replies[0].tokens_sent == 3))
        while thunk.partial != "ab":
            await anyio.lowlevel.checkpoint()
    match way:
        case "cancelled":
            await thunk.cancel_generation()
            assert (thunk.value, thunk.cancelled, thunk.is_computed()) == ("ab", True, True)
        case "given up":
            with anyio.move_on_after(0):
                await thunk
            await server.wait_idle()
            with pytest.raises(GenerationCancelled):
                await thunk
        case "closed":
            await m.aclose()
            with pytest.raises(GenerationCancelled):
                await thunk
        case _:
            with pytest.raises(BackendError):
                await thunk
    assert thunk.partial == "ab"
    facts = thunk.generation
    assert (facts.model, facts.provider) == ("plain", "ollama")
    assert facts.response_model == "plain-simulated"
    assert facts.ttfb_ms is not None
    assert facts.usage is None
    assert facts.finish_reasons is None
    assert thunk.thinking == "hm"
    assert thunk.raw.provider == "ollama"
    assert thunk.raw.response["message"]["content"] == "ab"
    assert thunk.parsed_repr is None
    assert thunk.generate_log is None
    await m.aclose()


async def test_a_reply_that_was_cancelled_before_it_began_says_what_was_asked_for(
    server: ModelServer,
) -> None:
    async with session(server) as m:
        thunk = await m.ainstruct("go")
        await thunk.cancel_generation()
        assert thunk.value == ""
        assert thunk.generation.model == "plain"
        assert thunk.generation.usage is None
        assert thunk.raw.response is None
        assert thunk.thinking == ""
        assert thunk.tool_calls is None
    assert server.replies == ()


async def test_a_sampled_reply_has_the_facts_of_the_chosen_attempt(server: ModelServer) -> None:
    server.script([Reply("bad bad bad"), Reply("good", thinking="so")])
    good = Requirement("be good", simple_validate(lambda text: text == "good"))
    async with session(server) as m:
        thunk = await m.ainstruct("go", requirements=[good])
        assert thunk.generation.model == "plain"
        await thunk
        figures_are_whole(thunk)
        assert thunk.thinking == "so"
        assert thunk.raw.response["message"]["content"] == "good"
        assert thunk.sampling_result is not None
        first, chosen = thunk.sampling_result.sample_generations
        assert chosen is thunk
        figures_are_whole(first)
        assert first.generate_log is not None
        assert thunk.generate_log is not None
        assert (first.generate_log.is_final_result, thunk.generate_log.is_final_result) == (
            False,
            True,
        )
        assert thunk.generate_log.result is thunk
        assert m.last_prompt() == thunk.generate_log.prompt


@pytest.mark.parametrize(
    "strategy",
    [RejectionSamplingStrategy(concurrency_budget=3), MajorityVotingStrategy(number_of_samples=2)],
    ids=["race", "vote"],
)
async def test_a_sampling_that_was_cancelled_says_what_was_asked_for(
    strategy: Any, server: ModelServer
) -> None:
    server.script([Stall(1)], repeat=True)
    async with session(server) as m:
        thunk = await m.ainstruct("go", strategy=strategy)
        with anyio.fail_after(60):
            await server.wait_until(lambda: server.serving >= 2)
        await thunk.cancel_generation()
        assert (thunk.value, thunk.cancelled) == ("", True)
        assert thunk.generation.model == "plain"
        assert thunk.sampling_result is None
        with anyio.fail_after(60):
            await server.wait_idle()


async def test_a_judge_leaves_its_answer_and_its_log(server: ModelServer) -> None:
    server.script([Reply("yes, it is")])
    logs: list[GenerateLog | None] = []
    async with session(server) as m:
        (result,) = await m.avalidate("be good", output="x", generate_logs=logs)
    assert result.thunk is not None
    figures_are_whole(result.thunk)
    assert result.reason == result.thunk.value == "yes, it is"
    assert logs == [result.thunk.generate_log]
    assert result.context is not None
    assert result.context.last_output() is result.thunk


async def test_a_function_leaves_the_same(server: ModelServer) -> None:
    thunk, _ = await motet.functional.ainstruct("go", SimpleContext(), session(server).backend)
    await thunk
    figures_are_whole(thunk)
