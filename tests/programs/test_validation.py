"""All requirements of one output are validated at the same time."""

import threading
from collections.abc import Mapping
from typing import Any

import anyio
import anyio.to_thread
import pytest

from motet import Backend, Context, ModelOutputThunk, SimpleContext
from motet._language.requirement import Requirement, ValidationResult
from motet._programs.validation import validate_all
from motet.testing import ScriptedBackend, ScriptedRequest
from programs.scripted import broken, stopped
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
