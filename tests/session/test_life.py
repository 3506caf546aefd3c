"""The life of a session: blocks, the current one, its end, several event loops."""

import contextlib
import math
import threading
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import anyio.to_thread
import pytest

import motet
from loops import REAL_LOOPS
from motet import (
    ChatContext,
    GenerationCancelled,
    MelleaSession,
    RejectionSamplingStrategy,
    SessionClosed,
    get_session,
    open_session,
    start_session,
)
from motet.testing import ModelServer, Reply, ScriptedBackend, Stall
from motet.testing.leaks import no_leaks
from session.forms import METHODS, session
from virtual_time import on_virtual_time

NEVER = [math.inf]

ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "instruct": ("go",),
    "act": (motet.Message("user", "go"),),
    "chat": ("go",),
    "validate": ("be good",),
    "query": ("x", "go"),
    "transform": ("x", "go"),
}


async def acall(m: MelleaSession, method: str) -> Any:
    options = {"output": "x"} if method == "validate" else {}
    return await getattr(m, f"a{method}")(*ARGUMENTS[method], **options)


def call(m: MelleaSession, method: str) -> Any:
    options = {"output": "x"} if method == "validate" else {}
    return getattr(m, method)(*ARGUMENTS[method], **options)


# The current session.


def test_without_a_block_there_is_no_current_session() -> None:
    with pytest.raises(RuntimeError, match="with start_session"):
        get_session()


def test_the_innermost_block_has_the_current_session() -> None:
    outer, inner = MelleaSession(ScriptedBackend("x")), MelleaSession(ScriptedBackend("x"))
    with outer as same:
        assert same is outer
        assert get_session() is outer
        with inner:
            assert get_session() is inner
            with outer:
                assert get_session() is outer
            assert get_session() is inner
        assert get_session() is outer
    with pytest.raises(RuntimeError):
        get_session()


def test_a_block_lets_errors_through_and_restores_the_session_before() -> None:
    m = MelleaSession(ScriptedBackend("x"))
    with pytest.raises(KeyError), m:
        raise KeyError("x")
    with pytest.raises(RuntimeError):
        get_session()


@pytest.mark.anyio
async def test_tasks_and_worker_threads_that_are_started_in_a_block_see_its_session() -> None:
    seen: list[Any] = []

    async def look() -> None:
        seen.append(get_session())

    def check(_: object) -> bool:
        seen.append(get_session())
        return True

    with MelleaSession(ScriptedBackend("x")) as m:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look)
        seen.append(await anyio.to_thread.run_sync(get_session))
        m.validate(motet.Requirement("x", check))
    assert seen == [m, m, m]


def test_other_threads_do_not_see_it() -> None:
    seen: list[Any] = []

    def look() -> None:
        with contextlib.suppress(RuntimeError):
            seen.append(get_session())

    with MelleaSession(ScriptedBackend("x")):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    assert seen == []


@pytest.mark.anyio
async def test_one_session_may_be_the_current_one_of_several_tasks() -> None:
    m, other = MelleaSession(ScriptedBackend("x")), MelleaSession(ScriptedBackend("x"))
    entered, left = anyio.Event(), anyio.Event()

    async def first() -> None:
        with other, m:
            entered.set()
            await left.wait()
            assert get_session() is m
        with pytest.raises(RuntimeError):
            get_session()

    async def second() -> None:
        await entered.wait()
        with m:
            assert get_session() is m
            left.set()
            await anyio.wait_all_tasks_blocked()
        with pytest.raises(RuntimeError):
            get_session()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first)
        tasks.start_soon(second)


@pytest.mark.anyio
async def test_an_async_block_is_no_current_session() -> None:
    async with MelleaSession(ScriptedBackend("x")):
        with pytest.raises(RuntimeError):
            get_session()


# The end.


@pytest.mark.anyio
async def test_a_clean_up_stops_what_runs_and_later_calls_work() -> None:
    backend = ScriptedBackend([NEVER, "good"])
    m = MelleaSession(backend)
    thunk = await m.ainstruct("go")
    await anyio.wait_all_tasks_blocked()
    m.cleanup()
    m.cleanup(exception=KeyError("x"))
    with pytest.raises(GenerationCancelled, match="cleaned up"):
        await thunk
    assert backend.open_replies == 0
    assert str(await m.achat("on")) == "good"
    m.cleanup()


@pytest.mark.anyio
async def test_leaving_a_with_block_stops_what_runs_and_later_calls_work() -> None:
    backend = ScriptedBackend([NEVER, "good"])
    with MelleaSession(backend) as m:
        thunk = await m.ainstruct("go")
        await anyio.wait_all_tasks_blocked()
    with pytest.raises(GenerationCancelled):
        await thunk
    assert str(m.chat("on")) == "good"


@pytest.mark.anyio
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("form", ["a", ""])
async def test_a_session_that_is_closed_takes_no_call(method: str, form: str) -> None:
    backend = ScriptedBackend("yes")
    async with MelleaSession(backend) as m:
        await (await m.ainstruct("go"))
        call(m, method)
    asked = len(backend.requests)
    before = m.ctx
    await m.aclose()
    with pytest.raises(SessionClosed, match=m.id):
        await acall(m, method) if form else call(m, method)
    assert len(backend.requests) == asked
    assert m.ctx is before


@pytest.mark.anyio
async def test_a_session_that_was_closed_before_its_first_call_takes_none() -> None:
    m = MelleaSession(ScriptedBackend("yes"))
    await m.aclose()
    for method in METHODS:
        with pytest.raises(SessionClosed):
            await acall(m, method)
        with pytest.raises(SessionClosed):
            call(m, method)


@pytest.mark.anyio
async def test_a_copy_of_a_closed_session_is_a_new_one() -> None:
    async with MelleaSession(ScriptedBackend("yes")) as m:
        await m.achat("go")
    twin = m.clone()
    assert str(await twin.achat("go")) == "yes"
    assert len(twin.ctx.as_list()) == 4


@pytest.mark.anyio
async def test_closing_has_stopped_everything_when_it_returns(server: ModelServer) -> None:
    server.script([Stall(1)], repeat=True)
    m = session(server)
    strategy = RejectionSamplingStrategy(concurrency_budget=3)
    thunk = await m.ainstruct("go", strategy=strategy)
    other = await m.aquery("x", "go")
    with anyio.fail_after(60):
        await server.wait_until(lambda: server.serving == 4)
    await m.aclose()
    for each in (thunk, other):
        assert each.is_settled()
        with pytest.raises(GenerationCancelled, match="closed"):
            await each
    with anyio.fail_after(60):
        await server.wait_idle()
    assert all(request.hung_up for request in server.replies)


@pytest.mark.anyio
@on_virtual_time
async def test_what_a_copy_has_running_is_its_own() -> None:
    backend = ScriptedBackend([[1.0, "good"], NEVER])
    async with MelleaSession(backend) as m:
        thunk = await m.ainstruct("go")
        await anyio.wait_all_tasks_blocked()
        async with m.clone() as twin:
            other = await twin.ainstruct("go")
            await anyio.wait_all_tasks_blocked()
        with pytest.raises(GenerationCancelled):
            await other
        assert await thunk == "good"


@pytest.mark.anyio
async def test_answers_outlive_their_session() -> None:
    async with MelleaSession(ScriptedBackend("good")) as m:
        thunk = await m.ainstruct("go")
        await thunk
    assert (thunk.value, str(thunk), await thunk) == ("good", "good", "good")
    assert m.ctx.last_output() is thunk
    assert m.last_prompt() is not None


# Event loops.


@pytest.mark.parametrize("first", REAL_LOOPS)
@pytest.mark.parametrize("second", REAL_LOOPS)
def test_a_session_may_be_used_on_one_event_loop_after_another(
    first: str, second: str, server: ModelServer
) -> None:
    server.script([Reply("one"), Reply("two"), Reply("three"), Reply("four")])
    m = session(server, ChatContext())

    async def chat(text: str) -> str:
        return str(await m.achat(text))

    with no_leaks():
        backend, options = REAL_LOOPS[first]
        assert anyio.run(chat, "a", backend=backend, backend_options=options) == "one"
        assert str(m.chat("b")) == "two"
        backend, options = REAL_LOOPS[second]
        assert anyio.run(chat, "c", backend=backend, backend_options=options) == "three"
        assert str(m.chat("d")) == "four"
    assert [str(each) for each in m.ctx.as_list()] == [
        *("a", "one", "b", "two"),
        *("c", "three", "d", "four"),
    ]
    assert [len(request.body["messages"]) for request in server.replies] == [1, 3, 5, 7]


@pytest.mark.parametrize("loop", REAL_LOOPS)
def test_what_an_event_loop_leaves_pending_is_no_turn_of_the_next(loop: str) -> None:
    backend = ScriptedBackend([NEVER, "good"])
    m = MelleaSession(backend, ChatContext())

    async def begin() -> None:
        _ = await m.ainstruct("never")
        await anyio.wait_all_tasks_blocked()

    name, options = REAL_LOOPS[loop]
    anyio.run(begin, backend=name, backend_options=options)
    assert backend.open_replies == 0
    assert str(m.chat("on")) == "good"
    assert [each.content for each in backend.requests[-1].messages] == ["on"]


@pytest.mark.parametrize("loop", REAL_LOOPS)
def test_a_session_that_is_closed_is_closed_on_every_event_loop(loop: str) -> None:
    m = MelleaSession(ScriptedBackend("good"))
    m.chat("a")

    async def close() -> None:
        await m.achat("b")
        await m.aclose()

    name, options = REAL_LOOPS[loop]
    anyio.run(close, backend=name, backend_options=options)
    with pytest.raises(SessionClosed):
        m.chat("c")
    with pytest.raises(SessionClosed):
        anyio.run(m.achat, "d", backend=name, backend_options=options)


# Starting.


def test_starting_a_session_opens_nothing_and_starts_no_thread() -> None:
    threads = threading.active_count()
    m = start_session(base_url="http://127.0.0.1:9")
    assert m.backend.model_id == "granite4.1:3b"
    assert threading.active_count() == threads
    assert m.ctx.as_list() == []
    m.cleanup()


@pytest.mark.anyio
@pytest.mark.parametrize(
    "options",
    [{"context_type": "chat"}, {"ctx": ChatContext()}, {"ctx": ChatContext(window_size=9)}],
    ids=str,
)
async def test_the_kind_of_context_may_be_chosen(
    options: dict[str, Any], server: ModelServer
) -> None:
    async with open_session(base_url=server.url, **options) as m:
        await m.achat("one")
        await m.achat("two")
    assert [len(request.body["messages"]) for request in server.replies] == [1, 3]


@pytest.mark.anyio
async def test_a_session_may_be_started_with_a_backend() -> None:
    backend = ScriptedBackend("good")
    async with open_session(backend, context_type="chat") as m:
        assert m.backend is backend
        assert str(await m.achat("go")) == "good"


def test_an_async_block_says_so_where_it_is_used_without_await() -> None:
    with pytest.raises(TypeError, match="async with"), open_session():
        pass  # pragma: no cover


# More methods.


@pytest.fixture
def powered() -> Iterator[Callable[[], None]]:
    names = set(vars(MelleaSession))

    class Extras:
        def shout(self: Any, text: str) -> str:
            return str(self.chat(text)).upper()

        async def ashout(self: Any, text: str) -> str:
            return str(await self.achat(text)).upper()

    yield lambda: MelleaSession.powerup(Extras)
    for name in set(vars(MelleaSession)) - names:
        delattr(MelleaSession, name)


@pytest.mark.anyio
async def test_functions_of_a_class_become_methods(powered: Callable[[], None]) -> None:
    m: Any = MelleaSession(ScriptedBackend("good"))
    powered()
    assert m.shout("go") == "GOOD"
    assert await m.ashout("go") == "GOOD"
    assert len(m.ctx.as_list()) == 4
    assert not hasattr(m, "__wrapped__")
