"""Law 5. An outcome is written once; every later wait gives the same value or raises the same error."""

import copy
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest

from motet import (
    GenerationCancelled,
    ModelOutputThunk,
    as_completed,
    first_valid,
    gather_all,
    open_session,
    wait_for_all_mots,
)
from motet._values.errors import ReplyError
from motet._values.states import GenerationState
from motet.testing import ErrorLine, ModelServer, Reply, Stall
from thunk.by_hand import Reply as HandFed
from thunk.by_hand import others_wait

Thunk = ModelOutputThunk[Any]


class Own(Exception):
    """An error of the test's."""


async def by_await(thunk: Thunk) -> str:
    return await thunk


async def by_wait_for_all(thunk: Thunk) -> str | None:
    await wait_for_all_mots([thunk])
    return thunk.value


async def by_gather(thunk: Thunk) -> str:
    (outcome,) = await gather_all([thunk])
    return outcome.unwrap()


async def by_arrivals(thunk: Thunk) -> str:
    async with as_completed([thunk]) as arriving:
        return await (await anext(arriving))


async def by_str(thunk: Thunk) -> str:
    if thunk._source.live:
        return await anyio.to_thread.run_sync(str, thunk)
    return str(thunk)


async def by_copy(thunk: Thunk) -> str:
    return await copy.deepcopy(thunk) if not thunk._source.live else await thunk


WAYS: dict[str, Callable[[Thunk], Awaitable[Any]]] = {
    "await": by_await,
    "avalue": ModelOutputThunk.avalue,
    "wait_for_all_mots": by_wait_for_all,
    "gather_all": by_gather,
    "as_completed": by_arrivals,
    "str": by_str,
}


async def outcome_of(wait: Awaitable[Any]) -> Any:
    try:
        return await wait
    except Exception as exc:
        return exc


def stop(reply: HandFed) -> None:
    reply.generation.stop("the test wants it")


async def cancel(reply: HandFed) -> None:
    await reply.thunk.cancel_generation()


ENDS: dict[str, Callable[[HandFed], Any]] = {
    "done": lambda reply: reply.end(),
    "failed": lambda reply: reply.end(Own("broken")),
    "abandoned": stop,
    "cancelled": cancel,
}


@pytest.mark.anyio
@pytest.mark.parametrize("end", ENDS)
async def test_everybody_gets_the_same_before_at_and_after_the_end(end: str) -> None:
    reply = HandFed()
    reply.feed("Hel", "lo")
    seen: list[Any] = []

    async def look(way: str) -> None:
        seen.append(await outcome_of(WAYS[way](reply.thunk)))

    async with anyio.create_task_group() as tasks:
        for way in WAYS:
            tasks.start_soon(look, way)
        await others_wait()
        ended = ENDS[end](reply)
        if ended is not None:
            await ended
    for _ in range(2):
        for way in WAYS:
            await look(way)
    seen.append(await outcome_of(reply.thunk.astream()))
    seen.append(await outcome_of(by_copy(reply.thunk)))
    if end in ("done", "cancelled"):
        assert seen == ["Hello"] * (3 * len(WAYS) + 2)
    else:
        error = reply.generation.error
        assert isinstance(error, Own if end == "failed" else GenerationCancelled)
        assert all(each is error for each in seen)
    assert reply.thunk.value == reply.thunk.partial == "Hello"


@pytest.mark.anyio
@pytest.mark.parametrize("end", ENDS)
async def test_nothing_that_comes_later_changes_an_outcome(end: str) -> None:
    reply = HandFed(linger=0)
    reply.feed("Hello")
    ended = ENDS[end](reply)
    if ended is not None:
        await ended
    await others_wait()
    state = reply.generation.state
    assert state is GenerationState(end)
    before = await outcome_of(reply.thunk.avalue())
    for other in ENDS.values():
        ended = other(reply)
        if ended is not None:
            await ended
        with anyio.CancelScope() as scope:
            scope.cancel()
            await reply.thunk
        await others_wait()
    after = await outcome_of(reply.thunk.avalue())
    assert reply.generation.state is state
    assert before is after or before == after == "Hello"


@pytest.mark.anyio
async def test_the_end_of_a_session_does_not_change_what_was_there(server: ModelServer) -> None:
    # By what is asked: which of several calls arrives first is nobody's promise.
    for number, step in enumerate([Reply("Hello"), ErrorLine(0), Stall(0)]):
        wanted = f"Say {number}."
        server.script([step], when=lambda request, wanted=wanted: wanted in request.prompt)
    async with open_session(base_url=server.url) as session:
        good, bad, open_ = [await session.ainstruct(f"Say {number}.") for number in range(3)]
        await good
        with pytest.raises(ReplyError):
            await bad
    for _ in range(3):
        assert await good == str(good) == "Hello"
        with pytest.raises(ReplyError) as failed:
            await bad
        assert failed.value is bad._source.error
        with pytest.raises(GenerationCancelled) as stopped:
            await open_
        assert stopped.value is open_._source.error


@pytest.mark.anyio
async def test_whatever_is_computed_has_been_read_by_its_component(server: ModelServer) -> None:
    server.script([Reply("Hello")], repeat=True)
    async with open_session(base_url=server.url) as session:
        thunk = await session.ainstruct("Say hello.")
        assert thunk.parsed_repr is None
        looked: list[Any] = []

        async def look(way: str) -> None:
            await WAYS[way](thunk)
            looked.append((thunk.is_computed(), thunk.parsed_repr is not None))

        async with anyio.create_task_group() as tasks:
            for way in WAYS:
                tasks.start_soon(look, way)
    assert looked == [(True, True)] * len(WAYS)


@pytest.mark.anyio
async def test_first_valid_leaves_the_outcomes_of_the_others_alone() -> None:
    done, failed, pending = HandFed(), HandFed(), HandFed()
    done.feed("done")
    done.end()
    failed.end(Own("broken"))
    await others_wait()
    assert await first_valid([failed.thunk, pending.thunk, done.thunk]) is done.thunk
    assert await done.thunk == "done"
    with pytest.raises(Own):
        await failed.thunk
    with pytest.raises(GenerationCancelled, match="has what it wanted"):
        await pending.thunk
