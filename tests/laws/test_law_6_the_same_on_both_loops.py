"""Law 6. Same results, same errors, same order of events, under asyncio (uvloop too) and Trio."""

import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio
import pytest

from loops import REAL_LOOPS
from motet import (
    BackendError,
    ModelOutputThunk,
    MotetError,
    as_completed,
    first_valid,
    gather_all,
    open_session,
    wait_for_all_mots,
    wait_for_quorum,
)
from motet._runtime.host import current_host
from motet._runtime.owner import Owner
from motet.testing import (
    Drop,
    EndlessLine,
    ErrorLine,
    Garbage,
    ModelServer,
    Refuse,
    Reply,
    Reset,
    Truncate,
)
from thunk.by_hand import scripted
from virtual_time import VIRTUAL_LOOPS

Thunk = ModelOutputThunk[Any]
Event = tuple[Any, ...]


class Trace:
    """What happened, and when on the loop's clock."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def add(self, *words: Any) -> None:
        self.events.append((anyio.current_time(), *words))

    async def end_of(self, name: str, wait: Awaitable[Any]) -> None:
        """Note how a wait ends."""
        try:
            self.add(name, "has", await wait)
        except anyio.get_cancelled_exc_class():
            self.add(name, "was cancelled")
            raise
        except Exception as exc:
            self.add(name, "failed with", type(exc).__name__, str(exc))


# Deltas and deadlines fall on different moments: in one moment either loop may run its
# tasks in any order, and what happens in it is compared as a set.


async def reading(trace: Trace) -> None:
    thunk = scripted(1.0, "a", 1.0, "b", 1.0, "c", 1.0, OSError("cable"), linger=1)

    async def read() -> None:
        async for delta in thunk:
            trace.add("read", delta)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(trace.end_of, "reader", read())
        tasks.start_soon(trace.end_of, "waiter", thunk.avalue())


async def polling(trace: Trace) -> None:
    thunk = scripted(1.0, "a", 1.0, "b", 1.0, "c", linger=0.5)
    while not thunk.is_computed():
        with anyio.move_on_after(0.375) as scope:
            await trace.end_of("poll", thunk.astream())
        trace.add("late" if scope.cancelled_caught else "in time")


async def abandoning(trace: Trace) -> None:
    stopped: list[float] = []
    for linger in (0, 0.25, 2):
        thunk = scripted("a", 100.0, linger=linger, stopped=stopped)
        with anyio.move_on_after(1.5):
            await trace.end_of("wait", thunk.avalue())
        await anyio.sleep(5)
        await trace.end_of("later", thunk.avalue())
    trace.add(stopped)


async def fanning_out(trace: Trace) -> None:
    def replies(*bad: int) -> list[Thunk]:
        return [
            scripted(float(number), str(number), *([OSError(number)] if number in bad else []))
            for number in (3, 1, 2)
        ]

    await trace.end_of("all", wait_for_all_mots(replies()))
    await trace.end_of("all but one", wait_for_all_mots(replies(2)))
    outcomes = await gather_all(replies(1, 3))
    trace.add([outcome.value for outcome in outcomes])
    async with as_completed(replies(2)) as arriving:
        async for mot in arriving:
            with suppress(OSError):
                await mot
            trace.add("arrived", mot.value)
            if mot.value == "2":
                break
    trace.add((await first_valid(replies(1))).value)
    trace.add([mot.value for mot in await wait_for_quorum(replies(1), 2)])
    await trace.end_of("quorum", wait_for_quorum(replies(1, 2), 2))


async def closing(trace: Trace) -> None:
    owner = Owner(current_host(), "the session 1")
    thunks = [scripted("a", float(number), "b", owner=owner) for number in (1, 2, 3)]
    async with anyio.create_task_group() as tasks:
        for number, thunk in enumerate(thunks):
            tasks.start_soon(trace.end_of, str(number), thunk.avalue())
        await anyio.sleep(1.5)
        await thunks[1].cancel_generation()
        await anyio.sleep(0.25)
        await owner.aclose("its block was left")
        trace.add("closed")


@pytest.mark.parametrize(
    "story", [reading, polling, abandoning, fanning_out, closing], ids=lambda story: story.__name__
)
def test_the_same_things_happen_in_the_same_order_at_the_same_time(
    story: Callable[[Trace], Awaitable[None]],
) -> None:
    told: dict[str, list[Event]] = {}
    for name, make in VIRTUAL_LOOPS.items():
        trace = Trace()
        backend, options = make()
        anyio.run(story, trace, backend=backend, backend_options=options)
        told[name] = sorted(trace.events, key=lambda event: (event[0], repr(event)))
        assert [event[0] for event in told[name]] == [event[0] for event in trace.events]
    one, other = told.values()
    assert one == other
    assert len(one) > 3


STEPS: dict[str, Any] = {
    "good": Reply("Hello"),
    "empty": Reply(""),
    "cut anywhere": Reply("Grüße \U0001f512", slice_bytes=3),
    "an error line": Reply(["a", "b"], fault=ErrorLine(1)),
    "truncated": Reply(["a", "b"], fault=Truncate(1)),
    "garbage": Reply(["a", "b"], fault=Garbage(1)),
    "dropped": Reply(["a", "b"], fault=Drop(1), tokens_per_second=50),
    "dropped before the headers": Drop(0),
    "reset": Reply(["a", "b"], fault=Reset(1), tokens_per_second=50),
    "an endless line": EndlessLine(0),
    "busy": Refuse(503, headers={"retry-after": "7"}),
    "unauthorised": Refuse(401, body=b"<html>no</html>"),
}


def test_a_server_gives_the_same_results_and_errors_on_every_loop(server: ModelServer) -> None:
    async def call(step: Any, reader: str) -> Event:
        server.script([step])
        async with open_session(base_url=server.url) as session:
            thunk = await session.ainstruct("Say something.")
            try:
                if reader == "astream":
                    while not thunk.is_computed():
                        await thunk.astream()
                return ("text", await thunk)
            except BackendError as exc:
                return (type(exc), exc.message, exc.phase, exc.attempt, exc.partial, exc.model)
            except MotetError as exc:
                return (type(exc), str(exc))

    seen: dict[str, list[Event]] = {}
    for loop, (backend, options) in REAL_LOOPS.items():
        seen[loop] = [
            anyio.run(call, step, reader, backend=backend, backend_options=options)
            for step in STEPS.values()
            for reader in ("avalue", "astream")
        ]
    assert seen["asyncio"] == seen["trio"] == seen["uvloop"]
    assert seen["trio"][:2] == [("text", "Hello")] * 2


PROGRAM = """
import sys
import {library} as library
import motet
from motet._http import lease
from motet.backends.ollama import OllamaModelBackend

async def main():
    async with motet.open_session(base_url="http://127.0.0.1:9") as session:
        thunk = await session.ainstruct("Say something.")
        try:
            await thunk
        except motet.BackendUnavailable:
            pass

library.run(main() if {library!r} == "asyncio" else main)
print(sorted({{"asyncio", "trio"}} & sys.modules.keys()))
"""


def test_a_program_on_asyncio_never_loads_trio() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(library="asyncio")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == "['asyncio']"
