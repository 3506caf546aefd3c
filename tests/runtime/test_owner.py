"""Who owns what runs: jobs that end together, and when their owner says so."""

import anyio
import anyio.lowlevel
import pytest

from motet._runtime.host import current_host
from motet._runtime.owner import Owner
from motet._thunk.generation import Generation
from motet._values.errors import GenerationCancelled, SessionClosed
from motet._values.states import GenerationState
from motet.testing.leaks import no_leaks
from thunk.by_hand import Reply, others_wait, produced, scripted

pytestmark = pytest.mark.anyio


async def test_closing_stops_every_job_and_returns_when_they_have_unwound() -> None:
    owner = Owner(current_host(), "the session 1")
    with no_leaks():
        replies = [Reply(owner=owner) for _ in range(5)]
        await others_wait()
        assert owner.jobs == 5
        await owner.aclose("it was closed")
        assert all(reply.stopped for reply in replies)
    assert owner.jobs == 0
    for reply in replies:
        with pytest.raises(GenerationCancelled, match="it was closed"):
            await reply.thunk
        assert not reply.thunk.cancelled


async def test_closing_stops_jobs_that_have_not_begun() -> None:
    owner = Owner(current_host(), "the session 1")
    with no_leaks():
        reply = Reply(owner=owner)
        await owner.aclose("it was closed")
    assert reply.generation.state is GenerationState.ABANDONED


async def test_what_is_over_is_owned_no_more() -> None:
    owner = Owner(current_host(), "the session 1")
    good, bad = scripted("a", owner=owner), scripted(OSError("cable"), owner=owner)
    assert await good == "a"
    with pytest.raises(OSError, match="cable"):
        await bad
    given_up = Reply(owner=owner)
    await given_up.thunk.cancel_generation()
    assert owner.jobs == 0
    await owner.aclose("it was closed")
    assert await good == "a"


async def test_a_closed_owner_takes_no_jobs_and_says_why() -> None:
    owner = Owner(current_host(), "the session 1")
    await owner.aclose("its block was left")
    with no_leaks(), pytest.raises(SessionClosed, match=r"session 1.*its block was left"):
        Reply(owner=owner)
    assert owner.jobs == 0


async def test_stopping_not_for_good_lets_new_jobs_in() -> None:
    owner = Owner(current_host(), "the session 1")
    reply = Reply(owner=owner)
    await owner.aclose("it was cleaned up", for_good=False)
    assert not reply.generation.live
    assert await scripted("a", owner=owner) == "a"


async def test_closing_twice_and_from_several_tasks_is_harmless() -> None:
    owner = Owner(current_host(), "the session 1")
    for _ in range(3):
        Reply(owner=owner)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(owner.aclose, "it was closed")
            await owner.aclose("it was closed")
        await owner.aclose("it was closed")
    assert owner.jobs == 0


async def test_the_first_reason_counts() -> None:
    owner = Owner(current_host(), "the session 1")
    reply = Reply(owner=owner)
    owner.stop("the first reason")
    owner.stop("another")
    with pytest.raises(GenerationCancelled, match="the first reason"):
        await reply.thunk
    with pytest.raises(SessionClosed, match="the first reason"):
        Reply(owner=owner)


async def test_closing_waits_for_the_jobs_also_when_its_caller_is_cancelled() -> None:
    owner = Owner(current_host(), "the session 1")
    released = anyio.Event()
    ended: list[str] = []

    async def produce(_: Generation) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await released.wait()
            ended.append("job")

    produced(produce, owner=owner)
    await others_wait()

    async def close(scope: anyio.CancelScope) -> None:
        with scope:
            await owner.aclose("it was closed")
            ended.append("closed")
            await anyio.lowlevel.checkpoint()
        assert scope.cancelled_caught

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(close, scope := anyio.CancelScope())
        await others_wait()
        scope.cancel()
        await others_wait()
        assert ended == []
        released.set()
    assert ended == ["job", "closed"]


async def test_jobs_of_two_owners_do_not_mix() -> None:
    one, other = (Owner(current_host(), f"the session {number}") for number in (1, 2))
    first, second = Reply(owner=one), Reply(owner=other)
    await one.aclose("it was closed")
    assert not first.generation.live
    assert second.generation.live
    second.end()
    assert await second.thunk == ""
