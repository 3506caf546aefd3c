"""Async code for threads that have no event loop: levels, threads, errors, interrupts."""

import asyncio
import contextvars
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import pytest

import motet
from motet._runtime import portal as portal_module
from motet._runtime import portal as portals
from motet._runtime.host import current_host
from motet._runtime.portal import Portal, call_in_loop, default_portal
from motet._thunk.thunk import ModelOutputThunk
from motet._values.errors import WrongEventLoop
from thunk.by_hand import Reply, others_wait, produced, scripted

Thunk = ModelOutputThunk[Any]


class Own(Exception):
    """An error of the test's."""


@pytest.fixture(params=["asyncio", "trio"])
def portal(request: pytest.FixtureRequest) -> Iterator[Portal]:
    before = set(threading.enumerate())
    portal = Portal(request.param)
    yield portal
    portal.close()
    left = set(threading.enumerate()) - before
    assert not [thread for thread in left if thread.name.startswith("motet portal")]


async def add(one: int, other: int) -> int:
    await anyio.lowlevel.checkpoint()
    return one + other


def test_a_call_returns_what_the_function_returns(portal: Portal) -> None:
    assert portal.call(add, 1, 2) == 3


def test_the_thread_starts_with_the_first_call_and_serves_all() -> None:
    portal = Portal()
    before = threading.active_count()
    assert portal._thread is None

    async def where() -> str:
        return threading.current_thread().name

    assert [portal.call(where) for _ in range(3)] == ["motet portal 0"] * 3
    assert threading.active_count() == before + 1
    portal.close()
    assert threading.active_count() == before


def test_a_portal_that_was_closed_starts_anew(portal: Portal) -> None:
    portal.close()  # nothing has begun
    assert portal.call(add, 1, 2) == 3
    portal.close()
    portal.close()
    assert portal.call(add, 1, 2) == 3


def test_closing_unwinds_what_runs(portal: Portal) -> None:
    async def start() -> Reply:
        reply = Reply()
        await others_wait()
        return reply

    reply = portal.call(start)
    assert reply.generation.live
    portal.close()
    assert reply.stopped


def test_thunks_are_waited_for_in_the_loop_of_the_portal(portal: Portal) -> None:
    async def start(*script: Any) -> Thunk:
        return scripted(*script)

    thunk = portal.call(start, "Hel", 0.001, "lo")
    assert str(thunk) == "Hello"
    assert portal.call(thunk.avalue) == "Hello"
    failing = portal.call(start, Own("broken"))
    with pytest.raises(Own):
        str(failing)


@pytest.mark.parametrize(
    "error", [Own("broken"), BaseException("base"), SystemExit(3), KeyboardInterrupt()]
)
def test_an_error_belongs_to_the_caller_and_the_portal_goes_on(
    portal: Portal, error: BaseException
) -> None:
    async def break_down() -> None:
        await anyio.lowlevel.checkpoint()
        raise error

    with pytest.raises(type(error)) as caught:
        portal.call(break_down)
    assert caught.value is error
    assert portal.call(add, 1, 2) == 3


def test_a_function_that_cannot_be_called_is_the_callers_error(portal: Portal) -> None:
    with pytest.raises(TypeError):
        portal.call(add, 1)
    assert portal.call(add, 1, 2) == 3


number: contextvars.ContextVar[int] = contextvars.ContextVar("number", default=0)


def test_a_call_sees_the_context_variables_of_its_caller(portal: Portal) -> None:
    async def look() -> int:
        await anyio.lowlevel.checkpoint()
        seen = number.get()
        number.set(99)
        return seen

    for value in (1, 2):
        context = contextvars.copy_context()
        context.run(number.set, value)
        assert context.run(portal.call, look) == value
        assert context.run(number.get) == value


def test_a_generation_started_through_a_portal_sees_them_too(portal: Portal) -> None:
    seen: list[int] = []

    async def start() -> None:
        from motet._thunk.generation import Generation

        async def produce(_: Generation) -> None:
            seen.append(number.get())

        thunk = produced(produce)
        await thunk

    context = contextvars.copy_context()
    context.run(number.set, 7)
    context.run(portal.call, start)
    assert seen == [7]


def test_many_threads_share_a_portal(portal: Portal) -> None:
    results: dict[int, int] = {}
    barrier = threading.Barrier(32, timeout=60)

    def work(mine: int) -> None:
        number.set(mine)
        barrier.wait()
        for _ in range(5):
            results[mine] = portal.call(look, mine)

    async def look(mine: int) -> int:
        await anyio.sleep(0.001)
        assert number.get() == mine
        return mine * mine

    threads = [threading.Thread(target=work, args=(mine,)) for mine in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {mine: mine * mine for mine in range(32)}


# Calls inside calls.


def test_calls_may_be_nested(portal: Portal) -> None:
    names: list[str] = []
    before = threading.active_count()

    async def nest(depth: int) -> int:
        names.append(threading.current_thread().name)
        await anyio.lowlevel.checkpoint()
        return 1 + portal.call(nest, depth - 1) if depth else 0

    assert portal.call(nest, 3) == 3
    assert names == [f"motet portal {level}" for level in range(4)]
    # The deeper ones are used again.
    names.clear()
    assert portal.call(nest, 3) == 3
    assert len(set(names)) == 4
    assert threading.active_count() == before + 4


def test_the_loops_of_nested_calls_have_names_of_their_own(portal: Portal) -> None:
    async def nest(depth: int) -> list[str]:
        names = [str(current_host())]
        await anyio.lowlevel.checkpoint()
        return names + (portal.call(nest, depth - 1) if depth else [])

    names = portal.call(nest, 2)
    assert names[0] == "event loop behind the methods without await"
    assert [name.rpartition(", ")[2] for name in names[1:]] == ["level 1", "level 2"]


def test_a_call_from_a_worker_thread_of_a_nested_call_does_not_meet_itself(portal: Portal) -> None:
    async def inner() -> int:
        return await anyio.to_thread.run_sync(portal.call, add, 1, 2)

    async def outer() -> int:
        return portal.call(inner)

    done: list[int] = []
    thread = threading.Thread(target=lambda: done.append(portal.call(outer)), daemon=True)
    thread.start()
    thread.join(60)
    assert done == [3]


def test_while_a_call_is_nested_other_threads_wait_and_are_served_then(portal: Portal) -> None:
    inside, go = threading.Event(), threading.Event()
    results: list[int] = []

    async def inner() -> int:
        inside.set()
        await anyio.to_thread.run_sync(go.wait)
        return 1

    async def outer() -> int:
        return portal.call(inner)

    threads = [threading.Thread(target=lambda: results.append(portal.call(outer)))]
    threads[0].start()
    inside.wait()
    threads.append(threading.Thread(target=lambda: results.append(portal.call(add, 1, 1))))
    threads[1].start()
    go.set()
    for thread in threads:
        thread.join()
    assert sorted(results) == [1, 2]


@pytest.mark.anyio
async def test_a_call_from_async_code_blocks_its_loop_and_works(portal: Portal) -> None:
    assert portal.call(add, 1, 2) == 3


@pytest.mark.anyio
async def test_a_pending_thunk_of_the_loop_that_the_call_blocks_is_refused(portal: Portal) -> None:
    reply = Reply()

    async def use() -> str:
        return await reply.thunk

    async def use_text() -> str:
        return str(reply.thunk)

    for use_it in (use, use_text):
        with pytest.raises(WrongEventLoop, match="await it there, or resolve it"):
            portal.call(use_it)
    reply.feed("Hello")
    reply.end()
    await reply.thunk
    assert portal.call(use) == portal.call(use_text) == "Hello"


# Interrupted.


def test_an_interrupt_while_waiting_cancels_the_call_and_sees_it_unwind(portal: Portal) -> None:
    order: list[str] = []

    async def wait() -> None:
        try:
            # Delivered to the main thread, which waits for this very call.
            os.kill(os.getpid(), signal.SIGINT)
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
            order.append("unwound")

    with pytest.raises(KeyboardInterrupt):
        portal.call(wait)
    order.append("interrupted")
    assert order == ["unwound", "interrupted"]
    assert portal.call(add, 1, 2) == 3


def test_an_interrupt_that_does_not_wake_the_thread_that_waits_is_heard_of(portal: Portal) -> None:
    assert portal.call(add, 1, 2) == 3
    # So the system gives it to the portal's thread, and the main thread sleeps on.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        with pytest.raises(KeyboardInterrupt):
            portal.call(interrupted)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    assert portal.call(add, 1, 2) == 3


async def interrupted() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    await anyio.sleep_forever()


async def timed_out() -> None:
    await anyio.lowlevel.checkpoint()
    raise TimeoutError("its own")


def test_a_timeout_of_the_call_is_raised_and_not_taken_for_ours(portal: Portal) -> None:
    with pytest.raises(TimeoutError, match="its own"):
        portal.call(timed_out)


def test_a_call_may_take_longer_than_the_thread_sleeps_at_a_time(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portals, "_LOOKS_UP", 0.001)
    assert portal.call(late) == "late"


async def late() -> str:
    await anyio.sleep(0.05)
    return "late"


def test_a_loop_that_ends_under_a_call_says_so() -> None:
    portal = Portal()
    inside = threading.Event()
    problems: list[BaseException] = []

    async def wait() -> None:
        inside.set()
        await anyio.sleep_forever()

    def work() -> None:
        try:
            portal.call(wait)
        except BaseException as exc:
            problems.append(exc)

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()
    portal.close()
    thread.join()
    (problem,) = problems
    assert isinstance(problem, RuntimeError)
    assert "ended before it did" in str(problem)


def test_a_call_into_a_loop_that_has_ended_says_so() -> None:
    async def here() -> Any:
        return current_host()

    for backend in ("asyncio", "trio"):
        host = anyio.run(here, backend=backend)
        with pytest.raises(RuntimeError, match=r"ended|closed"):
            call_in_loop(host, add, 1, 2)


# Which loop.


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_environment_chooses_the_loop_of_the_default_portal(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTET_PORTAL", backend)
    default_portal.cache_clear()
    try:

        async def which() -> str:
            return "asyncio" if asyncio._get_running_loop() is not None else "trio"

        assert default_portal().call(which) == backend
        assert default_portal() is default_portal()
        default_portal().close()
        monkeypatch.setenv("MOTET_PORTAL", "twisted")
        default_portal.cache_clear()
        with pytest.raises(ValueError, match="twisted"):
            default_portal()
    finally:
        default_portal.cache_clear()


def test_a_portal_that_cannot_start_tells_its_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LookupError):
        Portal("no such loop").call(add, 1, 2)

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread at interpreter shutdown")

    monkeypatch.setattr(portal_module.threading.Thread, "start", refuse)  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match="before the program ends"):
        Portal().call(add, 1, 2)


def test_an_async_function_runs_for_code_without_await() -> None:
    async def added(one: int, other: int) -> int:
        await anyio.lowlevel.checkpoint()
        return one + other

    assert motet.run_in_portal(added, 1, 2) == 3
