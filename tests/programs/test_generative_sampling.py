"""Generative functions with a strategy: what does not fit, or does not meet, is tried again."""

# A generative function has no body, and mypy cannot know that this is meant.
# mypy: disable-error-code="empty-body"

import json
import logging
from typing import Any, Literal

import pytest

from motet import MelleaSession, SimpleContext
from motet._language.component import Component
from motet._language.requirement import Requirement
from motet._programs.checks import simple_validate
from motet._programs.generative.call import Misfit, ReplyMismatch
from motet._programs.generative.stub import generative
from motet._programs.sampling.base import BaseSamplingStrategy
from motet._programs.sampling.strategies import RejectionSamplingStrategy
from motet._programs.sampling.voting import MajorityVotingStrategy
from motet.testing import ScriptedBackend, ScriptedRequest, ScriptedStep

pytestmark = pytest.mark.anyio

TWICE = RejectionSamplingStrategy(loop_budget=2)


@generative
async def rate(text: str) -> Literal[1, 2, 3]:
    """Rate a text."""


@generative
def rate_now(text: str) -> Literal[1, 2, 3]:
    """Rate a text."""


def reply(value: Any) -> str:
    return json.dumps({"result": value})


def session(*script: Any) -> tuple[MelleaSession, ScriptedBackend]:
    backend = ScriptedBackend(list(script))
    return MelleaSession(backend), backend


def odd(text: str) -> bool:
    return bool(json.loads(text)["result"] % 2)


ODD = Requirement("be odd", simple_validate(odd, reason="it is even"))


async def test_a_reply_that_does_not_fit_is_repaired() -> None:
    m, backend = session("three", reply(3))
    assert await rate(m, text="x", strategy=TWICE) == 3
    assert len(backend.requests) == 2
    assert m.ctx.last_output() is not None
    assert m.ctx.last_output().value == reply(3)  # type: ignore[union-attr]


async def test_a_sync_function_repairs_too() -> None:
    m, _ = session("three", reply(3))
    assert rate_now(m, text="x", strategy=TWICE) == 3


async def test_with_a_context_and_a_backend_it_is_repaired_too() -> None:
    _, backend = session("three", reply(3))
    ctx = SimpleContext()
    value, new = await rate(ctx, backend, text="x", strategy=TWICE)
    assert value == 3
    assert len(new.as_list()) == 2


async def test_what_fits_and_does_not_meet_a_requirement_is_repaired() -> None:
    m, backend = session(reply(2), reply(3))
    assert await rate(m, text="x", strategy=TWICE, requirements=[ODD]) == 3
    assert all("* be odd" in prompt for prompt in backend.prompts)


async def test_the_budget_spent_on_what_does_not_fit_is_an_error_that_shows_it() -> None:
    m, _ = session("three", "four")
    with pytest.raises(ReplyMismatch, match="the reply was: three") as caught:
        await rate(m, text="x", strategy=TWICE)
    assert caught.value.__cause__ is not None


async def test_the_budget_spent_on_what_does_not_meet_a_requirement_gives_the_value() -> None:
    m, _ = session(reply(2))
    assert await rate(m, text="x", strategy=TWICE, requirements=[ODD]) == 2


async def test_a_strategy_with_requirements_of_its_own_looks_at_the_type_as_well() -> None:
    strategy = RejectionSamplingStrategy(loop_budget=3, requirements=[ODD])
    m, backend = session("three", reply(2), reply(3))
    assert await rate(m, text="x", strategy=strategy) == 3
    assert len(backend.requests) == 3
    assert strategy.requirements == [ODD]


async def test_a_strategy_is_told_why_a_reply_does_not_fit() -> None:
    told: list[str | None] = []

    class Listening(BaseSamplingStrategy):
        @staticmethod
        def repair(
            old_ctx: Any, new_ctx: Any, past_actions: Any, past_results: Any, past_val: Any
        ) -> tuple[Any, Any]:
            told.extend(result.reason for _, result in past_val[-1] if not result)
            assert isinstance(past_results[-1].parsed_repr, Misfit)
            return past_actions[-1].copy_and_repair("Mind the type."), old_ctx

        @staticmethod
        def select_from_failure(*_: Any) -> int:
            return 0

    m, backend = session(reply(7), reply(1))
    assert await rate(m, text="x", strategy=Listening(loop_budget=2)) == 1
    assert told == ["result: Input should be 1, 2 or 3"]
    assert "Mind the type." not in backend.prompts[0]
    assert backend.prompts[1].endswith('- text: "x" (str)\n\nMind the type.')


async def test_attempts_may_race() -> None:
    def script(asked: ScriptedRequest) -> list[ScriptedStep]:
        return [reply(1)]

    backend = ScriptedBackend(script)
    strategy = RejectionSamplingStrategy(concurrency_budget=3)
    assert await rate(MelleaSession(backend), text="x", strategy=strategy) == 1
    assert backend.open_replies == 0


async def test_a_vote_gives_a_value() -> None:
    m, _ = session(reply(1), reply(2), reply(2), reply(2), reply(2))
    strategy = MajorityVotingStrategy(number_of_samples=3)
    assert await rate(m, text="x", strategy=strategy) == 2


async def test_an_argument_that_has_not_arrived_is_waited_for_once() -> None:
    m, backend = session("late", "three", reply(3))
    late = await m.ainstruct("1", strategy=None)
    assert await rate(m, text=late, strategy=TWICE) == 3
    assert backend.prompts[1] == backend.prompts[2]
    assert '"late"' in backend.prompts[2]


async def test_requirements_without_a_strategy_are_told_and_not_checked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    m, backend = session(reply(2))
    assert await rate(m, text="x", requirements=[ODD]) == 2
    assert "* be odd" in backend.prompts[0]
    (record,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert "not checked" in record.getMessage()


async def test_a_call_is_a_component() -> None:
    m, _ = session(reply(2))
    await rate(m, text="x")
    assert isinstance(m.ctx.as_list()[0], Component)
