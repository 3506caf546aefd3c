"""Places for calls in flight: in order, and none is ever lost."""

import random
import sys

import anyio
import anyio.lowlevel
import pytest

from motet._http.client import Clients
from motet._http.limiter import CallLimiter, default_limit
from motet._runtime.host import current_host

pytestmark = pytest.mark.anyio


async def test_places_are_given_in_the_order_in_which_they_were_asked_for() -> None:
    limiter = CallLimiter(1)
    order: list[int] = []

    async def call(number: int) -> None:
        async with limiter:
            assert limiter.in_flight == 1
            order.append(number)
            await anyio.lowlevel.checkpoint()

    async with limiter, anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(call, number)
            await anyio.wait_all_tasks_blocked()
        assert limiter.waiting == 10
        assert order == []
        await _leave(limiter)
        await anyio.wait_all_tasks_blocked()
        assert order == list(range(10))
        await limiter.__aenter__()
    assert (limiter.in_flight, limiter.waiting) == (0, 0)


async def _leave(limiter: CallLimiter) -> None:
    await limiter.__aexit__(None, None, None)


async def test_a_cancelled_wait_gives_its_turn_to_the_next() -> None:
    limiter = CallLimiter(1)
    got: list[str] = []

    async def call(name: str, scope: anyio.CancelScope) -> None:
        with scope:
            async with limiter:
                got.append(name)

    first = anyio.CancelScope()
    async with anyio.create_task_group() as tasks, limiter:
        tasks.start_soon(call, "first", first)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(call, "second", anyio.CancelScope())
        await anyio.wait_all_tasks_blocked()
        first.cancel()
    assert got == ["second"]
    assert (limiter.in_flight, limiter.waiting) == (0, 0)


async def test_a_turn_that_comes_together_with_the_cancellation_is_not_lost() -> None:
    limiter = CallLimiter(1)
    scope = anyio.CancelScope()

    async def call() -> None:
        with scope:
            async with limiter:
                pass

    async with anyio.create_task_group() as tasks:
        async with limiter:
            tasks.start_soon(call)
            await anyio.wait_all_tasks_blocked()
        scope.cancel()
    with anyio.fail_after(5):
        async with limiter:
            assert limiter.in_flight == 1


async def test_a_burst_of_cancellations_in_the_queue_leaves_every_place_usable() -> None:
    limiter = CallLimiter(10)
    chance = random.Random(7)
    scopes = [anyio.CancelScope() for _ in range(2000)]
    inside = 0

    async def call(scope: anyio.CancelScope) -> None:
        nonlocal inside
        with scope:
            async with limiter:
                inside += 1
                try:
                    await anyio.lowlevel.checkpoint()
                finally:
                    inside -= 1

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for scope in scopes:
                tasks.start_soon(call, scope)
            await anyio.lowlevel.checkpoint()
            chance.shuffle(scopes)
            for number, scope in enumerate(scopes):
                scope.cancel()
                if number % 50 == 0:
                    await anyio.lowlevel.checkpoint()
        assert (limiter.in_flight, limiter.waiting, inside) == (0, 0, 0)
        for _ in range(10):
            await limiter.__aenter__()
    assert limiter.in_flight == 10


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit there")
async def test_without_a_number_there_are_places_for_the_files_the_process_may_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import resource

    for files, places in ((1024, 896), (100, 16), (10_000, 9872)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, files=files: (files, files))
        assert default_limit() == places


async def test_backends_without_a_number_share_the_places_of_their_event_loop() -> None:
    host = current_host()
    one, other = (Clients(f"http://{name}", {}).on(host).limiter for name in "xy")
    assert one is other
    numbered = [Clients("http://x", {}, max_in_flight=3).on(host).limiter for _ in range(2)]
    assert len({one, *numbered}) == 3
    assert [limiter.total for limiter in numbered] == [3, 3]


@pytest.mark.parametrize("number", [0, -1, 1.5, "3"])
async def test_a_number_of_calls_that_makes_no_sense_is_refused(number: object) -> None:
    with pytest.raises(ValueError, match="max_in_flight"):
        Clients("http://x", {}, max_in_flight=number)  # type: ignore[arg-type] # that is the point


async def test_a_client_that_is_none_is_refused() -> None:
    with pytest.raises(TypeError, match="http_client"):
        Clients("http://x", {}, http_client=object())
