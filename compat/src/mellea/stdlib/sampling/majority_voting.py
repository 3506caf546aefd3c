"""Many answers, and the one that is most like the others."""

from collections.abc import Sequence
from typing import Protocol

import motet
from motet import VotingStrategy as BaseMBRDSampling

from ...helpers.event_loop_helper import _run_async_in_thread

__all__ = ["BaseMBRDSampling", "MBRDRougeLStrategy", "MajorityVotingStrategyForMath"]


class _Comparing(Protocol):
    async def compare(self, texts: Sequence[str]) -> Sequence[Sequence[float]]: ...


def _likeness(strategy: _Comparing, ref: str, pred: str) -> float:
    return float(_run_async_in_thread(strategy.compare([ref, pred]))[0][1])


class MajorityVotingStrategyForMath(motet.MajorityVotingStrategyForMath):
    """The result that most answers come to; see `motet.MajorityVotingStrategyForMath`."""

    def compare_strings(self, ref: str, pred: str) -> float:
        """Return 1.0 if two answers come to the same, and 0.0 if not. It blocks the thread."""
        return _likeness(self, ref, pred)


class MBRDRougeLStrategy(motet.MBRDRougeLStrategy):
    """The answer that is most like the others; see `motet.MBRDRougeLStrategy`."""

    def compare_strings(self, ref: str, pred: str) -> float:
        """Return how much two answers have in common, from 0.0 to 1.0. It blocks the thread."""
        return _likeness(self, ref, pred)
