"""Calls start at once and are waited for later; the context has them from the beginning."""

import copy
import math
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

import motet.functional
from motet import (
    BestOfNSamplingStrategy,
    ChatContext,
    ComputedModelOutputThunk,
    Instruction,
    MajorityVotingStrategy,
    MelleaSession,
    Message,
    ModelOption,
    ModelOutputThunk,
    MultiTurnStrategy,
    RejectionSamplingStrategy,
    RepairTemplateStrategy,
    Requirement,
    SamplingStrategy,
    simple_validate,
    wait_for_all_mots,
)
from motet.testing import ModelServer, Reply, ScriptedBackend
from programs.scripted import broken
from session.forms import session
from virtual_time import on_virtual_time

pytestmark = pytest.mark.anyio

Thunk = ModelOutputThunk[Any]

GOOD = Requirement("be good", simple_validate(lambda text: text == "good"))

STRATEGIES: dict[str, SamplingStrategy | None] = {
    "none": None,
    "rejection": RejectionSamplingStrategy(loop_budget=2),
    "race": RejectionSamplingStrategy(concurrency_budget=3),
    "repair": RepairTemplateStrategy(loop_budget=2),
    "multi-turn": MultiTurnStrategy(loop_budget=2),
    "majority": MajorityVotingStrategy(number_of_samples=3),
    "best of n": BestOfNSamplingStrategy(number_of_samples=3),
}

CALLS: dict[str, Callable[..., Awaitable[Any]]] = {
    "instruct": lambda m, **options: m.ainstruct("go", **options),
    "act": lambda m, **options: m.aact(Message("user", "go"), **options),
    "query": lambda m, **options: m.aquery("a text", "go", **options),
}


def slow(*_: object) -> list[Any]:
    return [1.0, "go", 1.0, "od", 1.0]


# Laziness.


@on_virtual_time
@pytest.mark.parametrize("checked", [False, True])
@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_four_calls_fired_in_a_loop_cost_one_latency(strategy: str, checked: bool) -> None:
    backend = ScriptedBackend(slow)
    async with MelleaSession(backend) as m:
        start = anyio.current_time()
        thunks = [
            await m.ainstruct(
                f"go {number}",
                strategy=STRATEGIES[strategy],
                requirements=[GOOD] if checked else None,
            )
            for number in range(4)
        ]
        assert anyio.current_time() == start
        assert not any(thunk.is_computed() for thunk in thunks)
        assert [thunk.value for thunk in thunks] == [None] * 4
        assert [await thunk for thunk in thunks] == ["good"] * 4
        assert anyio.current_time() == start + 3
        assert backend.most_open_replies == 4 * {"race": 3, "majority": 3, "best of n": 3}.get(
            strategy, 1
        )


@on_virtual_time
@pytest.mark.parametrize("call", CALLS)
async def test_a_call_returns_at_once_and_waits_when_it_is_told_to(call: str) -> None:
    async with MelleaSession(ScriptedBackend(slow)) as m:
        start = anyio.current_time()
        thunk = await CALLS[call](m)
        assert (type(thunk), thunk.is_computed()) == (ModelOutputThunk, False)
        assert anyio.current_time() == start
        with pytest.raises(ValueError, match="await"):
            _ = ComputedModelOutputThunk(thunk)
        computed = await CALLS[call](m, await_result=True)
        assert (type(computed), computed.value) == (ComputedModelOutputThunk, "good")
        assert anyio.current_time() == start + 3
        assert await thunk == "good"
        assert anyio.current_time() == start + 3


@on_virtual_time
async def test_a_call_with_requirements_that_fail_at_first_is_pending_all_the_while() -> None:
    backend = ScriptedBackend([[1.0, "bad"], [1.0, "good"]])
    async with MelleaSession(backend) as m:
        thunk = await m.ainstruct("go", requirements=[GOOD])
        await anyio.sleep(1.5)
        assert (thunk.partial, thunk.is_settled()) == ("", False)
        assert await thunk == "good"
        assert anyio.current_time() == 2


@on_virtual_time
async def test_text_that_nothing_is_asked_of_streams_and_the_rest_comes_in_one_piece() -> None:
    async with MelleaSession(ScriptedBackend(slow)) as m:
        free = await m.ainstruct("go", model_options={ModelOption.STREAM: True})
        assert [delta async for delta in free] == ["go", "od"]
        held = await m.ainstruct("go", requirements=[GOOD])
        assert [delta async for delta in held] == ["good"]


async def test_calls_fired_in_a_loop_are_at_the_server_together(server: ModelServer) -> None:
    server.script([Reply(["a", "b", "c"], tokens_per_second=50)], repeat=True)
    async with session(server) as m:
        thunks = [await m.ainstruct(f"{number}") for number in range(4)]
        await wait_for_all_mots(thunks)
    await server.wait_idle()  # it notes the end of a reply a moment after we do
    ends = [request.ended_at or math.nan for request in server.replies]
    assert max(request.arrived_at for request in server.replies) < min(ends)
    assert len(ends) == 4


@on_virtual_time
async def test_messages_changes_and_checks_are_waited_for() -> None:
    async with MelleaSession(ScriptedBackend(slow)) as m:
        assert str(await m.achat("go")) == "good"
        assert anyio.current_time() == 3
        assert (await m.atransform("x", "go")).value == "good"
        assert anyio.current_time() == 6
        assert [bool(each) for each in await m.avalidate("go", output="x")] == [False]
        assert anyio.current_time() == 9


@on_virtual_time
async def test_the_judges_of_one_output_are_asked_together() -> None:
    async with MelleaSession(ScriptedBackend(lambda _: [2.0, "yes"])) as m:
        assert all(await m.avalidate(["a", "b", "c"], output="x"))
        assert anyio.current_time() == 2


# Contexts.


@pytest.mark.parametrize("context", [None, ChatContext()], ids=["simple", "chat"])
@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_the_context_has_the_turn_while_it_is_pending(strategy: str, context: Any) -> None:
    async with MelleaSession(ScriptedBackend("good"), context) as m:
        before = m.ctx
        action = Instruction("go")
        thunk = await m.aact(action, strategy=STRATEGIES[strategy], requirements=[GOOD])
        assert m.ctx.node_data is thunk
        after = m.ctx
        assert m.ctx.previous_node is not None
        assert m.ctx.previous_node.node_data is action
        assert m.ctx.previous_node.previous_node is before
        assert before.as_list() == []
        assert await thunk == "good"
        assert m.ctx is after
        assert m.ctx.last_output() is thunk
        turn = m.ctx.last_turn()
        assert turn is not None
        assert (turn.model_input, turn.output) == (action, thunk)


async def test_the_sampling_result_speaks_of_the_same_thunk_as_the_context() -> None:
    async with MelleaSession(ScriptedBackend(["bad", "good"])) as m:
        result = await m.ainstruct("go", requirements=[GOOD], return_sampling_results=True)
        assert result.result is m.ctx.node_data
        assert result.result_ctx.node_data is result.result
        assert result.result.generate_log is not None
        assert result.result.generate_log.is_final_result
        assert [each.value for each in result.sample_generations] == ["bad", "good"]


async def test_a_call_that_cannot_be_made_leaves_the_context_as_it_was() -> None:
    async with MelleaSession(ScriptedBackend("x")) as m:
        before = m.ctx
        for options in (
            {"model_options": {ModelOption.SEED: "x"}},
            {"strategy": 3},
            {"images": 3},
        ):
            with pytest.raises((TypeError, ValueError, AssertionError)):
                await CALLS["instruct"](m, **options)
        assert m.ctx is before


async def test_a_call_that_fails_is_no_turn() -> None:
    async with MelleaSession(ScriptedBackend([["a", broken()], "b"])) as m:
        thunk = await m.ainstruct("go")
        with pytest.raises(motet.BackendError):
            await thunk
        assert m.ctx.as_list() == []
        assert m.ctx.last_output() is None
        assert m.last_prompt() is None


# Functions.


async def test_a_function_returns_the_answer_and_the_context_with_the_turn() -> None:
    backend, ctx = ScriptedBackend("good"), ChatContext()
    action = Message("user", "go")
    pending, after = await motet.functional.aact(action, ctx, backend)
    assert type(pending) is ModelOutputThunk
    assert not pending.is_computed()
    assert isinstance(after, ChatContext)
    assert after.as_list() == [action, pending]
    assert ctx.as_list() == []
    done, later = await motet.functional.ainstruct("on", after, backend, await_result=True)
    assert type(done) is ComputedModelOutputThunk
    assert later.as_list()[:2] == [action, pending]
    assert len(later.as_list()) == 4
    assert [message.content for message in backend.requests[-1].messages] == ["go", "good", "on"]


async def test_two_functions_with_one_context_are_two_conversations() -> None:
    backend, ctx = ScriptedBackend("good"), ChatContext().add(Message("user", "hello"))
    first, one = await motet.functional.ainstruct("a", ctx, backend)
    second, two = await motet.functional.ainstruct("b", ctx, backend)
    await wait_for_all_mots([first, second])
    assert one.as_list()[-1] is first
    assert two.as_list()[-1] is second
    assert [len(request.messages) for request in backend.requests] == [2, 2]


async def test_a_function_inside_a_call_belongs_to_the_session_of_that_call() -> None:
    backend = ScriptedBackend(lambda asked: [math.inf] if "judge" in asked.prompt else "good")
    judging = anyio.Event()

    async def ask_again(ctx: Any) -> bool:
        thunk, _ = await motet.functional.ainstruct("judge", ctx, backend)
        judging.set()
        return bool(await thunk)

    async with MelleaSession(backend) as m:
        thunk = await m.ainstruct("go", requirements=[Requirement("x", ask_again)])
        await judging.wait()
        await anyio.wait_all_tasks_blocked()
        assert backend.open_replies == 1
    assert backend.open_replies == 0
    with pytest.raises(motet.GenerationCancelled):
        await thunk


# Copies.


async def test_a_copy_goes_its_own_way_from_the_same_context() -> None:
    async with MelleaSession(ScriptedBackend("good"), ChatContext()) as m:
        await m.achat("one")
        for twin in (m.clone(), copy.copy(m)):
            assert twin.id != m.id
            assert twin.backend is m.backend
            assert twin.ctx is m.ctx
            await twin.achat("two")
            assert len(twin.ctx.as_list()) == 4
            assert len(m.ctx.as_list()) == 2


@on_virtual_time
async def test_a_copy_may_be_made_while_an_answer_is_pending() -> None:
    backend = ScriptedBackend([[1.0, "one"], "two"])
    async with MelleaSession(backend, ChatContext()) as m:
        thunk = await m.ainstruct("a")
        twin = m.clone()
        assert await (await twin.ainstruct("b")) == "two"
        assert [each.content for each in backend.requests[-1].messages] == ["a", "one", "b"]
        assert await thunk == "one"


async def test_a_reset_forgets_what_was_said_and_keeps_the_settings() -> None:
    async with MelleaSession(ScriptedBackend("good"), ChatContext(window_size=2)) as m:
        for number in range(3):
            await m.achat(str(number))
        assert len(m.ctx.as_list()) == 2
        m.reset()
        assert m.ctx.as_list() == []
        assert isinstance(m.ctx, ChatContext)
        assert m.ctx.model_id == "scripted"
        for number in range(3):
            await m.achat(str(number))
        assert len(m.ctx.as_list()) == 2


async def test_the_last_prompt_is_what_was_sent(server: ModelServer) -> None:
    async with session(server, ChatContext()) as m:
        assert m.last_prompt() is None
        thunk = await m.ainstruct("one")
        assert m.last_prompt() is None
        await thunk
        assert m.last_prompt() == [{"role": "user", "content": "one", "images": None}]
        await m.achat("two", role="system")
        prompt = m.last_prompt()
        assert isinstance(prompt, list)
        assert [message["content"] for message in prompt] == ["one", thunk.value, "two"]
        assert [set(message) for message in prompt] == [{"role", "content", "images"}] * 3
        m.reset()
        assert m.last_prompt() is None
