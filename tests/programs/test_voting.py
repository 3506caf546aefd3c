"""Voting: which of many answers is taken, and when that is certain."""

import importlib.util
from pathlib import Path
from typing import Any

import anyio
import pytest

from motet import CBlock, Context, ModelOutputThunk, SimpleContext
from motet._language.requirement import Requirement, ValidationResult
from motet._programs.checks import simple_validate
from motet._programs.sampling import likeness
from motet._programs.sampling.likeness import MajorityVotingStrategyForMath, MBRDRougeLStrategy
from motet._programs.sampling.result import SamplingResult
from motet._programs.sampling.voting import (
    BestOfNSamplingStrategy,
    MajorityVotingStrategy,
    VotingStrategy,
)
from motet.testing import ScriptedBackend
from programs.scripted import broken, stopped
from virtual_time import on_virtual_time

pytestmark = pytest.mark.anyio

ACTION = CBlock("how many?")


async def vote(
    strategy: VotingStrategy, answers: list[Any], requirements: Any = None, **more: Any
) -> SamplingResult[Any]:
    backend = more.pop("backend", None) or ScriptedBackend(answers)
    return await strategy.sample(ACTION, SimpleContext(), backend, requirements, **more)


def scored(**scores: float) -> Requirement:
    """A requirement that everything meets, with a score for each text."""

    def score(ctx: Context) -> ValidationResult:
        output = ctx.last_output()
        assert output is not None
        return ValidationResult(True, score=scores[str(output.value)])

    return Requirement("score", score)


# By majority.


@on_virtual_time
async def test_what_most_say_is_taken() -> None:
    result = await vote(MajorityVotingStrategy(number_of_samples=5), ["7", "8", " 7\n", "9", "7"])
    assert result.success
    assert (result.value or "").strip() == "7"
    assert len(result.sample_generations) == 1


@on_virtual_time
async def test_of_equally_many_the_first_that_came_is_taken() -> None:
    answers = [[2.0, "a"], [1.0, "b"], [3.0, "a"], [4.0, "b"]]
    assert (await vote(MajorityVotingStrategy(number_of_samples=4), answers)).value == "b"


@on_virtual_time
async def test_answers_are_told_apart_by_the_key() -> None:
    def key(thunk: ModelOutputThunk[Any]) -> str:
        return str(thunk.value)[-1]

    strategy = MajorityVotingStrategy(key=key, number_of_samples=3)
    assert (await vote(strategy, [[1.0, "it is 7"], "8", [2.0, "so 7"]])).value == "it is 7"


@on_virtual_time
async def test_a_certain_majority_does_not_wait_for_the_rest() -> None:
    backend = ScriptedBackend([[1.0, "7"], [60.0, "8"], [2.0, "7"], [3.0, "7"], [70.0, "9"]])
    result = await vote(MajorityVotingStrategy(number_of_samples=5), [], backend=backend)
    assert result.value == "7"
    assert stopped(backend) == [3, 3]
    assert anyio.current_time() == 3


@on_virtual_time
async def test_a_majority_that_may_still_change_waits() -> None:
    backend = ScriptedBackend([[1.0, "7"], [1.0, "7"], [2.0, "8"], [3.0, "8"], [4.0, "8"]])
    result = await vote(MajorityVotingStrategy(number_of_samples=5), [], backend=backend)
    assert result.value == "8"


@on_virtual_time
async def test_a_weighted_vote_counts_by_its_score() -> None:
    answers = ["low", "low", "high"]
    requirement = scored(low=0.25, high=0.75)
    for weighted, winner in ((False, "low"), (True, "high")):
        strategy = MajorityVotingStrategy(number_of_samples=3, weighted=weighted)
        assert (await vote(strategy, answers, [requirement])).value == winner


@on_virtual_time
async def test_only_answers_that_meet_the_requirements_stand_for_election() -> None:
    good = Requirement("good", simple_validate(lambda text: text == "good"))
    strategy = MajorityVotingStrategy(number_of_samples=3)
    assert (await vote(strategy, ["bad", "bad", "good"], [good])).value == "good"
    result = await vote(strategy, ["bad", "worse", "bad"], [good])
    assert (result.success, result.value) == (False, "bad")


@on_virtual_time
async def test_every_sampling_makes_its_own_attempts() -> None:
    good = Requirement("good", simple_validate(lambda text: text == "good"))
    backend = ScriptedBackend(["bad", "bad", "good"])
    strategy = MajorityVotingStrategy(number_of_samples=2, loop_budget=2)
    result = await vote(strategy, [], [good], backend=backend)
    assert [thunk.value for thunk in result.sample_generations] == ["bad", "good"]
    assert len(backend.requests) == 4


@on_virtual_time
async def test_format_and_options_reach_every_request() -> None:
    backend = ScriptedBackend("1")
    strategy = MajorityVotingStrategy(number_of_samples=3)
    await vote(strategy, [], backend=backend, format={"type": "number"})
    assert [request.schema for request in backend.requests] == [{"type": "number"}] * 3


@on_virtual_time
async def test_a_sampling_that_fails_has_no_vote() -> None:
    error = broken()
    result = await vote(MajorityVotingStrategy(number_of_samples=3), [[error], "7", "7"])
    assert (result.value, result.errors) == ("7", (error,))


@on_virtual_time
async def test_when_all_fail_the_first_error_comes_out() -> None:
    first = broken()
    with pytest.raises(type(first)) as caught:
        await vote(MajorityVotingStrategy(number_of_samples=2), [[1.0, first], [2.0, broken()]])
    assert caught.value is first


@on_virtual_time
@pytest.mark.parametrize("answers", [[[1.0, "a"], [60.0, "a"]], ["a", "a"]])
async def test_an_error_of_the_key_comes_out_and_leaves_nothing(answers: list[Any]) -> None:
    def key(thunk: ModelOutputThunk[Any]) -> str:
        raise LookupError("no key")

    backend = ScriptedBackend(answers)
    with pytest.raises(LookupError, match="no key"):
        await vote(MajorityVotingStrategy(key=key, number_of_samples=2), [], backend=backend)
    assert backend.open_replies == 0


@on_virtual_time
async def test_giving_up_a_vote_stops_every_sampling() -> None:
    backend = ScriptedBackend(lambda _: [60.0, "7"])
    with anyio.move_on_after(2):
        await vote(MajorityVotingStrategy(number_of_samples=4), [], backend=backend)
    assert stopped(backend) == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [({"number_of_samples": 0}, ValueError), ({"key": "x"}, TypeError)],
)
def test_a_wrong_argument_is_named(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(arguments))):
        MajorityVotingStrategy(**arguments)


# By score.


@on_virtual_time
async def test_the_best_is_taken() -> None:
    def length(thunk: ModelOutputThunk[Any]) -> float:
        return len(thunk.value or "")

    strategy = BestOfNSamplingStrategy(score=length, number_of_samples=4)
    assert (await vote(strategy, ["a", [1.0, "ccc"], "bb", [2.0, "ddd"]])).value == "ccc"


@on_virtual_time
async def test_a_score_may_be_async_and_all_are_found_at_the_same_time() -> None:
    async def slow(thunk: ModelOutputThunk[Any]) -> float:
        await anyio.sleep(5)
        return float(thunk.value or 0)

    strategy = BestOfNSamplingStrategy(score=slow, number_of_samples=3)
    assert (await vote(strategy, ["1", "3", "2"])).value == "3"
    assert anyio.current_time() == 5


@on_virtual_time
async def test_without_a_function_the_scores_of_the_validations_count() -> None:
    strategy = BestOfNSamplingStrategy(number_of_samples=3)
    result = await vote(strategy, ["a", "b", "c"], [scored(a=0.1, b=0.9, c=0.5)])
    assert result.value == "b"


@on_virtual_time
async def test_an_error_of_the_score_comes_out() -> None:
    def fail(thunk: ModelOutputThunk[Any]) -> float:
        raise LookupError("no score")

    with pytest.raises(LookupError, match="no score"):
        await vote(BestOfNSamplingStrategy(score=fail, number_of_samples=2), ["a", "b"])


def test_what_is_no_score_is_refused() -> None:
    with pytest.raises(TypeError, match="score"):
        BestOfNSamplingStrategy(score=3)  # type: ignore[arg-type]  # that is what is tried


# By likeness.


async def test_the_answer_most_like_the_others_is_taken() -> None:
    pytest.importorskip("rouge_score")
    answers = [
        "A whale is a fish.",
        "The cat sat on the mat.",
        "A cat sat on the mat.",
        "The dog sat on the mat.",
        "The cat sat on the mat, asleep.",
    ]
    result = await vote(MBRDRougeLStrategy(number_of_samples=5), answers)
    assert result.value == "The cat sat on the mat."


async def test_the_same_result_in_other_words_is_the_same() -> None:
    pytest.importorskip("math_verify")
    answers = ["7", r"It is $\frac{1}{2}$.", "no idea", "0.5", "no idea", r"\boxed{\frac{2}{4}}"]
    result = await vote(MajorityVotingStrategyForMath(number_of_samples=6), answers)
    assert result.value in (answers[1], answers[3], answers[5])


async def test_one_answer_is_compared_with_nothing() -> None:
    pytest.importorskip("math_verify")
    strategy = MajorityVotingStrategyForMath(number_of_samples=2)
    assert (await vote(strategy, ["42", "42"])).value == "42"
    strategy = MajorityVotingStrategyForMath(number_of_samples=1)
    assert (await vote(strategy, ["42"])).value == "42"


async def test_a_process_that_fails_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("math_verify")
    monkeypatch.setattr(likeness, "_MATH_PROGRAM", tmp_path / "gone.py")
    strategy = MajorityVotingStrategyForMath(number_of_samples=2)
    with pytest.raises(RuntimeError, match=r"compares mathematics failed: .*gone\.py"):
        await strategy.compare(["0.5", "0.7"])


async def test_giving_up_stops_the_process_that_compares() -> None:
    pytest.importorskip("math_verify")
    strategy = MajorityVotingStrategyForMath(number_of_samples=2)
    with anyio.fail_after(60), anyio.move_on_after(0.2) as scope:
        await strategy.compare(["10^{10^{10^{10}}}", "10^{10^{10^{10}}}+1"])
    assert scope.cancelled_caught


@pytest.mark.parametrize(
    ("strategy", "extra"), [(MajorityVotingStrategyForMath, "math"), (MBRDRougeLStrategy, "rouge")]
)
def test_a_missing_extra_is_named_at_once(
    strategy: type[VotingStrategy], extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match=rf"motet\[{extra}\]"):
        strategy()
