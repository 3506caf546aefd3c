"""Limits in front of backends: in order, shared, given back, and found out."""

import random
from typing import Any

import anyio
import pytest

import motet
from motet import Limits, ModelOption, StatusError
from motet.testing import Finish, ScriptedBackend, ScriptedRequest
from virtual_time import on_virtual_time

pytestmark = [pytest.mark.anyio, on_virtual_time]


async def ask_many(backend: motet.Backend, number: int) -> list[motet.ModelOutputThunk[Any]]:
    async with motet.open_session(backend) as m:
        thunks: list[motet.ModelOutputThunk[Any]] = [
            await m.ainstruct(f"go {n}", strategy=None) for n in range(number)
        ]
        await motet.wait_for_all_mots(thunks)
    return thunks


def times(backend: ScriptedBackend, since: float) -> list[float]:
    return [round(each.asked_at - since, 6) for each in backend.requests]


async def test_so_many_calls_at_once_in_the_order_in_which_they_came() -> None:
    backend = ScriptedBackend(lambda _: [1, "x"], limits=Limits(max_in_flight=3))
    thunks = await ask_many(backend, 9)
    assert backend.most_open_replies == 3
    assert [prompt.split()[-1] for prompt in backend.prompts] == [str(n) for n in range(9)]
    assert [round(each.generation.queued_ms or 0) for each in thunks] == [
        *[0] * 3,
        *[1000] * 3,
        *[2000] * 3,
    ]


async def test_so_many_requests_in_any_minute() -> None:
    backend = ScriptedBackend(lambda _: [1, "x"], limits=Limits(requests_per_minute=2))
    began = anyio.current_time()
    await ask_many(backend, 5)
    assert times(backend, began) == [0, 0, 60, 60, 120]


async def test_so_many_tokens_in_any_minute_as_the_server_counts_them() -> None:
    usage = Finish(usage={"prompt_tokens": 400, "completion_tokens": 200, "total_tokens": 600})
    backend = ScriptedBackend(lambda _: ["x", usage], limits=Limits(tokens_per_minute=1000))
    began = anyio.current_time()
    for _ in range(3):
        await ask_many(backend, 1)
    assert times(backend, began) == [0, 0, 60]


async def test_what_a_reply_may_take_is_counted_before_it_is_known() -> None:
    backend = ScriptedBackend(
        lambda _: [1, "x"],
        limits=Limits(tokens_per_minute=1000),
        model_options={ModelOption.MAX_NEW_TOKENS: 700},
    )
    began = anyio.current_time()
    await ask_many(backend, 3)
    # Each is let through when the one before it has turned out to be short.
    assert times(backend, began) == [0, 1, 2]


async def test_a_request_that_is_larger_than_the_limit_is_sent_alone() -> None:
    backend = ScriptedBackend(
        lambda _: [1, StatusError("x", status=400)],
        limits=Limits(tokens_per_minute=10),
        model_options={ModelOption.MAX_NEW_TOKENS: 700},
    )
    began = anyio.current_time()
    for _ in range(2):
        with pytest.raises(StatusError):
            await ask_many(backend, 1)
    assert times(backend, began) == [0, 60]


async def test_backends_and_sessions_may_share_limits() -> None:
    limits = Limits(max_in_flight=2)
    backends = [ScriptedBackend(lambda _: [1, "x"], limits=limits) for _ in range(2)]
    began = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        for backend in backends:
            tasks.start_soon(ask_many, backend, 4)
    assert anyio.current_time() - began == pytest.approx(4)


async def test_a_burst_of_cancels_in_the_queue_leaves_every_place_usable() -> None:
    limits = Limits(max_in_flight=10)
    backend = ScriptedBackend(lambda _: [1, "x"], limits=limits)
    chance = random.Random(7)
    async with motet.open_session(backend) as m:
        thunks = [await m.ainstruct("go", strategy=None) for _ in range(2010)]
        await anyio.sleep(0.5)
        assert (limits.statistics().in_flight, limits.statistics().waiting) == (10, 2000)
        async with anyio.create_task_group() as tasks:
            cancelled = chance.sample(thunks[10:], 2000)
            for thunk in cancelled:
                tasks.start_soon(thunk.cancel_generation)
        assert limits.statistics().waiting == 0
        await motet.wait_for_all_mots(thunks[:10])
        assert (limits.statistics().in_flight, len(backend.requests)) == (0, 10)
    began = anyio.current_time()
    await ask_many(backend, 10)
    assert anyio.current_time() - began == pytest.approx(1)


async def test_cancels_at_random_among_calls_that_end_lose_no_place() -> None:
    limits = Limits(max_in_flight=3)
    chance = random.Random(3)
    backend = ScriptedBackend(lambda _: [chance.random(), "x"], limits=limits)
    async with motet.open_session(backend) as m:
        thunks = [await m.ainstruct("go", strategy=None) for _ in range(200)]
        for thunk in chance.sample(thunks, 120):
            await anyio.sleep(chance.random() / 10)
            await thunk.cancel_generation()
        for thunk in thunks:
            await thunk
    statistics = limits.statistics()
    assert (statistics.in_flight, statistics.waiting) == (0, 0)
    assert backend.most_open_replies == 3


async def test_adaptive_limits_halve_at_429_and_recover() -> None:
    limits = Limits(max_in_flight=8, adaptive=True)
    busy = True

    def answer(_: ScriptedRequest) -> Any:
        return [1, StatusError("busy", status=429)] if busy else [1, "x"]

    backend = ScriptedBackend(answer, limits=limits)

    def limit() -> int | None:
        return limits.statistics().max_in_flight

    async def refused(number: int) -> None:
        with pytest.raises(StatusError):
            await ask_many(backend, number)

    assert limit() == 8
    await refused(8)  # together, so it counts once
    assert limit() == 4
    for expected in (2, 1, 1):
        await refused(1)
        assert limit() == expected
    busy = False
    await ask_many(backend, 3)
    assert limit() in (2, 3)
    await ask_many(backend, 60)
    assert limit() == 8


async def test_a_place_may_be_held_for_a_request_of_ones_own() -> None:
    limits = Limits(max_in_flight=1, tokens_per_minute=100)
    async with limits.place(tokens=30) as place:
        place.took(50)
        statistics = limits.statistics()
    assert (statistics.in_flight, statistics.requests, statistics.tokens) == (1, 1, 50)


async def test_numbers_that_make_no_sense_are_refused() -> None:
    for name in ("max_in_flight", "requests_per_minute", "tokens_per_minute"):
        with pytest.raises(ValueError, match=name):
            Limits(**{name: 0})
        with pytest.raises(TypeError, match=name):
            Limits(**{name: 1.5})
    with pytest.raises(ValueError, match="adaptive limits need max_in_flight"):
        Limits(adaptive=True)
    with pytest.raises(TypeError, match="limits should be"):
        ScriptedBackend("x", limits=5)
    assert repr(Limits(max_in_flight=3, adaptive=True)) == "Limits(max_in_flight=3, adaptive=True)"
