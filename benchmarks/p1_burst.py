"""
P1: one reply of 20,000 tokens without delay, one HTTP chunk per token.

The server sends everything at once, so every read of the client brings hundreds of
tokens: what is measured is what a token costs when the network costs nothing.
"""

from __future__ import annotations

import time
from typing import Final

from benchmarks._bench import BARE, PEER, Bench, Samples
from benchmarks._contenders import CONTENDERS
from benchmarks._loops import run
from benchmarks._pacing import WARM_UP, Pacing, parse_model
from benchmarks._processes import Job, Sample
from benchmarks._report import Column, Report, Verdict, samples_table

ID: Final = "P1"
TITLE: Final = "one reply of many tokens in a burst: client CPU per token"

CPU: Final = Column("cpu_per_token", "µs CPU/token", scale=1e6, digits=2)
WALL: Final = Column("wall_per_token", "µs wall/token", scale=1e6, digits=2)
PIECES: Final = Column("pieces", "pieces", digits=0)


def sample(job: Job) -> Sample:
    """Read one reply; the session, its connection and its code are warm."""
    return run(job.loop, _sample, job)


async def _sample(job: Job) -> Sample:
    model = str(job.params["model"])
    pacing = parse_model(model)
    pieces: list[str] = []
    async with CONTENDERS[job.contender].open(job.url, model) as client:
        await client.read(WARM_UP, pieces.append)
        pieces.clear()
        wall = time.perf_counter()
        cpu = time.process_time()
        await client.read("request-1", pieces.append)
        cpu = time.process_time() - cpu
        wall = time.perf_counter() - wall
    if len("".join(pieces)) != pacing.characters:
        raise ValueError(f"{len(''.join(pieces))} characters, not {pacing.characters}")
    return {
        "cpu_per_token": cpu / pacing.tokens,
        "wall_per_token": wall / pacing.tokens,
        "pieces": len(pieces),
    }


def measure(bench: Bench) -> Report:
    """Compare all contenders."""
    pacing = Pacing(tokens=5_000 if bench.quick else 20_000)
    rounds = bench.rounds(full=7, quick=3)
    samples = bench.collect("p1_burst", rounds=rounds, model=pacing.model)
    report = Report(ID, samples={"burst": samples})
    title = f"{ID}: {TITLE} ({pacing.tokens:,} tokens, {rounds} rounds)"
    report.tables.append(samples_table(title, samples, [WALL, PIECES], compared=CPU))
    report.verdicts += judge_ratio(ID, "astream()", samples, CPU.name, limit=1.0)
    report.verdicts += judge_ratio(ID, "astream()", samples, CPU.name, limit=1.0, to=PEER)
    return report


def judge_ratio(
    measure_id: str, case: str, samples: Samples, name: str, *, limit: float, to: str = BARE
) -> list[Verdict]:
    """Judge motet's figure by the best with the role *to*, on each event loop."""
    whom = "bare httpx2" if to == BARE else "the best peer"
    return [
        Verdict(
            measure_id,
            case + key.protocol,
            key.loop,
            f"{ratio:.2f}",
            f"<= {limit:g} x {whom}",
            ratio <= limit,
        )
        for key in samples.ours()
        if (ratio := samples.ratio(key, name, to)) is not None
    ]
