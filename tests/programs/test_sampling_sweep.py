"""Cancelled anywhere, a judge, a validation and a strategy leave nothing running."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from motet import CBlock, ModelOutputThunk, SimpleContext
from motet._language.requirement import Requirement
from motet._programs.sampling.base import SamplingStrategy
from motet._programs.sampling.run import begin_sampled
from motet._programs.sampling.strategies import (
    MultiTurnStrategy,
    RejectionSamplingStrategy,
    RepairTemplateStrategy,
)
from motet._programs.sampling.voting import BestOfNSamplingStrategy, MajorityVotingStrategy
from motet._programs.validation import validate_all
from motet.testing import ScriptedBackend, ScriptedRequest, ScriptedStep
from motet.testing.sweep import cancel_everywhere
from virtual_time import VIRTUAL_LOOPS

Loop = Callable[[], tuple[str, dict[str, Any]]]

JUDGED = Requirement("kind")
CHECKED = Requirement("x", lambda ctx: ctx.last_output().value.startswith("good"))

STRATEGIES: dict[str, SamplingStrategy] = {
    "rejection": RejectionSamplingStrategy(loop_budget=2),
    "repair": RepairTemplateStrategy(loop_budget=2, concurrency_budget=2),
    "multi-turn": MultiTurnStrategy(loop_budget=2),
    "majority": MajorityVotingStrategy(number_of_samples=3),
    "best of n": BestOfNSamplingStrategy(number_of_samples=2),
}


@pytest.fixture(params=VIRTUAL_LOOPS)
def loop(request: pytest.FixtureRequest) -> Loop:
    factory: Loop = VIRTUAL_LOOPS[request.param]
    return factory


def reply(asked: ScriptedRequest) -> list[ScriptedStep]:
    prompt = asked.prompt
    return [1.0, "yes" if "Requirement:" in prompt else "good", 1.0]


def sweep(loop: Loop, scenario: Callable[[ScriptedBackend], Awaitable[object]]) -> None:
    backends: list[ScriptedBackend] = []

    async def run() -> None:
        backends.append(ScriptedBackend(reply))
        await scenario(backends[-1])

    async def nothing_runs() -> None:
        assert backends[-1].open_replies == 0

    assert cancel_everywhere(run, loop=loop, after=nothing_runs).checkpoints


def test_a_judge_call(loop: Loop) -> None:
    ctx = SimpleContext().add(ModelOutputThunk("an answer"))
    sweep(loop, lambda backend: JUDGED.validate(backend, ctx))


def test_a_validation_by_several(loop: Loop) -> None:
    ctx = SimpleContext().add(ModelOutputThunk("an answer"))
    sweep(loop, lambda backend: validate_all([JUDGED, CHECKED, JUDGED], backend, ctx))


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy(loop: Loop, name: str) -> None:
    async def sample(backend: ScriptedBackend) -> None:
        await STRATEGIES[name].sample(CBlock("go"), SimpleContext(), backend, [JUDGED, CHECKED])

    sweep(loop, sample)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_as_a_generation(loop: Loop, name: str) -> None:
    async def call(backend: ScriptedBackend) -> None:
        thunk = begin_sampled(
            backend,
            CBlock("go"),
            SimpleContext(),
            strategy=STRATEGIES[name],
            requirements=[JUDGED, CHECKED],
            linger=0,
        )
        async with thunk:
            await thunk

    sweep(loop, call)
