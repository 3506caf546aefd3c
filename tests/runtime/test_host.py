"""One host for each event loop: what it starts, what it closes, and when."""

import asyncio
import contextvars
import gc
import logging
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trio
import uvloop

from motet._runtime.host import CLOSE_TIMEOUT, LoopHost, current_host
from motet._thunk.generation import Generation
from motet._thunk.thunk import ModelOutputThunk
from motet._values.errors import GenerationCancelled, WrongEventLoop
from motet.testing.leaks import no_leaks
from thunk.by_hand import Reply, others_wait, scripted
from virtual_time import on_virtual_time

Thunk = ModelOutputThunk[Any]

RUNNERS: dict[str, Callable[[Callable[[], Awaitable[Any]]], Any]] = {
    "asyncio.run": lambda main: asyncio.run(main()),  # type: ignore[arg-type]
    "asyncio.run, debug": lambda main: asyncio.run(main(), debug=True),  # type: ignore[arg-type]
    "uvloop.run": lambda main: uvloop.run(main()),  # type: ignore[arg-type]
    "trio.run": trio.run,
    "anyio.run": anyio.run,
    "anyio.run, trio": lambda main: anyio.run(main, backend="trio"),
}
every_runner = pytest.mark.parametrize("run", RUNNERS.values(), ids=RUNNERS.keys())


def spawn(host: LoopHost, fn: Callable[[], Awaitable[None]], log: list[str] | None = None) -> None:
    host.spawn(fn, name="of the test", on_end=lambda: None if log is None else log.append("end"))


# Which host.


@pytest.mark.anyio
async def test_an_event_loop_has_one_host() -> None:
    hosts = [current_host()]

    async def look() -> None:
        hosts.append(current_host())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look)
        tasks.start_soon(look)
    assert hosts == [hosts[0]] * 3
    assert hosts[0].is_here()


def test_without_an_event_loop_there_is_no_host() -> None:
    with pytest.raises(WrongEventLoop, match="without the `a` in front"):
        current_host()


@every_runner
def test_loops_that_run_one_after_the_other_have_hosts_of_their_own(run: Any) -> None:
    serials: set[int] = set()
    names: set[str] = set()

    async def main() -> None:
        host = current_host()
        serials.add(host.loop.serial)
        names.add(str(host))
        assert await scripted("Hello") == "Hello"

    for _ in range(20):
        run(main)
    assert len(serials) == len(names) == 20


@every_runner
def test_a_loop_that_has_ended_is_not_kept_alive(run: Any) -> None:
    async def main() -> tuple[Any, Any]:
        host = current_host()
        reply = Reply()
        await others_wait()
        assert reply.generation.live
        return weakref.ref(host), weakref.ref(anyio.lowlevel.current_token().native_token)

    host, native = run(main)
    gc.collect()
    assert native() is None
    assert host() is None


def test_loops_in_several_threads_at_the_same_time_do_not_meet() -> None:
    problems: list[BaseException] = []
    barrier = threading.Barrier(6, timeout=60)

    async def main() -> None:
        async def wait(thunk: Thunk, text: str) -> None:
            assert await thunk == text

        host = current_host()
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(wait, scripted(str(number), 0.001, "!"), f"{number}!")
        assert current_host() is host

    def work(backend: str) -> None:
        try:
            for _ in range(5):
                barrier.wait()
                anyio.run(main, backend=backend)
        except BaseException as exc:
            problems.append(exc)
            barrier.abort()

    threads = [threading.Thread(target=work, args=(b,)) for b in ["asyncio", "trio"] * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_threads_that_find_the_same_dead_loops_do_not_disturb_each_other() -> None:
    problems: list[BaseException] = []

    async def look() -> None:
        current_host()

    def work() -> None:
        try:
            for _ in range(20):
                loop = asyncio.new_event_loop()
                loop.run_until_complete(look())
                loop.run_until_complete(loop.shutdown_asyncgens())
                loop.close()
        except BaseException as exc:
            problems.append(exc)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert problems == []


# What it starts.


number: contextvars.ContextVar[int] = contextvars.ContextVar("number", default=0)


@pytest.mark.anyio
async def test_a_generation_sees_the_context_variables_of_its_caller() -> None:
    seen: list[int] = []

    async def produce(_: Generation) -> None:
        seen.append(number.get())
        await anyio.lowlevel.checkpoint()
        number.set(99)

    thunks = []
    for value in (1, 2, 3):
        number.set(value)
        generation = Generation(produce, host=current_host())
        thunks.append(ModelOutputThunk.pending(generation))
        generation.start()
    number.set(4)
    for thunk in thunks:
        await thunk
    assert sorted(seen) == [1, 2, 3]
    assert number.get() == 4


@pytest.mark.anyio
async def test_a_given_context_is_used_even_when_it_is_empty() -> None:
    seen: list[int] = []

    async def look() -> None:
        seen.append(number.get())

    number.set(5)
    host = current_host()
    host.spawn(look, name="of the test", on_end=lambda: None, context=contextvars.Context())
    await others_wait()
    assert seen == [0]


@pytest.mark.anyio
async def test_what_a_task_lets_out_is_logged_and_the_loop_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ended: list[str] = []

    async def break_down() -> None:
        await anyio.lowlevel.checkpoint()
        raise ZeroDivisionError

    spawn(current_host(), break_down, ended)
    await others_wait()
    (record,) = caplog.records
    assert record.name == "motet"
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError
    assert ended == ["end"]
    assert await scripted("Hello") == "Hello"


@every_runner
def test_the_end_of_a_task_is_told_once_also_if_it_never_began(run: Any) -> None:
    ended: list[str] = []

    async def task() -> None:
        ended.append("began")
        await anyio.sleep_forever()

    async def main() -> None:
        spawn(current_host(), task, ended)
        await others_wait()
        spawn(current_host(), task, ended)  # the loop ends before its first step

    run(main)
    assert ended.count("end") == 2


@every_runner
def test_tasks_have_unwound_before_the_loop_returns(run: Any) -> None:
    order: list[str] = []

    async def task() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                for _ in range(3):
                    await anyio.lowlevel.checkpoint()
            order.append("unwound")

    async def main() -> None:
        for _ in range(3):
            spawn(current_host(), task)
        await others_wait()

    with no_leaks():
        run(main)
    assert order == ["unwound"] * 3


# What it keeps.


@pytest.mark.anyio
async def test_a_resource_is_made_once() -> None:
    host, made = current_host(), []

    def make() -> str:
        made.append("x")
        return "resource"

    assert host.resource("key", make) == host.resource("key", make) == "resource"
    assert made == ["x"]
    assert host.resource("other", lambda: "another") == "another"


@every_runner
def test_resources_are_closed_after_the_last_task_and_in_reverse_order(run: Any) -> None:
    order: list[str] = []

    async def task() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            order.append("task")

    async def close(name: str) -> None:
        await anyio.lowlevel.checkpoint()
        order.append(name)

    async def main() -> None:
        host = current_host()
        for name in ("first", "second"):
            host.resource(name, lambda name=name: name, close)  # type: ignore[misc]
        spawn(host, task)
        await others_wait()

    run(main)
    assert order == ["task", "second", "first"]


@every_runner
def test_a_resource_that_fails_to_close_is_logged_and_the_others_are_closed(
    run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    closed: list[str] = []

    async def close(name: str) -> None:
        await anyio.lowlevel.checkpoint()
        if name == "bad":
            raise OSError("cable")
        closed.append(name)

    async def main() -> None:
        for name in ("first", "bad", "last"):
            current_host().resource(name, lambda name=name: name, close)  # type: ignore[misc]

    run(main)
    assert closed == ["last", "first"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_a_resource_that_does_not_close_keeps_no_program_from_ending(
    virtual_loop: tuple[str, dict[str, Any]],
) -> None:
    times: list[float] = []

    async def close(_: str) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            times.append(anyio.current_time())

    async def main() -> None:
        current_host().resource("stuck", lambda: "stuck", close)

    anyio.run(main, backend=virtual_loop[0], backend_options=virtual_loop[1])
    assert times == [CLOSE_TIMEOUT]


@pytest.fixture(params=["virtual-asyncio", "virtual-trio"])
def virtual_loop(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    from virtual_time import VIRTUAL_LOOPS

    return VIRTUAL_LOOPS[request.param]()


# What it refuses.


@every_runner
def test_nothing_can_be_started_on_a_loop_that_is_shutting_down(run: Any) -> None:
    problems: list[BaseException] = []

    async def close(host: LoopHost) -> None:
        try:
            spawn(host, anyio.lowlevel.checkpoint)
        except WrongEventLoop as exc:
            problems.append(exc)

    async def main() -> None:
        host = current_host()
        host.resource("late", lambda: host, close)

    run(main)
    (problem,) = problems
    assert "shutting down" in str(problem)


# Ctrl-C and the like from inside a generation, where asyncio and Trio differ.


def test_an_interrupt_inside_a_task_of_asyncio_goes_on_to_whoever_runs_the_loop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept: list[Thunk] = []

    async def main() -> None:
        kept.append(scripted("Hel", KeyboardInterrupt()))
        await anyio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert kept[0].partial == "Hel"
    kept.clear()
    gc.collect()
    assert not caplog.records, "such as: Task exception was never retrieved"


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)
async def test_an_interrupt_inside_a_task_of_trio_is_its_outcome() -> None:
    with pytest.raises(KeyboardInterrupt):
        await scripted("Hel", KeyboardInterrupt())
    assert await scripted("Hello") == "Hello"


# Two loops side by side.


def test_trio_as_a_guest_of_asyncio_has_a_host_beside_that_of_its_host_loop() -> None:
    seen: dict[str, Any] = {}

    async def in_trio() -> str:
        seen["trio"] = current_host()
        seen["thunk of trio"] = scripted("tr", 0.001, "io")
        with pytest.raises(WrongEventLoop):
            await seen["thunk of asyncio"]
        return str(await seen["thunk of trio"])

    async def in_asyncio() -> None:
        seen["asyncio"] = current_host()
        seen["thunk of asyncio"] = reply = scripted("async", 0.05, "io")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        trio.lowlevel.start_guest_run(
            in_trio,
            run_sync_soon_threadsafe=loop.call_soon_threadsafe,
            done_callback=lambda outcome: done.set_result(outcome),
            host_uses_signal_set_wakeup_fd=True,
        )
        outcome = await done
        assert outcome.unwrap() == "trio"
        assert await reply == "asyncio"

    asyncio.run(in_asyncio())
    assert seen["trio"] is not seen["asyncio"]
    assert str(seen["trio"]).startswith("Trio run")
    assert str(seen["asyncio"]).startswith("asyncio event loop")


def test_a_thunk_of_a_loop_in_another_thread_is_refused_with_both_names() -> None:
    ready, over = threading.Event(), threading.Event()
    kept: list[Thunk] = []
    names: list[str] = []

    async def owner() -> None:
        names.append(str(current_host()))
        reply = Reply()
        reply.feed("Hel")
        kept.append(reply.thunk)
        ready.set()
        await anyio.to_thread.run_sync(over.wait)
        reply.end()
        assert await reply.thunk == "Hel"

    thread = threading.Thread(target=anyio.run, args=(owner,))
    thread.start()
    ready.wait()
    (thunk,) = kept

    async def stranger() -> None:
        names.append(str(current_host()))
        for call in (thunk.avalue, thunk.astream, thunk.cancel_generation):
            with pytest.raises(WrongEventLoop) as caught:
                await call()
            assert all(name in str(caught.value) for name in names)
            assert "await it there" in str(caught.value)
        with pytest.raises(WrongEventLoop):
            aiter(thunk)
        with pytest.raises(WrongEventLoop):
            str(thunk)
        assert thunk.partial == "Hel"

    try:
        for backend in ("asyncio", "trio"):
            del names[1:]
            anyio.run(stranger, backend=backend)
    finally:
        over.set()
        thread.join()

    async def afterwards() -> None:
        # It is known, so it is a plain value, whoever looks at it.
        assert await thunk == await thunk.astream() == str(thunk) == "Hel"

    anyio.run(afterwards)


# Loops that are closed without having been shut down.


WAITS = {
    "nobody": None,
    "avalue": lambda thunk: thunk.avalue(),
    "astream": lambda thunk: thunk.astream(),
    "wait_for_all_mots": lambda thunk: _wait_for_all([thunk]),
}


async def _wait_for_all(mots: list[Thunk]) -> None:
    from motet._thunk.fanout import wait_for_all_mots

    await wait_for_all_mots(mots)


def _start_and_close(loop: asyncio.AbstractEventLoop, wait: Any) -> Thunk:
    waiting: list[asyncio.Task[Any]] = []

    async def start() -> Thunk:
        reply = Reply()
        reply.feed("Hel")
        if wait is not None:
            waiting.append(asyncio.ensure_future(wait(reply.thunk)))
        await others_wait()
        return reply.thunk

    thunk = loop.run_until_complete(start())
    loop.close()
    for task in waiting:  # the test's own; nobody will ever resume it
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    return thunk


@pytest.mark.parametrize(
    "make", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS.keys())
def test_a_loop_that_was_closed_under_its_tasks_is_named_and_let_go(
    make: Any, wait: Any, caplog: pytest.LogCaptureFixture
) -> None:
    loop = make()
    kept = [_start_and_close(loop, wait)]
    native = weakref.ref(loop)
    del loop
    with pytest.raises(RuntimeError, match=r"is not running|is over"):
        str(kept[0])

    async def innocent() -> None:
        # Making a host here cleans up after loops that cannot do it themselves any more.
        assert await scripted("Hello") == "Hello"
        for call in (kept[0].avalue, kept[0].astream):
            with pytest.raises(GenerationCancelled, match="the event loop ended"):
                await call()

    asyncio.run(innocent())
    assert kept[0].partial == "Hel"
    assert not kept[0]._source.live
    kept.clear()
    gc.collect()
    gc.collect()
    assert not caplog.records
    if wait is None:  # a task of the test's own keeps it otherwise
        assert native() is None


def test_a_loop_may_be_left_and_run_again() -> None:
    loop = asyncio.new_event_loop()

    async def start() -> Reply:
        return Reply()

    async def finish(reply: Reply) -> str:
        reply.feed("Hello")
        reply.end()
        return await reply.thunk

    reply = loop.run_until_complete(start())
    assert loop.run_until_complete(finish(reply)) == "Hello"
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@every_runner
def test_waiting_for_every_other_task_of_the_loop_does_not_hang(run: Any) -> None:
    """As `asyncio.gather(*all_tasks())` does at the end of some programs."""

    async def main() -> None:
        thunk = scripted("Hello")
        if sys.modules.get("asyncio") and asyncio._get_running_loop() is not None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            with anyio.fail_after(60):
                await asyncio.gather(*others)
        assert await thunk == "Hello"

    run(main)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio has eager tasks since Python 3.12")
class TestEagerTasks:
    """`asyncio.eager_task_factory` runs a task's first step inside `create_task`."""

    @staticmethod
    def run(main: Callable[[], Awaitable[Any]]) -> Any:
        async def eager() -> Any:
            factory: Any = vars(asyncio)["eager_task_factory"]
            asyncio.get_running_loop().set_task_factory(factory)
            return await main()

        return asyncio.run(eager())

    def test_a_reply_that_needs_no_wait_is_not_computed_by_the_call(self) -> None:
        async def main() -> None:
            thunk = scripted("Hello")
            assert not thunk.is_computed()
            assert thunk.value is None
            assert await thunk == "Hello"

        self.run(main)

    def test_replies_that_wait_fail_or_are_given_up_end_as_always(self) -> None:
        async def main() -> None:
            with no_leaks():
                assert await scripted("Hel", 0.001, "lo") == "Hello"
                with pytest.raises(OSError, match="cable"):
                    await scripted("Hel", OSError("cable"))
                reply = Reply(linger=0)
                reply.feed("a")
                assert await reply.thunk.astream() == "a"
                await reply.thunk.cancel_generation()
                assert reply.thunk.value == "a"
                with anyio.move_on_after(0.001):
                    await (given_up := Reply(linger=0)).thunk
                await others_wait()
                assert given_up.stopped

        self.run(main)

    def test_the_end_of_a_task_is_told_once(self) -> None:
        ended: list[str] = []

        async def nothing() -> None:
            pass

        async def main() -> None:
            spawn(current_host(), nothing, ended)
            spawn(current_host(), anyio.lowlevel.checkpoint, ended)
            await others_wait()

        self.run(main)
        assert ended == ["end", "end"]


@pytest.mark.anyio
@on_virtual_time
async def test_the_host_does_not_keep_a_virtual_clock_from_jumping() -> None:
    current_host()
    await anyio.sleep(24 * 3600)
    assert current_host().time() == 24 * 3600
