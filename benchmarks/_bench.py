"""
One run: which contenders and loops take part, their workers, and the samples they gave.

Rounds are interleaved: every pair of contender and loop gives its first sample before
any gives its second, so that a slow minute of the machine slows all of them.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import attrs

from benchmarks._contenders import CONTENDERS, Contender
from benchmarks._processes import Control, Job, Param, Sample, SampleFailed, Worker

MOTET: Final = "motet"  # the name and the role
MOTET_OPENAI: Final = "motet openai"  # the same role, over the other protocol
BARE: Final = "bare"
PEER: Final = "peer"

# A run should end while one still remembers why it was started.
PATIENCE: Final = 10.0  # seconds


@attrs.frozen
class Key:
    """Who gave a sample, on which loop."""

    contender: str
    loop: str

    def __str__(self) -> str:
        return f"{self.contender} on {self.loop}"

    @property
    def protocol(self) -> str:
        """What to add to the name of a case, if it is not the usual protocol."""
        return ", OpenAI" if self.contender == MOTET_OPENAI else ""


@attrs.define
class Samples:
    """What one measurement collected: the samples of every pair that gave any."""

    taken: dict[Key, list[Sample]] = attrs.field(factory=dict)
    failed: dict[Key, str] = attrs.field(factory=dict)

    def best(self, key: Key, name: str) -> float:
        """The smallest figure of that name: the least disturbed round."""
        return min(sample[name] for sample in self.taken[key])

    def worst(self, key: Key, name: str) -> float:
        """The largest figure of that name."""
        return max(sample[name] for sample in self.taken[key])

    def median(self, key: Key, name: str) -> float:
        """The median figure of that name."""
        return statistics.median(sample[name] for sample in self.taken[key])

    def ratio(self, key: Key, name: str, to: str = BARE) -> float | None:
        """The best figure of *key* in units of the best with the role *to* on its loop.

        None if no contender with that role gave samples.
        """
        others = [
            self.best(other, name)
            for other in self.taken
            if other.loop == key.loop and CONTENDERS[other.contender].role == to
        ]
        return self.best(key, name) / min(others) if others else None

    def ours(self) -> Iterator[Key]:
        """The keys of motet that gave samples, whatever protocol it spoke."""
        return (key for key in self.taken if CONTENDERS[key.contender].role == MOTET)

    def of(self, contender: str) -> Iterator[Key]:
        """The keys of one contender that gave samples."""
        return (key for key in self.taken if key.contender == contender)


@attrs.define
class Bench:
    """What a measurement works with."""

    url: str
    control: Control
    contenders: Sequence[Contender]
    loops: Sequence[str]
    quick: bool
    only_rounds: int | None
    _workers: dict[Key, Worker] = attrs.field(factory=dict, init=False)

    def rounds(self, full: int, quick: int = 1) -> int:
        """How many rounds to take: *full*, fewer when in a hurry, or as the user says."""
        return self.only_rounds or (quick if self.quick else full)

    def collect(
        self,
        measure: str,
        *,
        rounds: int,
        where: Callable[[Key], bool] = lambda key: True,
        fresh: bool = False,
        patience: float = PATIENCE,
        into: Samples | None = None,
        **params: Param,
    ) -> Samples:
        """Take samples of all contenders on all loops, interleaved.

        Args:
            measure: the name of the module that has the `sample` function.
            rounds: samples of each pair of contender and loop.
            where: which pairs of contender and loop take part.
            fresh: a new process for each sample, for what looks at memory.
            patience: who takes longer for one sample is not asked for another, seconds.
            into: what was collected before, to go on with; who failed there is not asked again.
            params: what the `sample` function wants to know.
        """
        samples = Samples() if into is None else into
        tedious: set[Key] = set()
        for round_number in range(rounds):
            for key in filter(where, self._keys()):
                if key in samples.failed or key in tedious:
                    continue
                _tell(f"{measure}, round {round_number + 1} of {rounds}: {key}")
                job = Job(measure, key.contender, key.loop, self.url, params)
                start = time.monotonic()
                try:
                    samples.taken.setdefault(key, []).append(self._take(key, job, fresh))
                except SampleFailed as exc:
                    samples.failed[key] = str(exc)
                    samples.taken.pop(key)
                if time.monotonic() - start > patience:
                    tedious.add(key)
        _tell("")
        return samples

    def _keys(self) -> Iterator[Key]:
        for contender in self.contenders:
            for loop in self.loops:
                if loop in contender.loops:
                    yield Key(contender.name, loop)

    def _take(self, key: Key, job: Job, fresh: bool) -> Sample:
        if fresh:
            self._end(key)
        if key not in self._workers:
            self._workers[key] = Worker()
        self.control.reset()
        try:
            return self._workers[key].take(job)
        except SampleFailed:
            self._end(key)
            raise

    def _end(self, key: Key) -> None:
        if key in self._workers:
            self._workers.pop(key).close()

    @contextmanager
    def workers(self) -> Iterator[None]:
        """End the workers that were started in the block."""
        try:
            yield
        finally:
            for key in list(self._workers):
                self._end(key)


def _tell(progress: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{progress}", end="", file=sys.stderr, flush=True)
