"""What strategies and their results are made of, without asking anybody."""

from typing import Any

import pytest

from motet import ModelOutputThunk, SimpleContext
from motet._programs.sampling.result import SamplingResult
from motet._programs.sampling.strategies import RejectionSamplingStrategy


@pytest.mark.parametrize("name", ["loop_budget", "concurrency_budget"])
@pytest.mark.parametrize(("budget", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError)])
def test_a_budget_is_at_least_one(name: str, budget: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=name):
        RejectionSamplingStrategy(**{name: budget})


def test_one_string_is_no_list_of_requirements() -> None:
    with pytest.raises(TypeError, match="list"):
        RejectionSamplingStrategy(requirements="be kind")


def given(*values: str) -> dict[str, Any]:
    return {
        "sample_generations": [ModelOutputThunk(value) for value in values],
        "sample_validations": [[] for _ in values],
        "sample_actions": list(range(len(values))),
        "sample_contexts": [SimpleContext() for _ in values],
    }


def test_a_result_may_be_counted_from_the_end() -> None:
    result: SamplingResult[Any] = SamplingResult(-1, True, **given("a", "b"))
    assert (result.value, result.result_action) == ("b", 1)


@pytest.mark.parametrize(("index", "values"), [(2, "ab"), (-3, "ab"), (0, "")])
def test_a_result_must_be_one_of_the_attempts(index: int, values: str) -> None:
    with pytest.raises(AssertionError, match="result_index"):
        SamplingResult(index, True, **given(*values))
