"""Voting by how alike the answers are: each answer gets the likeness of all others to it.

The two measures come with the extras ``math`` and ``rouge``. Neither runs on the event
loop: ROUGE-L is computed in a worker thread, one pair at a time, so that a cancellation
waits for one pair at most; mathematics in a process of its own, because a short formula
can keep a computer algebra system busy for ever, and only a process can be stopped.
"""

from __future__ import annotations

import json
import sys
from abc import abstractmethod
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import anyio.to_thread

from ..._runtime.processes import run_program
from ..extras import import_extra, require_extra
from .base import Requirements
from .voting import Candidates, VotingStrategy

_MATH_PROGRAM: Final = Path(__file__).with_name("_compare_math.py")

Matrix = list[list[float]]


class LikenessStrategy(VotingStrategy):
    """Take the answer that the others are most alike to; of several such, the first to come."""

    @abstractmethod
    async def compare(self, texts: Sequence[str]) -> Matrix:
        """Return how alike each text is to each other, from 0 to 1; 1 to itself."""

    async def choose(self, candidates: Candidates) -> int:
        """Return the candidate with the highest sum of likenesses, each times its vote."""
        if len(candidates) == 1:
            return 0
        likeness = await self.compare([each.result.value or "" for each in candidates])
        votes = self.votes(candidates)
        sums = [sum(a * vote for a, vote in zip(row, votes, strict=True)) for row in likeness]
        return sums.index(max(sums))


class MBRDRougeLStrategy(LikenessStrategy):
    """Take the answer that shares the longest sequences of words with the others.

    The measure is the F-measure of ROUGE-L, with stemming. It needs the extra ``rouge``.

    Reference: Lin, C.-Y. (2004). ROUGE: A Package for Automatic Evaluation of Summaries.

    Args:
        number_of_samples: how many samplings.
        weighted: count a vote by the mean of the scores of its validations.
        loop_budget: how many attempts each of them makes at most.
        requirements: what the answer must be like, in place of what a call says.

    Raises:
        ImportError: the extra is not installed.
    """

    def __init__(
        self,
        *,
        number_of_samples: int = 8,
        weighted: bool = False,
        loop_budget: int = 1,
        requirements: Requirements = None,
    ) -> None:
        require_extra("rouge_score", "rouge", "MBRDRougeLStrategy")
        super().__init__(
            number_of_samples=number_of_samples,
            weighted=weighted,
            loop_budget=loop_budget,
            requirements=requirements,
        )

    async def compare(self, texts: Sequence[str]) -> Matrix:
        """Return the F-measure of each pair."""
        scorer = await anyio.to_thread.run_sync(_rouge_scorer)

        def f_measure(one: str, other: str) -> float:
            measured: float = scorer.score(one, other)["rougeL"].fmeasure
            return measured

        likeness = _identity(len(texts))
        for i, j in combinations(range(len(texts)), 2):
            pair = (texts[i], texts[j])
            alike = 1.0 if pair[0] == pair[1] else await anyio.to_thread.run_sync(f_measure, *pair)
            likeness[i][j] = likeness[j][i] = alike
        return likeness


class MajorityVotingStrategyForMath(LikenessStrategy):
    r"""Take the answer whose result most others agree with, in whatever form they write it.

    ``$\frac{1}{2}$``, ``\boxed{0.5}`` and ``2/4`` are the same. It needs the extra ``math``.
    A comparison that takes too long counts as a difference.

    Args:
        number_of_samples: how many samplings.
        float_rounding: to how many digits decimal numbers are compared.
        strict: tell variables apart by their names, and sets from tuples.
        allow_set_relation_comp: take ``1 < x < 2`` for the set of the numbers in between.
        weighted: count a vote by the mean of the scores of its validations.
        loop_budget: how many attempts each of them makes at most.
        requirements: what the answer must be like, in place of what a call says.

    Raises:
        ImportError: the extra is not installed.
    """

    def __init__(
        self,
        *,
        number_of_samples: int = 8,
        float_rounding: int = 6,
        strict: bool = True,
        allow_set_relation_comp: bool = False,
        weighted: bool = False,
        loop_budget: int = 1,
        requirements: Requirements = None,
    ) -> None:
        require_extra("math_verify", "math", "MajorityVotingStrategyForMath")
        super().__init__(
            number_of_samples=number_of_samples,
            weighted=weighted,
            loop_budget=loop_budget,
            requirements=requirements,
        )
        self.float_rounding = float_rounding
        self.strict = strict
        self.allow_set_relation_comp = allow_set_relation_comp

    async def compare(self, texts: Sequence[str]) -> Matrix:
        """Return 1 for each pair that means the same and 0 for the others.

        Raises:
            RuntimeError: the comparing process failed.
        """
        unique = list(dict.fromkeys(texts))
        task = {
            "texts": unique,
            "float_rounding": self.float_rounding,
            "strict": self.strict,
            "allow_set_relation_comp": self.allow_set_relation_comp,
        }
        # With one text there is nothing to find out, and starting a process takes a second.
        same = set() if len(unique) == 1 else await _compare_math(task)
        position = {text: index for index, text in enumerate(unique)}
        likeness = _identity(len(texts))
        for i, j in combinations(range(len(texts)), 2):
            one, other = sorted((position[texts[i]], position[texts[j]]))
            likeness[i][j] = likeness[j][i] = float(one == other or (one, other) in same)
        return likeness


async def _compare_math(task: dict[str, Any]) -> set[tuple[int, int]]:
    """Return which texts mean the same, as pairs of indices, the smaller first."""
    # -P: the folder of the program is ours and not one to import from.
    command = [sys.executable, "-P", "-W", "ignore", str(_MATH_PROGRAM)]
    ended = await run_program(command, json.dumps(task).encode())
    if ended.status:
        said = ended.errors.decode(errors="replace").strip()
        raise RuntimeError(f"the process that compares mathematics failed: {said}")
    return {(one, other) for one, other in json.loads(ended.output)}


def _rouge_scorer() -> Any:
    module = import_extra("rouge_score.rouge_scorer", "rouge", "MBRDRougeLStrategy")
    return module.RougeScorer(["rougeL"], use_stemmer=True)


def _identity(size: int) -> Matrix:
    return [[float(i == j) for j in range(size)] for i in range(size)]
