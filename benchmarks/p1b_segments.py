"""
P1b: the same reply with one token per TCP segment.

The server writes a token each millisecond, so every read of the client brings one: what
is measured is a token together with the wake-up, the system call and the event loop.
"""

from __future__ import annotations

from typing import Final

from benchmarks._bench import Bench
from benchmarks._pacing import Pacing
from benchmarks._report import Report, samples_table
from benchmarks.p1_burst import CPU, PIECES, judge_ratio

ID: Final = "P1b"
TITLE: Final = "the same, one token per TCP segment: client CPU per token"


def measure(bench: Bench) -> Report:
    """Compare all contenders."""
    pacing = Pacing(tokens=300 if bench.quick else 1_000, gap=0.001, segments=True)
    rounds = bench.rounds(full=5, quick=2)
    samples = bench.collect("p1_burst", rounds=rounds, model=pacing.model)
    report = Report(ID, samples={"segments": samples})
    title = f"{ID}: {TITLE} ({pacing.tokens:,} tokens, 1 ms apart, {rounds} rounds)"
    report.tables.append(samples_table(title, samples, [PIECES], compared=CPU))
    report.verdicts += judge_ratio(ID, "astream()", samples, CPU.name, limit=1.15)
    return report
