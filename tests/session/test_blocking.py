"""The methods without await: without a loop, inside one, from several threads, mixed."""

import functools
import gc
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.to_thread
import pytest

import motet.functional
from motet import (
    BackendError,
    CBlock,
    ChatContext,
    ComputedModelOutputThunk,
    MelleaSession,
    Message,
    MObject,
    ModelOutputThunk,
    Query,
    Requirement,
    SimpleContext,
    WrongEventLoop,
    tool,
    wait_for_all_mots,
)
from motet.testing import ErrorLine, ModelServer, Reply, ScriptedBackend
from motet.testing.leaks import no_leaks
from session.forms import chat_session, session

Thunk = ModelOutputThunk[Any]

CALLS: dict[str, Callable[[MelleaSession], Any]] = {
    "instruct": lambda m: m.instruct("go"),
    "act": lambda m: m.act(Message("user", "go")),
    "chat": lambda m: m.chat("go"),
    "validate": lambda m: m.validate("be good", output="x"),
    "query": lambda m: m.query("x", "go"),
    "transform": lambda m: m.transform("x", "go"),
}


@pytest.mark.parametrize("method", CALLS)
def test_a_call_needs_no_event_loop(method: str, server: ModelServer) -> None:
    m = session(server)
    with no_leaks():
        result = CALLS[method](m)
    if method in ("instruct", "act", "query", "transform"):
        assert type(result) is ComputedModelOutputThunk
        assert result.is_computed()
    assert len(server.replies) == 1
    server.block_until_idle()  # its own thread may be a moment behind


@pytest.mark.anyio
@pytest.mark.parametrize("method", CALLS)
async def test_a_call_works_inside_a_running_loop_among_calls_with_await(
    method: str, server: ModelServer
) -> None:
    async with session(server) as m:
        first = await m.ainstruct("before")
        CALLS[method](m)
        second = await m.ainstruct("after")
        await wait_for_all_mots([first, second])
        assert m.ctx.as_list()[1] is first
        assert m.ctx.as_list()[-1] is second
    assert len(server.replies) == 3


@pytest.mark.anyio
async def test_calls_of_both_kinds_take_turns_in_one_conversation(server: ModelServer) -> None:
    server.script([Reply(str(number)) for number in range(4)])
    async with chat_session(server) as m:
        await m.achat("a")
        m.chat("b")
        await m.achat("c")
        m.chat("d")
    assert [str(each) for each in m.ctx.as_list()] == ["a", "0", "b", "1", "c", "2", "d", "3"]
    assert [len(request.body["messages"]) for request in server.replies] == [1, 3, 5, 7]


@pytest.mark.anyio
async def test_a_result_is_a_value_on_every_loop(server: ModelServer) -> None:
    server.script([Reply("one"), Reply("two")])
    m = session(server)
    thunk = m.instruct("go")
    assert await thunk == await thunk.avalue() == str(thunk) == thunk.value == "one"
    assert [delta async for delta in thunk] == []
    answer = await m.ainstruct("{{it}}", user_variables={"it": thunk})
    assert await answer == "two"
    assert server.replies[-1].prompt == "one"


@pytest.mark.anyio
async def test_many_threads_share_a_session_with_an_event_loop(server: ModelServer) -> None:
    m = session(server, SimpleContext())
    async with anyio.create_task_group() as tasks:
        for number in range(5):
            call = functools.partial(m.chat, f"thread {number}")
            tasks.start_soon(anyio.to_thread.run_sync, call)
        thunks = [await m.ainstruct(f"loop {number}") for number in range(5)]
        await wait_for_all_mots(thunks)
    assert len(m.ctx.as_list()) == 20
    assert {request.prompt for request in server.replies} == {
        f"{where} {number}" for where in ("thread", "loop") for number in range(5)
    }


def test_threads_that_talk_in_one_conversation_lose_no_turn(server: ModelServer) -> None:
    m = chat_session(server)
    ready = threading.Barrier(6)

    def talk(number: int) -> None:
        ready.wait()
        for turn in range(3):
            m.chat(f"{number}.{turn}")

    threads = [threading.Thread(target=talk, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    said = [str(each) for each in m.ctx.as_list()]
    assert len(said) == 36
    assert sorted(said[::2]) == [f"{number}.{turn}" for number in range(6) for turn in range(3)]
    assert sorted(len(request.body["messages"]) for request in server.replies) == list(
        range(1, 36, 2)
    )


# What only the blocked loop could give.

PLACES: dict[str, Callable[[MelleaSession, Thunk], Any]] = {
    "user variable": lambda m, it: m.instruct("{{it}}", user_variables={"it": it}),
    "grounding": lambda m, it: m.instruct("x", grounding_context={"it": it}),
    "example": lambda m, it: m.instruct("x", icl_examples=[it]),
    "action": lambda m, it: m.act(it),  # type: ignore[call-overload]
    "component": lambda m, it: m.act(Query(it, "what?")),
    "object": lambda m, it: m.query(it, "what?"),
    "changed object": lambda m, it: m.transform(it, "change"),
    "output": lambda m, it: m.validate("good", output=it),
    "function": lambda m, it: motet.functional.query(it, "what?", m.ctx, m.backend),
}


@pytest.mark.anyio
@pytest.mark.parametrize("place", PLACES)
async def test_a_pending_reply_of_the_loop_that_is_blocked_is_refused_at_once(
    place: str, server: ModelServer
) -> None:
    server.script([Reply("one", time_to_first_token=0.05)])
    async with session(server) as m:
        thunk = await m.ainstruct("go")
        before = m.ctx
        with pytest.raises(WrongEventLoop, match="event loop"):
            PLACES[place](m, thunk)
        assert m.ctx is before
        assert await thunk
        PLACES[place](m, thunk)  # and now it is a value


@pytest.mark.anyio
async def test_a_pending_turn_of_the_loop_that_is_blocked_is_refused_at_once() -> None:
    async with MelleaSession(ScriptedBackend("good"), ChatContext()) as m:
        thunk = await m.ainstruct("go")
        with pytest.raises(WrongEventLoop):
            m.chat("on")
        await thunk
        assert str(m.chat("on")) == "good"
        assert len(m.ctx.as_list()) == 4


# Errors, context variables, calls inside calls.


def test_an_error_is_the_same_as_with_await(server: ModelServer) -> None:
    server.script([Reply(["a", "b"], fault=ErrorLine(2))])
    m = chat_session(server)
    with pytest.raises(BackendError) as caught:
        _ = m.instruct("go")
    assert caught.value.partial == "ab"
    assert m.ctx.as_list() == []
    m.chat("on")
    assert len(server.replies[-1].body["messages"]) == 1


colour: ContextVar[str] = ContextVar("colour", default="none")


@pytest.mark.parametrize("where", ["in a loop", "without"])
def test_a_call_sees_the_variables_of_its_caller_and_gives_none_back(where: str) -> None:
    seen: list[str] = []

    def look(_: Any) -> bool:
        seen.append(colour.get())
        colour.set("green")
        return True

    m = MelleaSession(ScriptedBackend("x"))

    def call() -> None:
        token = colour.set("red")
        try:
            _ = m.instruct("go", requirements=[Requirement("x", look)])
            assert colour.get() == "red"
        finally:
            colour.reset(token)

    async def main() -> None:
        call()

    if where == "without":
        call()
    else:
        anyio.run(main)
    assert seen == ["red"]


@pytest.fixture
def few_threads() -> Iterator[None]:
    before = threading.active_count()
    yield
    gc.collect()
    assert threading.active_count() - before <= 3  # two portals and a worker thread


@pytest.mark.usefixtures("few_threads")
def test_a_check_and_a_tool_may_make_calls_of_their_own() -> None:
    m = MelleaSession(ScriptedBackend(lambda asked: "yes" if "inner" in asked.prompt else "good"))
    checked = Requirement("x", lambda _: str(m.clone().chat("inner")) == "yes")

    @tool
    def ask(text: str) -> str:
        """Ask."""
        return str(m.clone().chat(text))

    for _ in range(10):
        assert m.instruct("go", requirements=[checked], strategy=None).value == "good"
        assert m.validate(checked, output="x")[0]
        assert m.instruct("go", requirements=[checked]).value == "good"
        assert ask("inner") == "yes"


class Asking(MObject):
    """An object that asks the session that is asked about it."""

    def __init__(self, m: MelleaSession) -> None:
        super().__init__()
        self.m = m

    def parts(self) -> list[Any]:
        return [CBlock(str(self.m.chat("inner")))]

    def content_as_string(self) -> str:
        return "a thing"


def test_what_is_said_may_make_calls_of_its_own_on_the_same_session() -> None:
    m = MelleaSession(ScriptedBackend("good"), ChatContext())
    assert m.query(Asking(m), "outer").value == "good"
    said = [str(each) for each in m.ctx.as_list()]
    assert said[:2] == ["inner", "good"]
    assert said[-1] == "good"


@pytest.mark.anyio
async def test_so_it_may_inside_a_running_loop() -> None:
    async with MelleaSession(ScriptedBackend("good")) as m:
        assert await (await m.aquery(Asking(m), "outer")) == "good"
        assert len(m.ctx.as_list()) >= 4


def test_a_function_needs_no_session(server: ModelServer) -> None:
    backend = session(server).backend
    ctx = ChatContext()
    first, ctx = motet.functional.chat("one", ctx, backend)
    second, ctx = motet.functional.instruct("two", ctx, backend)
    third, ctx = motet.functional.query(CBlock("x"), "three", ctx, backend)
    fourth, ctx = motet.functional.transform("x", "four", ctx, backend)
    assert [str(each) for each in ctx.as_list()[1::2]] == [
        str(each) for each in (first, second, third, fourth)
    ]
    assert [len(request.body["messages"]) for request in server.replies] == [1, 3, 5, 7]
    server.block_until_idle()  # its own thread may be a moment behind
