"""Cancelled anywhere between attempts, in queues and among branches, a call leaves nothing."""

from collections.abc import Callable

import pytest

from motet import (
    Backend,
    BalancedBackend,
    ChatMessage,
    ConnectionLost,
    FallbackBackend,
    HedgedBackend,
    Limits,
    ModelOutputThunk,
    RetryPolicy,
)
from motet._runtime.host import current_host
from motet._thunk.generation import Generation
from motet.backends.attempts import reply_with_retries
from motet.backends.base import Reply, Request
from motet.testing import NEVER, ScriptedBackend
from motet.testing.sweep import Report, cancel_everywhere
from virtual_time import VIRTUAL_LOOPS

pytestmark = pytest.mark.parametrize("loop", VIRTUAL_LOOPS)


async def text_of(backend: Backend) -> str:
    """Have a backend reply in the calling task, where the sweep sees every checkpoint."""
    generation = Generation(None, host=current_host())
    thunk: ModelOutputThunk[str] = ModelOutputThunk.pending(generation)
    request = Request((ChatMessage("user", "go"),), {}, None, {}, 60.0)
    await reply_with_retries(backend, request, Reply(thunk, generation, request), backend.retries)
    return generation.text


def sweep(
    loop: str,
    make: Callable[[], tuple[Backend, list[ScriptedBackend]]],
    check: Callable[[], None] = lambda: None,
) -> Report:
    """Cancel a reply everywhere; what answers it is made anew for every run."""
    asked: list[ScriptedBackend] = []

    async def scenario() -> None:
        backend, asked[:] = make()
        assert await text_of(backend) == "Yes."

    async def nothing_is_open() -> None:
        assert all(each.idle() for each in asked)
        check()

    return cancel_everywhere(scenario, loop=VIRTUAL_LOOPS[loop], after=nothing_is_open)


def test_waits_between_attempts(loop: str) -> None:
    def make() -> tuple[Backend, list[ScriptedBackend]]:
        backend = ScriptedBackend(
            [ConnectionLost("x"), [0.5, ConnectionLost("x")], ["Y", 0.5, "es."]],
            retries=RetryPolicy(first_wait=0.1, jitter=0),
        )
        return backend, [backend]

    assert len(sweep(loop, make).checkpoints) >= 4


@pytest.mark.parametrize("kind", ["fallback", "hedged", "balanced"])
def test_branches(kind: str, loop: str) -> None:
    def make() -> tuple[Backend, list[ScriptedBackend]]:
        # The last one waits between its deltas while the losers unwind.
        scripted = [
            ScriptedBackend([NEVER]),
            ScriptedBackend([[0.5, ConnectionLost("x")]]),
            ScriptedBackend([[0.5, "Y", 0.5, "es."]]),
        ]
        backend: Backend
        match kind:
            case "fallback":
                backend = FallbackBackend(scripted, first_token_timeout=1)
            case "hedged":
                backend = HedgedBackend(scripted, delay=1)
            case _:
                backend = BalancedBackend(scripted, first_token_timeout=1)
        return backend, scripted

    assert len(sweep(loop, make).checkpoints) >= 3


def test_waits_for_a_place(loop: str) -> None:
    limits: list[Limits] = []

    def make() -> tuple[Backend, list[ScriptedBackend]]:
        limits[:] = [Limits(max_in_flight=1, requests_per_minute=2)]
        backend = ScriptedBackend(
            [[0.5, ConnectionLost("x")], [0.5, ConnectionLost("x")], [0.5, "Y", 0.5, "es."]],
            retries=RetryPolicy(first_wait=0.1, jitter=0),
            limits=limits[0],
        )
        return backend, [backend]

    def places() -> None:
        statistics = limits[0].statistics()
        assert (statistics.in_flight, statistics.waiting) == (0, 0)

    assert len(sweep(loop, make, places).checkpoints) >= 6
