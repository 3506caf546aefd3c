"""Conversations as sessions hold them: chained turns, lost turns, interest."""

import gc
import math
import weakref
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from language.scripted import EchoBackend, answer
from motet import (
    CBlock,
    ChatMessage,
    Context,
    DependencyError,
    GenerationCancelled,
    Instruction,
    MelleaSession,
    Message,
    ReplyError,
    wait_for_all_mots,
)
from motet._language.chat_context import ChatContext
from motet._language.compaction import ThresholdCompactor, WindowCompactor
from motet._language.context import SimpleContext

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def chatting(
    ctx: Context | None = None, **options: Any
) -> AsyncGenerator[tuple[MelleaSession, EchoBackend]]:
    backend = EchoBackend()
    async with MelleaSession(backend, ctx or ChatContext(), **options) as session:
        yield session, backend


async def test_sequential_turns_chain() -> None:
    async with chatting() as (m, backend):
        await m.achat("one")
        await m.achat("two")
        assert backend.asked == [["one"], ["one", "re: one", "two"]]
        assert [str(each) for each in m.ctx.as_list()] == ["one", "re: one", "two", "re: two"]


async def test_the_context_holds_the_very_thunk_and_action() -> None:
    async with chatting() as (m, _):
        thunk = await m.ainstruct("one")
        assert m.ctx.node_data is thunk
        assert m.ctx.previous_node is not None
        assert m.ctx.previous_node.node_data is thunk.action
        await thunk


async def test_concurrent_calls_chain_in_call_order() -> None:
    async with chatting() as (m, backend):
        first = await m.ainstruct("wait 1")
        assert m.ctx.previous_turn_is_pending()
        second, third = await m.ainstruct("two"), await m.ainstruct("three")
        await anyio.wait_all_tasks_blocked()
        assert backend.asked == [["wait 1"]]
        backend.gate("wait 1").set()
        await wait_for_all_mots([third, second, first])
        assert backend.asked[1:] == [
            ["wait 1", "re: wait 1", "two"],
            ["wait 1", "re: wait 1", "two", "re: two", "three"],
        ]
        assert not m.ctx.previous_turn_is_pending()


async def test_calls_from_many_tasks_lose_no_turn() -> None:
    async with chatting() as (m, backend):
        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(m.achat, f"say {number}")
        assert len(m.ctx.as_list()) == 20
        longest = backend.asked[-1]
        assert len(longest) == 19
        assert sorted(longest[::2]) == sorted(f"say {number}" for number in range(10))
        assert all(
            after == f"re: {before}"
            for before, after in zip(longest[::2], longest[1::2], strict=False)
        )


async def test_calls_on_a_simple_context_never_wait_for_each_other() -> None:
    async with chatting(SimpleContext()) as (m, backend):
        first = await m.ainstruct("wait 1")
        assert await (await m.ainstruct("two")) == "re: two"
        assert backend.asked == [["wait 1"], ["two"]]
        assert len(m.ctx.as_list()) == 4
        assert not m.ctx.previous_turn_is_pending()
        backend.gate("wait 1").set()
        await first


async def test_a_later_prompt_leaves_an_earlier_reply_to_its_consumer() -> None:
    async with chatting() as (m, _):
        first = await m.ainstruct("one")
        await (await m.ainstruct("two"))
        assert not first.is_computed()
        pieces = []
        while not first.is_computed():
            pieces.append(await first.astream())
        assert "".join(pieces) == "re: one"


# Turns that are lost.


async def test_a_failed_first_turn_is_left_out() -> None:
    async with chatting() as (m, backend):
        failed = await m.ainstruct("fail 1")
        second = await m.ainstruct("two")
        assert await second == "re: two"
        assert backend.asked == [["fail 1"], ["two"]]
        assert [str(each.action._description) for each in m.ctx.as_list()[1::2]] == ["two"]
        with pytest.raises(ReplyError):
            await failed


async def test_a_failed_turn_in_the_middle_is_left_out() -> None:
    async with chatting() as (m, backend):
        await m.achat("one")
        with pytest.raises(ReplyError):
            await m.achat("fail 2")
        await m.achat("three")
        assert backend.asked[-1] == ["one", "re: one", "three"]
        assert len(m.ctx.as_list()) == 4


async def test_a_cancelled_first_turn_is_left_out() -> None:
    async with chatting() as (m, backend):
        cancelled = await m.ainstruct("wait 1")
        second = await m.ainstruct("two")
        await anyio.wait_all_tasks_blocked()
        await cancelled.cancel_generation()
        assert await second == "re: two"
        assert backend.asked == [["wait 1"], ["two"]]
        assert len(m.ctx.as_list()) == 2


async def test_a_call_that_was_cancelled_is_left_out() -> None:
    async with chatting(linger=0) as (m, backend):
        async with anyio.create_task_group() as group:
            group.start_soon(m.achat, "wait 1")
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        await m.achat("two")
        assert backend.asked == [["wait 1"], ["two"]]


async def test_a_turn_that_is_cancelled_while_it_waits_is_left_out() -> None:
    async with chatting() as (m, backend):
        first = await m.ainstruct("wait 1")
        waiting = await m.ainstruct("two")
        third = await m.ainstruct("three")
        await anyio.wait_all_tasks_blocked()
        await waiting.cancel_generation()
        backend.gate("wait 1").set()
        assert await third == "re: three"
        assert backend.asked == [["wait 1"], ["wait 1", "re: wait 1", "three"]]
        await first


async def test_a_turn_whose_input_failed_is_left_out() -> None:
    async with chatting() as (m, backend):
        failed = await m.ainstruct("fail 1")
        dependent = await m.ainstruct("{{x}}", user_variables={"x": failed})
        assert await (await m.ainstruct("three")) == "re: three"
        assert backend.asked == [["fail 1"], ["three"]]
        with pytest.raises(DependencyError):
            await dependent


async def test_an_input_that_has_failed_already_is_a_dependency_error() -> None:
    async with chatting() as (m, _):
        failed = await m.ainstruct("fail 1")
        with pytest.raises(ReplyError) as cause:
            await failed
        dependent = await m.ainstruct("{{x}}", grounding_context={"x": failed})
        with pytest.raises(DependencyError) as caught:
            await dependent
        assert caught.value.__cause__ is cause.value


# Interest.


async def test_a_later_call_keeps_an_earlier_reply_going() -> None:
    async with chatting(linger=0) as (m, backend):
        first = await m.ainstruct("wait 1")
        second = await m.ainstruct("two")
        await anyio.wait_all_tasks_blocked()
        async with anyio.create_task_group() as group:
            group.start_soon(first.avalue)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()  # it gives up, and is not the only one
        backend.gate("wait 1").set()
        assert await second == "re: two"
        assert await first == "re: wait 1"


async def test_a_cancelled_turn_between_does_not_stop_the_one_before() -> None:
    async with chatting(linger=0) as (m, backend):
        first = await m.ainstruct("wait 1")
        between = await m.ainstruct("two")
        third = await m.ainstruct("three")
        await anyio.wait_all_tasks_blocked()
        await between.cancel_generation()
        await anyio.wait_all_tasks_blocked()
        assert backend.open_replies == 1
        backend.gate("wait 1").set()
        assert await third == "re: three"
        assert await first == "re: wait 1"


async def test_a_later_call_that_is_given_up_gives_up_the_earlier() -> None:
    async with chatting(linger=0) as (m, backend):
        first = await m.ainstruct("wait 1")
        async with anyio.create_task_group() as group:
            group.start_soon(m.achat, "two")
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        with pytest.raises(GenerationCancelled):
            await first
        assert backend.stopped["wait 1"] == 1


async def test_nobody_is_left_interested_after_a_chain() -> None:
    async with chatting(linger=math.inf) as (m, _):
        thunks = [await m.ainstruct(str(number)) for number in range(5)]
        await thunks[-1]
        assert [thunk._source.interest for thunk in thunks] == [0] * 5


# Pending things in histories that were made by hand.


async def test_a_pending_answer_of_elsewhere_may_stand_in_a_history() -> None:
    async with chatting() as (m, backend):
        elsewhere = await m.clone().ainstruct("wait 1")
        m.ctx = ChatContext().add(Message("user", "q")).add(elsewhere)
        thunk = await m.ainstruct("two")
        backend.gate("wait 1").set()
        assert await thunk == "re: two"
        assert backend.asked[-1] == ["q", "re: wait 1", "two"]


async def test_a_pending_part_of_a_history_is_waited_for() -> None:
    async with chatting() as (m, backend):
        part = await m.clone().ainstruct("wait 1")
        m.ctx = ChatContext().add(Instruction("say {{x}}", user_variables={"x": part}))
        thunk = await m.ainstruct("two")
        backend.gate("wait 1").set()
        assert await thunk == "re: two"
        assert backend.asked[-1] == ["say re: wait 1", "two"]


async def test_a_failed_part_of_a_history_fails_the_call() -> None:
    async with chatting() as (m, _):
        part = await m.clone().ainstruct("fail 1")
        m.ctx = ChatContext().add(Instruction("say {{x}}", user_variables={"x": part}))
        for _attempt in range(2):
            with pytest.raises(DependencyError):
                await (await m.clone().ainstruct("two"))


async def test_the_same_message_may_be_sent_twice() -> None:
    async with chatting(ChatContext().add(same := Message("user", "a")).add(same)) as (m, backend):
        await m.achat("b")
        assert backend.asked == [["a", "a", "b"]]


async def test_a_context_without_a_view_is_a_call_of_its_own() -> None:
    class Silent(Context):
        def view_for_generation(self) -> None:
            return None

    async with chatting(Silent().add("a")) as (m, backend):
        await m.achat("b")
        assert backend.asked == [["b"]]


async def test_a_backend_leaves_the_context_as_it_was() -> None:
    backend = EchoBackend()
    ctx = ChatContext().add("a")
    thunk, after = await backend.generate_from_context(CBlock("b"), ctx)
    assert ctx.as_list() == ["a"]
    assert after.as_list(1) == [thunk]
    assert isinstance(after, ChatContext)
    await thunk
    assert thunk.context is ctx


async def test_a_backend_may_make_messages_in_its_own_way() -> None:
    class Shouting(EchoBackend):
        def to_messages(self, entries: Sequence[Any]) -> list[ChatMessage]:
            return [ChatMessage("user", str(entry).upper()) for entry in entries]

    backend = Shouting()
    thunk, _ = await backend.generate_from_context(CBlock("b"), ChatContext().add(CBlock("a")))
    await thunk
    assert backend.asked == [["A", "B"]]


# Bounds.


async def test_a_window_bounds_the_prompt() -> None:
    async with chatting(ChatContext(window_size=2)) as (m, backend):
        for number in range(5):
            await m.achat(str(number))
        assert backend.asked[-1] == ["3", "re: 3", "4"]
        assert len(m.ctx.as_list()) == 2


async def test_the_prompts_of_a_window_do_not_depend_on_how_fast_replies_come() -> None:
    system = Message("system", "be kind")
    async with chatting(ChatContext(window_size=2).add(system)) as (m, backend):
        thunks = [await m.ainstruct("wait")]
        thunks += [await m.ainstruct(str(number)) for number in range(5)]
        assert len(m.ctx.as_list()) == 13  # nothing that is on its way is dropped
        backend.gate("wait").set()
        await wait_for_all_mots(thunks)
        assert backend.asked[-1] == ["be kind", "3", "re: 3", "4"]
        await m.achat("last")
        assert backend.asked[-1] == ["be kind", "4", "re: 4", "last"]
        assert len(m.ctx.as_list()) == 3


async def test_a_lost_turn_brings_an_older_one_back_into_the_window() -> None:
    async with chatting(ChatContext(window_size=2)) as (m, backend):
        first, lost = await m.ainstruct("wait 1"), await m.ainstruct("wait 2")
        last = await m.ainstruct("last")
        await anyio.wait_all_tasks_blocked()
        await lost.cancel_generation()
        await anyio.wait_all_tasks_blocked()
        backend.gate("wait 1").set()
        assert await last == "re: last"
        assert backend.asked[-1] == ["wait 1", "re: wait 1", "last"]
        await first


async def test_the_token_limit_counts_what_has_arrived() -> None:
    async with chatting(ChatContext(token_context_length_limit=20)) as (m, backend):
        backend.answer = "x" * 80
        first = await m.ainstruct("wait 1")
        second = await m.ainstruct("two")
        backend.gate("wait 1").set()
        await second
        assert backend.asked[-1] == ["two"]
        await first


async def test_a_threshold_takes_effect_with_the_next_prompt() -> None:
    compactor = ThresholdCompactor(WindowCompactor(size=2), threshold=10)
    async with chatting(ChatContext(compactor=compactor)) as (m, backend):
        backend.usage = {"prompt_tokens": 3, "completion_tokens": 4}
        await m.achat("1")
        await m.achat("2")
        await m.achat("3")
        assert len(backend.asked[-1]) == 5
        backend.usage = {"total_tokens": 11}
        await m.achat("4")
        await m.achat("5")
        assert backend.asked[-1] == ["4", "re: 4", "5"]


@pytest.mark.parametrize("ctx", [SimpleContext(keep=5), ChatContext(window_size=5)], ids=repr)
async def test_a_long_session_keeps_only_the_end(ctx: Context) -> None:
    async with chatting(ctx) as (m, backend):
        refs = [
            weakref.ref(await m.ainstruct(str(number), await_result=True)) for number in range(100)
        ]
        gc.collect()
        assert len([ref for ref in refs if ref() is not None]) <= 10
        assert len(backend.asked) == 100


# Forks.


async def test_a_conversation_forks_and_comes_together() -> None:
    async with chatting() as (m, backend):
        await m.achat("root")
        m.ctx = m.ctx.branch()
        side = m.clone()
        ours, theirs = await m.ainstruct("wait ours"), await side.ainstruct("wait theirs")
        m.ctx = m.ctx.merge(side.ctx)
        last = await m.ainstruct("last")
        backend.gate("wait theirs").set()
        backend.gate("wait ours").set()
        await last
        assert backend.asked[-1] == [
            "root",
            "re: root",
            "wait ours",
            "re: wait ours",
            "wait theirs",
            "re: wait theirs",
            "last",
        ]
        await wait_for_all_mots([ours, theirs])


async def test_a_reply_of_an_event_loop_that_is_over_can_still_be_said() -> None:
    ctx = ChatContext().add("q").add(answer("a"))
    async with chatting(ctx) as (m, backend):
        await m.achat("b")
        assert backend.asked == [["q", "a", "b"]]
