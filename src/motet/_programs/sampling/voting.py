"""Many independent samplings, of which the best or the most common answer is taken."""

from __future__ import annotations

import functools
import inspect
import statistics
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import anyio

from ..._language.context import Context
from ..concurrently import run_all
from .base import (
    Requirements,
    Thunk,
    check_budget,
    report_errors,
    settle_inputs,
)
from .result import SamplingResult
from .strategies import RejectionSamplingStrategy

if TYPE_CHECKING:
    from ...backends.base import Backend

Candidates = Sequence[SamplingResult[Any]]


class VotingStrategy(RejectionSamplingStrategy):
    """Several rejection samplings at once, one of which is chosen; the base of what follows.

    Those that met their requirements stand for election, or all if none did. The
    `SamplingResult` is that of the chosen sampling, so it lists only its attempts.

    Args:
        number_of_samples: how many samplings.
        weighted: count a vote by the mean of the scores of its validations, where there
            are any, instead of as one.
        loop_budget: how many attempts each of them makes at most.
        requirements: what the answer must be like, in place of what a call says.

    Raises:
        ValueError: a number is less than 1.
    """

    def __init__(
        self,
        *,
        number_of_samples: int = 8,
        weighted: bool = False,
        loop_budget: int = 1,
        requirements: Requirements = None,
    ) -> None:
        super().__init__(loop_budget=loop_budget, requirements=requirements)
        check_budget("number_of_samples", number_of_samples)
        self.number_of_samples = number_of_samples
        self.weighted = weighted

    @abstractmethod
    async def choose(self, candidates: Candidates) -> int:
        """Return the index of the result to take.

        Args:
            candidates: at least one, in the order in which they arrived.
        """

    def is_decided(self, candidates: Candidates, outstanding: int) -> bool:
        """Tell whether the choice is certain while so many samplings have not ended."""
        return False

    def votes(self, candidates: Candidates) -> list[float]:
        """Return how much the vote of each candidate counts."""
        return [_score(each, 1.0) if self.weighted else 1.0 for each in candidates]

    async def sample(
        self,
        action: Any,
        context: Context,
        backend: Backend,
        requirements: Requirements,
        *,
        validation_ctx: Context | None = None,
        format: Any = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
    ) -> SamplingResult[Any]:
        """Sample several times at once and choose one of the results.

        Always a checkpoint. Samplings that cannot change the choice any more are stopped,
        their requests at the server included. Nothing is running when this returns, raises
        or is cancelled. The arguments are those of `BaseSamplingStrategy.sample`.

        Raises:
            DependencyError: a pending part of *action* failed.
            Exception: no sampling has a result; the error of the first that failed. Or what
                a function of the caller's raised.
        """
        await settle_inputs(action, context)
        arrived: list[SamplingResult[Any]] = []
        errors: list[Exception] = []
        bugs: list[Exception] = []  # of the caller's functions

        async def sample_once() -> None:
            try:
                result = await super(VotingStrategy, self).sample(
                    action,
                    context,
                    backend,
                    requirements,
                    validation_ctx=validation_ctx,
                    format=format,
                    model_options=model_options,
                    tool_calls=tool_calls,
                )
                arrived.append(result)
            except Exception as exc:
                errors.append(exc)

        async def sample_and_count() -> None:
            await sample_once()
            outstanding = self.number_of_samples - len(arrived) - len(errors)
            valid = [result for result in arrived if result.success]
            try:
                if outstanding and valid and self.is_decided(valid, outstanding):
                    group.cancel_scope.cancel()
            except Exception as exc:
                bugs.append(exc)
                group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            for _ in range(self.number_of_samples):
                group.start_soon(sample_and_count)
        if bugs:
            raise bugs[0]
        if not arrived:
            report_errors(errors[1:])
            raise errors[0]
        report_errors(errors)
        candidates = [result for result in arrived if result.success] or arrived
        chosen = candidates[await self.choose(candidates)]
        chosen.errors = (*chosen.errors, *errors)
        return chosen


class MajorityVotingStrategy(VotingStrategy):
    """Take the answer that most samplings agree on; of several such, the one that came first.

    What no outstanding answer can change any more is not waited for.

    Args:
        key: is given a computed thunk and returns what is compared, which must be hashable;
            without it the text, up to whitespace around it.
        number_of_samples: how many samplings.
        weighted: count a vote by the mean of the scores of its validations.
        loop_budget: how many attempts each of them makes at most.
        requirements: what the answer must be like, in place of what a call says.
    """

    def __init__(
        self,
        *,
        key: Callable[[Thunk], Hashable] | None = None,
        number_of_samples: int = 8,
        weighted: bool = False,
        loop_budget: int = 1,
        requirements: Requirements = None,
    ) -> None:
        if key is not None and not callable(key):
            raise TypeError(f"key should be a function of a thunk, not {type(key).__name__}")
        super().__init__(
            number_of_samples=number_of_samples,
            weighted=weighted,
            loop_budget=loop_budget,
            requirements=requirements,
        )
        self.key: Callable[[Thunk], Hashable] = key or _text

    def is_decided(self, candidates: Candidates, outstanding: int) -> bool:
        """Tell whether the leader is further ahead than there are votes to come."""
        if self.weighted:
            return False  # a vote to come may count for any number
        counts = sorted(self._count(candidates).values())
        return counts[-1] > outstanding + (counts[-2] if len(counts) > 1 else 0)

    async def choose(self, candidates: Candidates) -> int:
        """Return the first candidate whose answer has the most votes."""
        counts = self._count(candidates)
        winner = max(counts, key=counts.__getitem__)  # of equals the first that was added
        keys = [self.key(each.result) for each in candidates]
        return keys.index(winner)

    def _count(self, candidates: Candidates) -> dict[Hashable, float]:
        counts: dict[Hashable, float] = {}
        for each, vote in zip(candidates, self.votes(candidates), strict=True):
            key = self.key(each.result)
            counts[key] = counts.get(key, 0) + vote
        return counts


class BestOfNSamplingStrategy(VotingStrategy):
    """Take the answer with the highest score; of several such, the one that came first.

    Args:
        score: is given a computed thunk and returns its score, sync or async; without it the
            mean of the scores of its validations, 0 where there are none.
        number_of_samples: how many samplings.
        loop_budget: how many attempts each of them makes at most.
        requirements: what the answer must be like, in place of what a call says.
    """

    def __init__(
        self,
        *,
        score: Callable[[Thunk], float | Awaitable[float]] | None = None,
        number_of_samples: int = 8,
        loop_budget: int = 1,
        requirements: Requirements = None,
    ) -> None:
        if score is not None and not callable(score):
            raise TypeError(f"score should be a function of a thunk, not {type(score).__name__}")
        super().__init__(
            number_of_samples=number_of_samples,
            loop_budget=loop_budget,
            requirements=requirements,
        )
        self.score = score

    async def choose(self, candidates: Candidates) -> int:
        """Return the candidate with the highest score; all are scored at once."""
        scores = await run_all([functools.partial(self._scored, each) for each in candidates])
        return scores.index(max(scores))

    async def _scored(self, candidate: SamplingResult[Any]) -> float:
        if self.score is None:
            return _score(candidate, 0.0)
        score = self.score(candidate.result)
        return await score if inspect.isawaitable(score) else score


def _score(candidate: SamplingResult[Any], otherwise: float) -> float:
    scores = [
        result.score for _, result in candidate.result_validations if result.score is not None
    ]
    return statistics.fmean(scores) if scores else otherwise


def _text(thunk: Thunk) -> Hashable:
    return (thunk.value or "").strip()
