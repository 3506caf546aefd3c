"""
P8: first token sent at 100 ms, then one every 50 ms: when does the consumer see them?

Every token carries the server's clock, which is the client's too, so lateness is
measured for each one: from before the server's write to the consumer's hands.
"""

from __future__ import annotations

import statistics
import time
from typing import Final

from benchmarks._bench import BARE, MOTET, PEER, Bench
from benchmarks._contenders import CONTENDERS
from benchmarks._loops import run
from benchmarks._pacing import WARM_UP, Pacing
from benchmarks._processes import Job, Sample
from benchmarks._report import Column, Report, Verdict, samples_table

ID: Final = "P8"
TITLE: Final = "how late the consumer sees each token"

PACING: Final = Pacing(first=0.1, gap=0.05, tokens=40, stamped=True)

MEDIAN: Final = Column("lateness", "ms late", scale=1e3, digits=3)
WORST: Final = Column("worst_lateness", "ms late at worst", scale=1e3, digits=3)
FIRST: Final = Column("first_seen", "first token, ms", scale=1e3, digits=1)
PIECES: Final = Column("pieces", "pieces", digits=0)

# What two runs of the same client differ by: a thread's wake-up, the server's clock tick.
LATENESS_TIE: Final = 0.1e-3  # seconds
FIRST_TIE: Final = 1e-3  # seconds


def sample(job: Job) -> Sample:
    """Read one reply on a warm connection and note when each piece came."""
    return run(job.loop, _sample, job)


async def _sample(job: Job) -> Sample:
    seen: list[tuple[float, str]] = []

    def note(piece: str) -> None:
        seen.append((time.monotonic(), piece))

    async with CONTENDERS[job.contender].open(job.url, PACING.model) as client:
        await client.read(WARM_UP, note)
        seen.clear()
        start = time.monotonic()
        await client.read("request-1", note)
    # A client that merges tokens hands on several stamps in one piece.
    late = [at - float(stamp) for at, piece in seen for stamp in piece.split()]
    if len(late) != PACING.tokens:
        raise ValueError(f"{len(late)} tokens, not {PACING.tokens}")
    return {
        "lateness": statistics.median(late),
        "worst_lateness": max(late),
        "first_seen": seen[0][0] - start,
        "pieces": sum(1 for _, piece in seen if piece),
    }


def measure(bench: Bench) -> Report:
    """Compare all contenders."""
    samples = bench.collect("p8_lateness", rounds=bench.rounds(full=5), model=PACING.model)
    report = Report(ID, samples={"paced": samples})
    title = f"{ID}: {TITLE} (first at 100 ms, then every 50 ms)"
    report.tables.append(samples_table(title, samples, [WORST, FIRST, PIECES], compared=MEDIAN))
    for key in samples.of(MOTET):
        pieces = samples.best(key, PIECES.name)
        whole = f"{PACING.tokens} of {PACING.tokens}"
        report.verdicts.append(
            Verdict(
                ID,
                "pieces seen",
                key.loop,
                f"{pieces:.0f} of {PACING.tokens}",
                whole,
                pieces == PACING.tokens,
            )
        )
        for column, tie in ((MEDIAN, LATENESS_TIE), (FIRST, FIRST_TIE)):
            mine = samples.median(key, column.name) * 1e3
            others = [
                samples.median(other, column.name) * 1e3
                for other in samples.taken
                if other.loop == key.loop and CONTENDERS[other.contender].role in (BARE, PEER)
            ]
            if others:
                target = f"<= {min(others):.2f} ms (best other) + {tie * 1e3:g}"
                met = mine <= min(others) + tie * 1e3
                report.verdicts.append(
                    Verdict(ID, column.heading, key.loop, f"{mine:.2f} ms", target, met)
                )
    return report
