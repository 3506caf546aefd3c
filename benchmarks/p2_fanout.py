"""
P2: many calls at once, first token after 200 ms, then 20 tokens 10 ms apart.

Ideally all of them take 0.39 s. What is measured is what a call costs when a thousand
or five thousand others are under way, each on a connection of its own.

The targets come from one machine, on which a call with nothing but sockets costs 0.13 ms.
Where that costs more, the limits are as much higher; and because a server does not wait
for slow machines, the time of all calls together is judged with one that sends at the
machine's own pace, as well as it can be told from that cost. Machines change their pace
within minutes, so it is told anew before each round.
"""

from __future__ import annotations

import time
from typing import Final

import attrs

from benchmarks._bench import MOTET, Bench, Key, Samples
from benchmarks._contenders import CONTENDERS, RAW, Client
from benchmarks._loops import run
from benchmarks._pacing import WARM_UP, Pacing
from benchmarks._processes import Control, Job, Sample
from benchmarks._report import Column, Report, Verdict, samples_table

ID: Final = "P2"
TITLE: Final = "calls at once"

PACING: Final = Pacing(first=0.2, gap=0.01, tokens=20)
IDEAL: Final = PACING.first + (PACING.tokens - 1) * PACING.gap  # seconds

CPU: Final = Column("cpu_per_call", "ms CPU/call", scale=1e3, digits=3)
WALL: Final = Column("wall_by_ideal", "wall, x ideal", digits=2)
COLUMNS: Final = (
    Column("wall", "s wall", digits=2),
    Column("again_cpu_per_call", "ms CPU/call again", scale=1e3, digits=3),
    Column("again_wall", "s wall again", digits=2),
    Column("server_cpu_per_call", "server's ms CPU/call", scale=1e3, digits=3),
)

REFERENCE: Final = 0.13e-3  # seconds of CPU a call, of raw asyncio where the targets are from
WALL_LIMIT: Final = 2.0  # times the ideal
CPU_LIMIT: Final = 0.9e-3  # seconds a call
PATIENCE: Final = 2e-3  # seconds a call among 1,000; beyond it no other client is asked for 5,000
MANY_PATIENCE: Final = 60.0  # seconds for a sample of 5,000
GROWTH_LIMIT: Final = 1.5  # the cost of a call among 5,000, in units of that among 1,000


def sample(job: Job) -> Sample:
    """Make the calls twice: on new connections, then on those that the first time left."""
    return run(job.loop, _sample, job)


async def _sample(job: Job) -> Sample:
    calls = job.count("calls")
    control = Control(job.url)
    slowness = job.number("slowness")
    pacing = _paced(slowness)
    async with CONTENDERS[job.contender].open(job.url, pacing.model) as client:
        await client.read_many([WARM_UP])
        first = await _fan_out(control, client, calls)
        again = await _fan_out(control, client, calls)
    control.close()
    again = {f"again_{name}": figure for name, figure in again.items()}
    return first | again | {WALL.name: first["wall"] / (IDEAL * slowness)}


def _paced(slowness: float) -> Pacing:
    return attrs.evolve(PACING, first=PACING.first * slowness, gap=PACING.gap * slowness)


async def _fan_out(control: Control, client: Client, calls: int) -> Sample:
    prompts = [f"request-{i}" for i in range(1, calls + 1)]
    control.reset()
    server_cpu = control.stats()["cpu"]
    wall = time.perf_counter()
    cpu = time.process_time()
    await client.read_many(prompts)
    cpu = time.process_time() - cpu
    wall = time.perf_counter() - wall
    stats = control.stats()
    if (stats["completed"], stats["requests"]) != (calls, calls):
        raise ValueError(f"{stats['completed']} of {stats['requests']} replies were completed")
    return {
        "cpu_per_call": cpu / calls,
        "wall": wall,
        "server_cpu_per_call": (stats["cpu"] - server_cpu) / calls,
    }


def measure(bench: Bench) -> Report:
    """Compare all contenders at 1,000 calls; at 5,000 those that can be waited for."""
    report = Report(ID)
    few, many = (200, 1000) if bench.quick else (1000, 5000)
    rounds = bench.rounds(full=5)
    samples_few = bench.collect("p2_fanout", rounds=rounds, calls=few, slowness=1.0)
    slowness = _slowness(samples_few)
    samples_many = bench.collect(
        "p2_fanout",
        rounds=bench.rounds(full=2),
        calls=many,
        slowness=1.0,
        # One sample, set against the least of many, would make any noise look like growth.
        patience=MANY_PATIENCE,
        # Other clients above it look through all connections for each call: hours, not minutes.
        where=lambda key: (
            CONTENDERS[key.contender].role == MOTET
            or (key in samples_few.taken and samples_few.best(key, CPU.name) <= PATIENCE)
        ),
    )
    for calls, samples in ((few, samples_few), (many, samples_many)):
        report.samples[f"N={calls}"] = samples
        title = f"{ID}: {calls:,} {TITLE} (ideal {IDEAL:.2f} s)"
        report.tables.append(samples_table(title, samples, COLUMNS, compared=CPU))
    samples_paced = samples_few
    if slowness > 1:
        samples_paced = _at_the_pace_of_the_machine(bench, rounds, few)
        report.samples[f"N={few}, paced"] = samples_paced
        title = f"{ID}: {few:,} {TITLE}, at the pace that the machine had before each round"
        report.tables.append(samples_table(title, samples_paced, (CPU, *COLUMNS), compared=WALL))
    for key in samples_few.ours():
        report.verdicts.append(_judge_wall(key, samples_paced, few))
        report.verdicts.append(_judge_cpu(key, samples_few, few, slowness))
        report.verdicts.append(_judge_growth(key, samples_few, samples_many, few, many))
    return report


def _at_the_pace_of_the_machine(bench: Bench, rounds: int, calls: int) -> Samples:
    """Motet and raw asyncio with a server that is as slow as the machine, round by round."""
    paced = Samples()
    for _ in range(rounds):
        floor = bench.collect(
            "p2_fanout", rounds=2, calls=calls, slowness=1.0, where=lambda key: key.contender == RAW
        )
        paced = bench.collect(
            "p2_fanout",
            rounds=1,
            calls=calls,
            slowness=_slowness(floor),
            where=lambda key: CONTENDERS[key.contender].role == MOTET or key.contender == RAW,
            into=paced,
        )
    return paced


def _slowness(samples: Samples) -> float:
    """How much slower than where the targets are from; 1 if that is not known or not so."""
    floor = [samples.best(key, CPU.name) for key in samples.of(RAW) if key.loop == "asyncio"]
    return round(max([1.0, *(cpu / REFERENCE for cpu in floor)]), 1)


def _judge_wall(key: Key, samples: Samples, calls: int) -> Verdict:
    # The median: where the pace was told wrong in one round, that round does not decide.
    wall = samples.median(key, WALL.name)
    return Verdict(
        ID,
        f"N={calls:,}, wall{key.protocol}",
        key.loop,
        f"{wall:.2f}",
        f"<= {WALL_LIMIT:g} x ideal",
        wall <= WALL_LIMIT,
    )


def _judge_cpu(key: Key, samples: Samples, calls: int, slowness: float) -> Verdict:
    cpu, limit = samples.best(key, CPU.name), CPU_LIMIT * slowness
    scaled = f", x {slowness:.1f} for the machine" if slowness > 1 else ""
    return Verdict(
        ID,
        f"N={calls:,}, CPU a call{key.protocol}",
        key.loop,
        f"{cpu * 1e3:.2f} ms",
        f"<= {limit * 1e3:.2g} ms{scaled}",
        cpu <= limit,
    )


def _judge_growth(
    key: Key, samples_few: Samples, samples_many: Samples, few: int, many: int
) -> Verdict:
    case = f"N={many:,}, CPU a call{key.protocol}"
    target = f"<= {GROWTH_LIMIT:g} x N={few:,}"
    if key not in samples_many.taken:
        return Verdict(ID, case, key.loop, samples_many.failed.get(key, ""), target, met=False)
    growth = samples_many.best(key, CPU.name) / samples_few.best(key, CPU.name)
    return Verdict(ID, case, key.loop, f"{growth:.2f}", target, growth <= GROWTH_LIMIT)
