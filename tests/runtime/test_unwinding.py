"""Closing from inside: nothing waits for its own end, alone or in a circle."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from motet._runtime.host import current_host
from motet._runtime.owner import Owner
from motet._thunk.generation import Generation
from motet._thunk.thunk import ModelOutputThunk
from motet._values.errors import GenerationCancelled
from motet.testing.leaks import no_leaks
from thunk.by_hand import produced
from virtual_time import on_virtual_time

pytestmark = [pytest.mark.anyio, on_virtual_time]

Thunk = ModelOutputThunk[Any]


def begin(fn: Callable[[], Awaitable[object]], owner: Owner | None = None) -> Thunk:
    async def produce(_: Generation) -> None:
        await fn()

    return produced(produce, owner=owner)


class Sleeper:
    """A job that takes a second to unwind."""

    def __init__(self, owner: Owner | None = None) -> None:
        self.unwound = False
        self.thunk = begin(self.run, owner)

    async def run(self) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(1)
            self.unwound = True


async def test_a_job_that_closes_its_owner_waits_for_the_others_alone() -> None:
    owner = Owner(current_host(), "the session 1")
    went_on: list[bool] = []

    async def close() -> None:
        await anyio.sleep(1)
        try:
            await owner.aclose("it was closed")
        finally:
            went_on.append(other.unwound)
        went_on.append(False)

    with no_leaks(), anyio.fail_after(5):
        other = Sleeper(owner)
        thunk = begin(close, owner)
        with pytest.raises(GenerationCancelled, match="it was closed"):
            await thunk
    assert went_on == [True]  # it was cancelled in there, after the other had unwound
    assert owner.jobs == 0


async def test_jobs_that_close_their_owner_at_the_same_time_all_end() -> None:
    owner = Owner(current_host(), "the session 1")

    async def close() -> None:
        await anyio.sleep(1)
        await owner.aclose("it was closed")

    with no_leaks(), anyio.fail_after(5):
        thunks = [begin(close, owner) for _ in range(3)]
        await anyio.sleep(0.5)
        await owner.aclose("it was closed outside")
        for thunk in thunks:
            with pytest.raises(GenerationCancelled):
                await thunk


async def test_jobs_that_close_each_others_owners_end() -> None:
    owners = [Owner(current_host(), f"the session {number}") for number in range(3)]

    async def close(number: int) -> None:
        await anyio.sleep(1)
        await owners[(number + 1) % 3].aclose("it was closed")

    with no_leaks(), anyio.fail_after(5):
        thunks = [begin(lambda n=number: close(n), owners[number]) for number in range(3)]  # type: ignore[misc]
        # One that was cancelled before it could close anything leaves another alone.
        lost = 0
        for thunk in thunks:
            try:
                await thunk
            except GenerationCancelled:
                lost += 1
        assert lost


@pytest.mark.parametrize("in_child", [False, True])
async def test_a_job_that_cancels_its_own_thunk_is_cancelled(in_child: bool) -> None:
    async def cancel() -> None:
        await box[0].cancel_generation("it looked at itself")

    async def work() -> None:
        if not in_child:
            await cancel()
        else:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(cancel)
                tasks.start_soon(anyio.sleep_forever)
        raise AssertionError

    box: list[Thunk] = []
    with no_leaks(), anyio.fail_after(5):
        box.append(begin(work))
        assert await box[0] == ""
    assert box[0].cancelled


async def test_a_job_that_was_started_inside_waits_for_the_one_that_started_it() -> None:
    unwound: list[bool] = []

    async def close() -> None:
        await outer.thunk.cancel_generation()
        unwound.append(outer.unwound)

    class Starts(Sleeper):
        async def run(self) -> None:
            self.inner = begin(close)
            await super().run()

    with no_leaks(), anyio.fail_after(5):
        outer = Starts()
        assert await outer.thunk == ""
        await outer.inner
    assert unwound == [True]


async def test_a_job_whose_block_waits_for_another_is_not_waited_for_by_that() -> None:
    async def close() -> None:
        await anyio.sleep(1)
        await owner.aclose("it was closed")

    async def work() -> None:
        async with begin(close) as inner:
            await inner

    owner = Owner(current_host(), "the session 1")
    with no_leaks(), anyio.fail_after(5):
        thunk = begin(work, owner)
        with pytest.raises(GenerationCancelled, match="it was closed"):
            await thunk
        await anyio.sleep(1)  # the inner one ends after the one that waited for it
