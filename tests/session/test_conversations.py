"""Sessions that remember, against the server: three turns in a row, at once, and with losses."""

import logging
from typing import Any

import anyio
import pytest

from motet import (
    BackendError,
    ChatContext,
    GenerationCancelled,
    MelleaSession,
    Message,
    ModelOutputThunk,
    Requirement,
    simple_validate,
    wait_for_all_mots,
)
from motet.testing import ErrorLine, ModelServer, Reply, ScriptedBackend, Stall
from session.forms import chat_session, session, texts

pytestmark = pytest.mark.anyio


async def test_three_turns_one_after_the_other(server: ModelServer) -> None:
    server.script([Reply("1"), Reply("2"), Reply("3")])
    async with chat_session(server) as m:
        for text in ("a", "b", "c"):
            await m.achat(text)
    assert [texts(server, number) for number in range(3)] == [
        ["a"],
        ["a", "1", "b"],
        ["a", "1", "b", "2", "c"],
    ]
    assert [message["role"] for message in server.replies[2].body["messages"]] == [
        *("user", "assistant"),
        *("user", "assistant"),
        "user",
    ]


async def test_three_turns_at_once_are_chained_in_the_order_of_the_calls(
    server: ModelServer,
) -> None:
    server.script([Reply("1", time_to_first_token=0.02), Reply("2"), Reply("3")])
    async with chat_session(server) as m:
        thunks = [await m.ainstruct(text) for text in ("a", "b", "c")]
        assert len(m.ctx.as_list()) == 6
        await wait_for_all_mots(thunks)
        assert [texts(server, number) for number in range(3)] == [
            ["a"],
            ["a", "1", "b"],
            ["a", "1", "b", "2", "c"],
        ]
        assert m.ctx.as_list()[1::2] == thunks


async def test_turns_of_many_tasks_are_all_kept(server: ModelServer) -> None:
    async with chat_session(server) as m:
        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(m.achat, f"say {number}")
        assert len(m.ctx.as_list()) == 16
    lengths = [len(request.body["messages"]) for request in server.replies]
    assert lengths == list(range(1, 16, 2))


@pytest.mark.parametrize("lost", ["failed", "cancelled", "given up"])
async def test_a_turn_that_is_lost_is_left_out_of_the_next_prompt(
    lost: str, server: ModelServer
) -> None:
    fault = ErrorLine(1) if lost == "failed" else Stall(1)
    server.script([Reply("1"), Reply(["2", "2"], fault=fault), Reply("3")])
    async with chat_session(server) as m:
        await m.achat("a")
        thunk = await m.ainstruct("b")
        later = await m.ainstruct("c")
        with anyio.fail_after(60):
            await server.wait_until(lambda: len(server.replies) >= 2)
        match lost:
            case "failed":
                with pytest.raises(BackendError):
                    await thunk
            case "cancelled":
                await thunk.cancel_generation()
            case _:
                async with thunk:
                    pass
        assert await later == "3"
        assert texts(server) == ["a", "1", "c"]
        assert [each for each in m.ctx.as_list() if isinstance(each, ModelOutputThunk)][1] is later
        assert len(m.ctx.as_list()) == 4


async def test_a_turn_that_nobody_waits_for_any_more_is_left_out(server: ModelServer) -> None:
    server.script([Stall(1), Reply("2")])
    m = MelleaSession(session(server).backend, ChatContext(), linger=0)
    async with m:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(m.achat, "a")
            await server.wait_until(lambda: len(server.replies) == 1)
            tasks.cancel_scope.cancel()
        await m.achat("b")
        assert texts(server) == ["b"]
        assert len(m.ctx.as_list()) == 2


async def test_a_turn_that_was_sampled_is_one_turn(server: ModelServer) -> None:
    server.script([Reply("bad"), Reply("good"), Reply("2")])
    good = Requirement("be good", simple_validate(lambda text: text == "good"))
    async with chat_session(server) as m:
        first = await m.ainstruct("a", requirements=[good])
        await (await m.ainstruct("b"))
        assert texts(server)[1:] == ["good", "b"]
        assert m.ctx.as_list()[1] is first


async def test_of_a_closed_session_the_finished_turns_are_left(server: ModelServer) -> None:
    server.script([Reply("1"), Stall(1)])
    async with chat_session(server) as m:
        await m.achat("a")
        thunk = await m.ainstruct("b")
    with pytest.raises(GenerationCancelled):
        await thunk
    assert [str(each) for each in m.ctx.as_list()] == ["a", "1"]


# The warning.


async def warnings(caplog: pytest.LogCaptureFixture, context: Any, *, wait: bool) -> list[str]:
    async with MelleaSession(ScriptedBackend("x"), context) as m:
        with caplog.at_level(logging.WARNING, "motet"):
            thunks = []
            for number in range(3):
                thunks.append(await m.ainstruct(str(number)))
                if wait:
                    await thunks[-1]
            await wait_for_all_mots(thunks)
    return [f"{record.name} {record.levelname}" for record in caplog.records]


async def test_a_turn_upon_a_pending_one_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    assert await warnings(caplog, ChatContext(), wait=False) == ["motet WARNING"] * 2


async def test_a_turn_upon_a_complete_one_is_not(caplog: pytest.LogCaptureFixture) -> None:
    assert await warnings(caplog, ChatContext(), wait=True) == []


async def test_calls_that_stand_alone_are_never_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert await warnings(caplog, None, wait=False) == []


async def test_validating_a_pending_turn_is_not_warned_of_and_waits(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with MelleaSession(ScriptedBackend("good"), ChatContext()) as m:
        _ = await m.ainstruct("go")
        (result,) = await m.avalidate(
            Requirement("x", simple_validate(lambda text: text == "good"))
        )
        assert result
    assert caplog.records == []


async def test_a_conversation_may_begin_with_what_others_have_said(server: ModelServer) -> None:
    ctx = ChatContext().add(Message("system", "Be brief.")).add(Message("user", "hello"))
    async with session(server, ctx) as m:
        await m.achat("go")
    assert texts(server) == ["Be brief.", "hello", "go"]
