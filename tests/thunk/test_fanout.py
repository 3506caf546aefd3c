"""Waiting for many replies: bad input, shared interest, errors, checks; orders are tried elsewhere."""

import asyncio
import math
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from motet._runtime.host import current_host
from motet._thunk.fanout import (
    Outcome,
    as_completed,
    first_valid,
    gather_all,
    wait_for_all_mots,
    wait_for_quorum,
)
from motet._thunk.generation import Generation
from motet._thunk.thunk import ModelOutputThunk
from motet._values.errors import (
    GenerationCancelled,
    NoValidReply,
    QuorumNotReached,
    SingleReaderError,
    WrongEventLoop,
)
from motet.testing.leaks import no_leaks
from thunk.by_hand import Reply, interest, others_wait, produced, scripted

pytestmark = pytest.mark.anyio

Thunk = ModelOutputThunk[Any]


class Own(Exception):
    """The error of a reply."""


async def arrivals(mots: Any) -> list[Thunk]:
    async with as_completed(mots) as arriving:
        return [mot async for mot in arriving]


async def quorum_of_one(mots: Any) -> list[Thunk]:
    return await wait_for_quorum(mots, 1)


Call = Callable[[Any], Awaitable[Any]]
CALLS: dict[str, Call] = {
    "wait_for_all_mots": wait_for_all_mots,
    "gather_all": gather_all,
    "as_completed": arrivals,
    "first_valid": first_valid,
    "wait_for_quorum": quorum_of_one,
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


# What may be given.


@every_call
@pytest.mark.parametrize(
    ("mots", "said"),
    [
        (None, "NoneType"),
        (3, "int"),
        (["text"], "element 0 is a str"),
        ([ModelOutputThunk("a"), None], "element 1 is a NoneType"),
        (ModelOutputThunk("a"), "not one ModelOutputThunk"),
    ],
)
async def test_what_is_no_list_of_thunks_is_refused_by_name(
    call: Call, mots: Any, said: str
) -> None:
    with pytest.raises(TypeError, match="mots should be") as caught:
        await call(mots)
    assert said in str(caught.value)


@every_call
async def test_a_call_that_was_not_awaited_is_named(call: Call) -> None:
    async def ainstruct() -> None: ...

    forgotten = ainstruct()
    with pytest.raises(TypeError, match="`await` the call first"):
        await call([forgotten])
    forgotten.close()


@every_call
async def test_a_blank_is_refused_before_anything_is_awaited(call: Call) -> None:
    reply = Reply()
    with pytest.raises(RuntimeError, match="nothing to wait for"):
        await call([reply.thunk, ModelOutputThunk(None)])
    assert interest(reply.thunk) == 0


@every_call
async def test_a_thunk_of_another_loop_is_refused_before_anything_is_awaited(call: Call) -> None:
    def elsewhere() -> Thunk:
        kept: list[Thunk] = []

        async def main() -> None:
            kept.append(Reply().thunk)
            await others_wait()

        anyio.run(main)
        return kept[0]

    foreign = await anyio.to_thread.run_sync(elsewhere)
    # What a loop that is over has left is known, so it may be waited for: it has failed.
    reply = Reply()
    if call is not gather_all and call is not arrivals:
        with pytest.raises((GenerationCancelled, NoValidReply, QuorumNotReached)):
            await call([foreign])

    ready, over = anyio.Event(), anyio.Event()
    alive: list[Thunk] = []

    async def other_loop() -> None:
        alive.append(Reply().thunk)
        anyio.from_thread.run_sync(ready.set, token=token)
        await anyio.to_thread.run_sync(lambda: anyio.from_thread.run(over.wait, token=token))

    token = anyio.lowlevel.current_token()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, lambda: anyio.run(other_loop))
        await ready.wait()
        try:
            with pytest.raises(WrongEventLoop) as caught:
                await call([reply.thunk, alive[0]])
        finally:
            over.set()
    assert interest(reply.thunk) == 0
    assert str(current_host()) in str(caught.value)
    assert "asyncio event loop #" in str(caught.value)


async def test_nothing_to_wait_for_is_fine_where_nothing_is_asked_of_it() -> None:
    await wait_for_all_mots([])
    assert await gather_all([]) == []
    assert await arrivals([]) == []
    with pytest.raises(ValueError, match="mots"):
        await first_valid([])
    with pytest.raises(ValueError, match="mots"):
        await wait_for_quorum([], 1)


@every_call
async def test_values_by_hand_and_computed_thunks_are_there_at_once(call: Call) -> None:
    computed = scripted("b")
    await computed
    await call([ModelOutputThunk("a"), computed])


@every_call
@pytest.mark.parametrize("kind", [list, tuple, set, iter])
async def test_any_iterable_will_do(call: Call, kind: Any) -> None:
    await call(kind([scripted("a"), scripted("b")]))


async def test_the_same_thunk_may_stand_there_twice() -> None:
    thunk, other = scripted("a"), scripted("b")
    await wait_for_all_mots([thunk, other, thunk])
    assert (thunk.value, other.value) == ("a", "b")
    thunk = scripted("a")
    assert [outcome.value for outcome in await gather_all([thunk, thunk])] == ["a", "a"]
    assert await arrivals([thunk, thunk]) == [thunk]


@pytest.mark.parametrize("k", [0, -1, 1.5, "1", None, True])
async def test_a_quorum_is_a_whole_number(k: Any) -> None:
    with pytest.raises(ValueError, match="k should be"):
        await wait_for_quorum([scripted("a")], k)


async def test_a_quorum_of_more_than_there_are_is_refused_at_once() -> None:
    reply = Reply()
    with pytest.raises(ValueError, match="mots should be at least 2, and their number is 1"):
        await wait_for_quorum([reply.thunk], 2)
    assert interest(reply.thunk) == 0


# Whom it concerns.


async def test_all_thunks_are_computed_afterwards() -> None:
    mots = [scripted(text) for text in "abc"]
    assert await wait_for_all_mots(mots) is None  # type: ignore[func-returns-value]
    assert [mot.value for mot in mots] == ["a", "b", "c"]
    assert all(mot.is_computed() for mot in mots)


@pytest.mark.parametrize("call", [wait_for_all_mots, first_valid, quorum_of_one, arrivals])
async def test_what_somebody_else_waits_for_is_not_stopped(call: Call) -> None:
    kept, lost = Reply(linger=0), Reply(linger=0)
    texts: list[str] = []

    async def wait() -> None:
        texts.append(await kept.thunk)

    async def fail_or_win() -> None:
        mots = [
            kept.thunk,
            lost.thunk,
            scripted("a", *([Own()] if call is wait_for_all_mots else [])),
        ]
        if call is arrivals:
            async with as_completed(mots) as arriving:
                async for _ in arriving:
                    break
        elif call is wait_for_all_mots:
            with pytest.raises(Own):
                await call(mots)
        else:
            await call(mots)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await others_wait()
        await fail_or_win()
        assert lost.stopped
        assert not kept.stopped
        assert interest(kept.thunk) == 1
        kept.feed("Hello")
        kept.end()
    assert texts == ["Hello"]
    with pytest.raises(GenerationCancelled):
        await lost.thunk


async def test_a_thunk_that_had_failed_before_counts_as_the_first() -> None:
    failed = scripted(Own("early"))
    await others_wait()
    reply = Reply()
    with pytest.raises(Own, match="early"):
        await wait_for_all_mots([reply.thunk, failed])
    assert reply.stopped


async def test_the_first_failure_in_time_is_raised_bare_with_its_cause() -> None:
    cause = OSError("cable")

    async def break_down(_: Generation) -> None:
        await anyio.lowlevel.checkpoint()
        raise Own("broken") from cause

    thunk = produced(break_down)
    siblings = [Reply() for _ in range(3)]
    with pytest.raises(Own) as caught:
        await wait_for_all_mots([siblings[0].thunk, thunk, *(each.thunk for each in siblings)])
    assert caught.value is thunk._source.error
    assert caught.value.__cause__ is cause
    assert not isinstance(caught.value.__context__, BaseExceptionGroup)
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert names[1] == "wait_for_all_mots"
    assert names[-1] == "break_down"
    assert all(each.stopped for each in siblings)


async def test_finished_results_stay_readable_when_another_fails() -> None:
    good = scripted("good")
    await others_wait()
    with pytest.raises(Own):
        await wait_for_all_mots([good, scripted(Own())])
    assert good.is_computed()
    assert good.value == "good"


async def test_siblings_have_unwound_before_the_error_is_raised() -> None:
    order: list[str] = []

    async def slow_to_stop(_: Generation) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                for _ in range(5):
                    await anyio.lowlevel.checkpoint()
            order.append("unwound")

    slow = produced(slow_to_stop)
    failing = Reply()
    async with anyio.create_task_group() as tasks:

        async def wait() -> None:
            with pytest.raises(Own):
                await wait_for_all_mots([slow, failing.thunk])
            order.append("raised")

        tasks.start_soon(wait)
        await others_wait()
        failing.end(Own())
    assert order == ["unwound", "raised"]


async def test_interest_is_given_back_by_every_call() -> None:
    for call in CALLS.values():
        mots = [scripted("a"), scripted("b")]
        with no_leaks():
            await call(mots)
        assert [interest(mot) for mot in mots] == [0, 0]


async def test_two_calls_may_share_their_thunks() -> None:
    replies = [Reply() for _ in range(3)]
    mots = [reply.thunk for reply in replies]
    results: list[Any] = []

    async def take(call: Call) -> None:
        results.append(await call(mots))

    async with anyio.create_task_group() as tasks:
        for call in (wait_for_all_mots, gather_all, arrivals):
            tasks.start_soon(take, call)
        await others_wait()
        assert [interest(mot) for mot in mots] == [3] * 3
        for reply in replies:
            reply.end()
    assert len(results) == 3


async def test_a_thousand_replies_start_no_task_each() -> None:
    replies = [Reply() for _ in range(1000)]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait_for_all_mots, [reply.thunk for reply in replies])
        await others_wait()
        names = [task.name for task in anyio.get_running_tasks()]
        assert names.count("motet generation") == 1000
        assert len(names) < 1020
        for reply in replies:
            reply.end()
    assert all(reply.thunk.is_computed() for reply in replies)


# `gather_all`.


async def test_outcomes_come_in_the_order_of_the_thunks() -> None:
    first, second, third = Reply(), scripted("b", Own("broken")), scripted("c")

    async def end_last() -> None:
        await others_wait()
        first.feed("a")
        first.end()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(end_last)
        outcomes = await gather_all([first.thunk, second, third])
    assert [outcome.value for outcome in outcomes] == ["a", None, "c"]
    assert [outcome.ok for outcome in outcomes] == [True, False, True]
    assert [outcome.mot for outcome in outcomes] == [first.thunk, second, third]
    assert outcomes[0].unwrap() == "a"
    assert outcomes[1].error is second._source.error
    with pytest.raises(Own):
        outcomes[1].unwrap()


def test_an_outcome_says_how_a_reply_ended() -> None:
    thunk: Thunk = ModelOutputThunk("")
    assert Outcome(thunk, "", None).ok
    assert Outcome(thunk, "", None).unwrap() == ""


# `as_completed`.


async def test_thunks_come_in_the_order_in_which_they_end() -> None:
    replies = [Reply() for _ in range(4)]
    came: list[int] = []
    mots = [reply.thunk for reply in replies]

    async def take() -> None:
        async with as_completed(mots) as arriving:
            async for mot in arriving:
                came.append(mots.index(mot))
                if mot is mots[1]:
                    with pytest.raises(Own):
                        await mot
                else:
                    assert await mot == ""

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take)
        for number in (2, 0, 3, 1):
            await others_wait()
            replies[number].end(Own() if number == 1 else None)
    assert came == [2, 0, 3, 1]


async def test_as_completed_without_a_block_says_that_it_needs_one() -> None:
    thunk = scripted("a")
    await thunk
    with no_leaks(), pytest.raises(TypeError, match="async with as_completed"):
        async for _ in as_completed([thunk]):
            pass


async def test_as_completed_that_is_never_entered_takes_no_interest() -> None:
    thunk = scripted("a")
    with no_leaks():
        as_completed([thunk])
        assert interest(thunk) == 0
        await thunk


async def test_as_completed_is_used_once() -> None:
    completed = as_completed([scripted("a")])
    async with completed:
        pass
    with pytest.raises(RuntimeError, match="make a new one"):
        async with completed:
            pass


async def test_a_second_task_that_waits_for_the_next_arrival_is_refused() -> None:
    reply = Reply()
    came: list[Thunk] = []
    async with as_completed([reply.thunk]) as arriving, anyio.create_task_group() as tasks:

        async def take() -> None:
            came.append(await anext(arriving))

        tasks.start_soon(take)
        await others_wait()
        with pytest.raises(SingleReaderError):
            await anext(arriving)
        reply.end()
    assert came == [reply.thunk]


async def test_arrivals_that_have_ended_stay_ended() -> None:
    async with as_completed([scripted("a")]) as arriving:
        await anext(arriving)
        for _ in range(2):
            with pytest.raises(StopAsyncIteration):
                await anext(arriving)


async def test_a_wait_for_the_next_arrival_that_is_cancelled_loses_none() -> None:
    replies = [Reply(linger=math.inf) for _ in range(3)]
    came: list[Thunk] = []
    async with as_completed([reply.thunk for reply in replies]) as arriving:
        for reply in replies:
            with anyio.CancelScope() as scope:
                scope.cancel()
                await anext(arriving)
            reply.end()
            await others_wait()
            came.append(await anext(arriving))
    assert came == [reply.thunk for reply in replies]


@pytest.mark.parametrize("anyio_backend", ["asyncio", "uvloop"], indirect=True)
async def test_a_native_cancellation_in_the_tick_of_an_arrival_loses_none() -> None:
    reply = Reply()
    async with as_completed([reply.thunk]) as arriving:
        waiter = asyncio.ensure_future(anext(arriving))
        await others_wait()
        reply.generation.watch(lambda _: waiter.cancel())
        reply.end()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        with anyio.fail_after(5):
            assert await anext(arriving) is reply.thunk


# `first_valid`.


@pytest.mark.parametrize("kind", ["sync", "async", "awaitable"])
async def test_the_first_that_passes_the_check_wins_and_the_others_are_stopped(kind: str) -> None:
    def check(mot: Thunk) -> Any:
        assert mot.is_computed()
        verdict = mot.value == "good"

        async def later() -> bool:
            await anyio.lowlevel.checkpoint()
            return verdict

        return verdict if kind == "sync" else later()

    async def acheck(mot: Thunk) -> bool:
        return bool(await check(mot))

    good, never = Reply(), Reply(linger=math.inf)
    good.feed("good")
    mots = [never.thunk, scripted("bad"), scripted("good", Own()), good.thunk]
    await others_wait()
    good.end()
    winner = await first_valid(mots, acheck if kind == "async" else check)
    assert winner is good.thunk
    assert never.stopped


async def test_without_a_valid_reply_the_errors_of_the_failed_are_told() -> None:
    error = Own("broken")
    with pytest.raises(NoValidReply) as caught:
        await first_valid([scripted("bad"), scripted(error)], lambda mot: mot.value == "good")
    assert caught.value.errors == [error]
    assert "broken" in str(caught.value)
    assert "2" in str(caught.value)


@pytest.mark.parametrize("check", [3, "text", []])
async def test_a_check_that_cannot_be_called_is_refused_at_once(check: Any) -> None:
    reply = Reply()
    with pytest.raises(TypeError, match="check should be"):
        await first_valid([reply.thunk], check)


async def test_an_error_of_the_check_is_raised_and_everything_stopped() -> None:
    never = Reply(linger=math.inf)
    with pytest.raises(ZeroDivisionError):
        await first_valid([scripted("a"), never.thunk], lambda _: 1 / 0 > 1)
    assert never.stopped


async def test_a_check_that_is_cancelled_gives_the_interest_back() -> None:
    never = Reply(linger=0)

    async def check(_: Thunk) -> bool:
        await anyio.sleep_forever()
        return True

    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:

            async def race() -> None:
                await first_valid([scripted("a"), never.thunk], check)

            tasks.start_soon(race)
            await others_wait()
            scope.cancel()
    await others_wait()
    assert interest(never.thunk) == 0
    assert never.stopped


# `wait_for_quorum`.


async def test_a_quorum_comes_in_the_order_of_the_ends() -> None:
    replies = [Reply() for _ in range(4)]
    winners: list[Thunk] = []

    async def take() -> None:
        winners.extend(await wait_for_quorum([reply.thunk for reply in replies], 2))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take)
        for number in (3, 1):
            await others_wait()
            replies[number].end()
    assert winners == [replies[3].thunk, replies[1].thunk]
    assert replies[0].stopped
    assert replies[2].stopped


async def test_a_quorum_that_cannot_be_reached_is_told_at_once() -> None:
    never = Reply()
    with pytest.raises(QuorumNotReached) as caught:
        await wait_for_quorum([never.thunk, scripted(Own("a")), scripted(Own("b"))], 2)
    assert {str(error) for error in caught.value.errors} == {"a", "b"}
    assert never.stopped


# Errors that are no Exceptions.


@pytest.mark.parametrize("call", [wait_for_all_mots, gather_all, first_valid])
async def test_a_system_exit_in_a_generation_is_nobody_elses_to_collect(call: Call) -> None:
    never = Reply(linger=0)
    with pytest.raises(SystemExit):
        await call([never.thunk, scripted(SystemExit(3))])
    await others_wait()
    assert interest(never.thunk) == 0
    assert never.stopped
