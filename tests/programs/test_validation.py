"""All requirements of one output are validated at the same time."""

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

import anyio
import anyio.to_thread
import pytest

from motet import (
    Backend,
    Context,
    ModelOutputThunk,
    RejectionSamplingStrategy,
    SimpleContext,
    open_session,
)
from motet._language.requirement import Requirement, ValidationResult
from motet._programs.validation import validate_all
from motet.testing import ScriptedBackend, ScriptedRequest
from programs.scripted import broken, stopped
from thunk.by_hand import stray
from virtual_time import on_virtual_time

pytestmark = pytest.mark.anyio

CTX = SimpleContext().add(ModelOutputThunk("an answer"))


def by_description(asked: ScriptedRequest) -> list[Any]:
    prompt = asked.prompt
    """Judge as the requirement says: after how many seconds, and what."""
    seconds, said = prompt.rpartition("Requirement: ")[2].split()
    return [float(seconds), broken() if said == "break" else said]


@on_virtual_time
async def test_judges_work_at_the_same_time_and_results_keep_their_order() -> None:
    backend = ScriptedBackend(by_description)
    results = await validate_all(
        [Requirement("3 yes"), Requirement("1 no"), Requirement("2 yes"), Requirement("1 no")],
        backend,
        CTX,
    )
    assert [bool(result) for result in results] == [True, False, True, False]
    assert anyio.current_time() == 3
    assert backend.most_open_replies == 4


@on_virtual_time
async def test_the_same_requirement_twice_is_validated_twice() -> None:
    counted: list[None] = []

    def count(ctx: Context) -> bool:
        counted.append(None)
        return True

    twice = Requirement("x", count)
    assert len(await validate_all([twice, twice], ScriptedBackend("yes"), CTX)) == 2
    assert len(counted) == 2


@on_virtual_time
@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("after", [0, 1])
async def test_a_check_that_lets_out_a_cancellation_nobody_asked_for_fails(
    before: int, after: int
) -> None:
    ended: list[bool] = []

    async def long(ctx: Context) -> bool:
        try:
            await anyio.sleep(3600)
        finally:
            ended.append(True)
        raise AssertionError

    async def check(ctx: Context) -> bool:
        await anyio.sleep(1)
        await stray()
        raise AssertionError

    others = [[Requirement("x", long)] * count for count in (before, after)]
    requirements = [*others[0], Requirement("x", check), *others[1]]
    with pytest.raises(RuntimeError, match="nothing had cancelled") as caught:
        await validate_all(requirements, ScriptedBackend("yes"), CTX)
    assert isinstance(caught.value.__cause__, anyio.get_cancelled_exc_class())
    assert len(ended) == before + after


async def test_so_does_the_call_it_judges() -> None:
    async def check(ctx: Context) -> bool:
        await stray()
        raise AssertionError

    async with open_session(ScriptedBackend("answer")) as m:
        thunk = await m.ainstruct(
            "go",
            requirements=[Requirement("x", check)],
            strategy=RejectionSamplingStrategy(loop_budget=2),
        )
        with anyio.fail_after(10), pytest.raises(RuntimeError, match="nothing had cancelled"):
            await thunk


@on_virtual_time
@pytest.mark.parametrize("count", [1, 2])
async def test_a_check_that_is_cancelled_is_cancelled(count: int) -> None:
    async def long(ctx: Context) -> bool:
        await anyio.sleep(3600)
        raise AssertionError

    with anyio.move_on_after(1) as scope:
        await validate_all([Requirement("x", long)] * count, ScriptedBackend("yes"), CTX)
    assert scope.cancelled_caught


@pytest.mark.parametrize("anyio_backend", ["asyncio", "uvloop"], indirect=True)
@pytest.mark.parametrize("count", [1, 2])
async def test_so_is_one_that_asyncio_cancels(count: int) -> None:
    async def long(ctx: Context) -> bool:
        await anyio.sleep_forever()
        raise AssertionError

    task = asyncio.ensure_future(
        validate_all([Requirement("x", long)] * count, ScriptedBackend("yes"), CTX)
    )
    await anyio.wait_all_tasks_blocked()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


@on_virtual_time
async def test_nothing_to_validate_is_no_result() -> None:
    assert await validate_all([], ScriptedBackend("yes"), CTX) == []


@on_virtual_time
async def test_the_first_that_raises_stops_the_others_and_comes_out_bare() -> None:
    backend = ScriptedBackend(by_description)

    async def fail(ctx: Context) -> bool:
        await anyio.sleep(1)
        raise LookupError("a bug of the caller's")

    with pytest.raises(LookupError, match="a bug of the caller's"):
        await validate_all(
            [Requirement("60 yes"), Requirement("x", fail), Requirement("2 break")], backend, CTX
        )
    assert stopped(backend) == [1, 1]
    assert backend.open_replies == 0
    assert anyio.current_time() == 1


@on_virtual_time
async def test_the_judges_error_comes_out() -> None:
    with pytest.raises(type(broken()), match="the script says so"):
        await validate_all(
            [Requirement("60 yes"), Requirement("1 break")], ScriptedBackend(by_description), CTX
        )


@on_virtual_time
async def test_an_override_may_return_a_bool() -> None:
    class Never(Requirement):
        async def validate(  # type: ignore[override]  # what many would write
            self,
            backend: Backend,
            ctx: Context,
            *,
            format: Any = None,
            model_options: Mapping[str, Any] | None = None,
        ) -> bool:
            return False

    results = await validate_all([Never()], ScriptedBackend("yes"), CTX)
    assert results == [ValidationResult(False)]


@on_virtual_time
async def test_giving_up_stops_every_judge_at_once() -> None:
    backend = ScriptedBackend(by_description)
    with anyio.move_on_after(2):
        await validate_all([Requirement("60 yes"), Requirement("70 no")], backend, CTX)
    assert stopped(backend) == [2, 2]


async def test_a_function_in_a_worker_thread_is_waited_for_when_given_up() -> None:
    backend = ScriptedBackend(by_description)
    begun, release, ended = threading.Event(), threading.Event(), threading.Event()

    def block(ctx: Context) -> bool:
        begun.set()
        release.wait()
        ended.set()
        return True

    async with anyio.create_task_group() as group:

        async def give_up() -> None:
            await anyio.to_thread.run_sync(begun.wait)
            group.cancel_scope.cancel()
            release.set()

        group.start_soon(give_up)
        blocking = [Requirement("x", block, in_thread=True), Requirement("600 yes")]
        await validate_all(blocking, backend, CTX)
    assert ended.is_set()
    assert backend.open_replies == 0
