"""A backend that fails, or is slow, at every place where it waits."""

import contextlib
from typing import Any

import anyio
import pytest
import sniffio

import motet
from motet.testing import (
    Disturbance,
    ScriptedBackend,
    SweepFailed,
    cancel_everywhere,
    fail_everywhere,
    on_both_loops,
    slow_everywhere,
)


def backend() -> ScriptedBackend:
    return ScriptedBackend(
        {"first": ["one ", 1.0, "two"], "second": ["three ", 1.0, "four"]}.values()
    )


async def careful(backend: Any) -> list[str]:
    async with motet.open_session(backend) as m:
        thunks = [await m.ainstruct(word) for word in ("first", "second")]
        await motet.wait_for_all_mots(thunks)
        return [str(thunk.value) for thunk in thunks]


def problems(failed: SweepFailed) -> str:
    return "\n".join(each for finding in failed.report.findings for each in finding.problems)


def test_a_careful_program_survives_failures() -> None:
    for report in on_both_loops(fail_everywhere, careful, backend):
        assert report.runs == len(report.checkpoints) + 2
        assert len(report.checkpoints) == 2
        assert "scripted.py" in report.checkpoints[0].where


def test_and_slowness() -> None:
    for report in on_both_loops(slow_everywhere, careful, backend, pause=5.0):
        assert not report.findings
        assert report.checkpoints


def test_an_error_of_ones_own_may_be_injected_and_repaired() -> None:
    caught: list[str] = []

    async def scenario(backend: Any) -> str:
        async with motet.open_session(backend) as m:
            try:
                return await (await m.ainstruct("first"))
            except LookupError as exc:
                caught.append(str(exc))
                return "repaired"

    fail_everywhere(scenario, backend, error=lambda: LookupError("lost"))
    assert caught == ["lost"]


def test_another_error_than_the_injected_one_is_a_finding() -> None:
    async def scenario(backend: Any) -> None:
        async with motet.open_session(backend) as m:
            thunk = await m.ainstruct("first")
            try:
                await thunk
            except motet.BackendError:
                failed = True
            else:
                failed = False
        if failed:
            raise KeyError("a bug in what repairs")

    # Python notes what an error was raised after; this one comes later.
    with pytest.raises(SweepFailed, match="a bug in what repairs"):
        on_both_loops(fail_everywhere, scenario, backend)


def test_a_task_that_a_failure_leaves_behind_is_found() -> None:
    async def forever() -> None:
        await anyio.sleep(3600)

    async def scenario(backend: Any) -> None:
        async with motet.open_session(backend) as m:
            try:
                await (await m.ainstruct("first"))
            except motet.BackendError:
                from motet._runtime.host import current_host

                current_host().spawn(forever, name="forgotten", on_end=lambda: None)

    with pytest.raises(SweepFailed) as caught:
        on_both_loops(fail_everywhere, scenario, backend)
    assert "task 'forgotten'" in problems(caught.value)
    assert caught.value.report.findings[0].way is Disturbance.FAILED
    assert "failed in the backend" in str(caught.value)


def test_a_result_that_depends_on_time_is_found() -> None:
    async def scenario(backend: Any) -> list[str]:
        order: list[str] = []

        async def note(m: Any, word: str) -> None:
            order.append(await (await m.ainstruct(word)))

        async with motet.open_session(backend) as m, anyio.create_task_group() as tg:
            tg.start_soon(note, m, "first")
            await anyio.sleep(0.5)
            tg.start_soon(note, m, "second")
        return order

    with pytest.raises(SweepFailed) as caught:
        on_both_loops(slow_everywhere, scenario, backend, pause=9.0)
    assert "undisturbed it was" in problems(caught.value)


def test_a_scenario_that_fails_undisturbed_is_told_at_once() -> None:
    async def scenario(backend: Any) -> None:
        raise ValueError("always")

    for sweep in (fail_everywhere, slow_everywhere):
        with pytest.raises(SweepFailed, match="undisturbed") as caught:
            sweep(scenario, backend)  # type: ignore[operator]
        assert caught.value.report.runs == 1


def test_a_backend_without_end_is_given_up() -> None:
    async def scenario(backend: Any) -> None:
        async with motet.open_session(backend) as m, await m.ainstruct("first") as thunk:
            with anyio.move_on_after(50):
                await thunk

    def endless() -> ScriptedBackend:
        def steps() -> Any:
            while True:
                yield "again "
                yield 1.0

        return ScriptedBackend([steps()])

    with pytest.raises(RuntimeError, match="endless"):
        slow_everywhere(scenario, endless, limit=5)


def test_both_loops_are_run_also_when_the_first_finds_something() -> None:
    loops: list[str] = []

    async def scenario() -> None:
        loops.append(sniffio.current_async_library())
        with contextlib.suppress(BaseException):  # the bug that is planted
            await anyio.sleep(0.001)

    with pytest.raises(SweepFailed, match="swallowed"):
        on_both_loops(cancel_everywhere, scenario, virtual=False)
    assert set(loops) == {"asyncio", "trio"}
