"""
P5: memory for each reply in flight, with its connection.

A thousand replies that have sent one token and then nothing are held open, and the
growth of the process is divided among them. Each sample is a process of its own, so no
memory that was free before hides the growth. Replies that are complete and kept show
what a thunk weighs without its connection.
"""

from __future__ import annotations

import gc
import resource
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import anyio

from benchmarks._bench import MOTET, Bench, Key
from benchmarks._contenders import CONTENDERS, Client, MotetClient
from benchmarks._loops import run
from benchmarks._pacing import Pacing
from benchmarks._processes import Control, Job, Sample
from benchmarks._report import Column, Report, Verdict, samples_table

ID: Final = "P5"
TITLE: Final = "memory for each reply in flight"

HELD: Final = Pacing(tokens=1, silence=3600)
SHORT: Final = Pacing(tokens=1)
FIRST: Final = 10  # replies before the first look: they pay for what is made once
BATCH: Final = 50

BYTES: Final = Column("bytes_per_reply", "KiB/reply", scale=1 / 1024)

LIMIT_HELD: Final = 34 * 1024
LIMIT_THUNK: Final = 2 * 1024


def sample(job: Job) -> Sample:
    """Take the sample that the parameter *what* names."""
    match job.params["what"]:
        case "held":
            return run(job.loop, _hold, job, _resident)
        case "held, traced":
            tracemalloc.start()
            return run(job.loop, _hold, job, _traced)
        case _:
            tracemalloc.start()
            return run(job.loop, _keep, job)


async def _hold(job: Job, memory: Callable[[], int]) -> Sample:
    replies = job.count("replies")
    control = Control(job.url)
    async with (
        CONTENDERS[job.contender].open(job.url, HELD.model) as client,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(_read, client, str(job.params["way"]), 0, FIRST)
        await _until_served(control, FIRST)
        before = memory()
        tasks.start_soon(_read, client, str(job.params["way"]), FIRST, FIRST + replies)
        await _until_served(control, FIRST + replies)
        growth = memory() - before
        tasks.cancel_scope.cancel()
    control.close()
    return {"bytes_per_reply": growth / replies}


async def _read(client: Client, way: str, start: int, stop: int) -> None:
    prompts = [f"request-{i}" for i in range(start, stop)]
    if way == "read_many":
        await client.read_many(prompts)
        return
    async with anyio.create_task_group() as tasks:
        for prompt in prompts:
            tasks.start_soon(client.read, prompt, _ignore)


def _ignore(_: str) -> None: ...


async def _until_served(control: Control, replies: int) -> None:
    while control.stats()["tokens"] < replies:  # noqa: ASYNC110 - another process knows
        await anyio.sleep(0.05)
    await anyio.sleep(0.5)  # the tokens were sent; now they are read, too


async def _keep(job: Job) -> Sample:
    replies = job.count("replies")
    async with CONTENDERS[job.contender].open(job.url, SHORT.model) as client:
        assert isinstance(client, MotetClient)
        kept: list[Any] = []
        await _complete(client, kept, 2 * BATCH)
        before = _traced()
        await _complete(client, kept, replies)
        growth = _traced() - before
    return {"bytes_per_reply": growth / replies}


async def _complete(client: MotetClient, kept: list[Any], replies: int) -> None:
    # A few at a time: connections that are kept must not count as thunks.
    for _ in range(replies // BATCH):
        thunks = [await client.start("request-0") for _ in range(BATCH)]
        for thunk in thunks:
            await thunk.avalue()
        kept += thunks


def _resident() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _traced() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def _anybody(key: Key) -> bool:
    return True


def _is_motet(key: Key) -> bool:
    return key.contender == MOTET


def measure(bench: Bench) -> Report:
    """Compare all contenders, then weigh thunks that are complete."""
    # Together with the first ones less than 1,000, where openai has a limit.
    replies = 200 if bench.quick else 900
    report = Report(ID)
    cases = (
        ("held", "read", "resident set, each read by a task"),
        ("held, traced", "read", "Python objects only, each read by a task"),
        ("held", "read_many", "resident set, waited for together"),
        ("kept", "", "complete and kept, Python objects"),
    )
    for what, way, heading in cases:
        samples = bench.collect(
            "p5_memory",
            rounds=bench.rounds(full=3 if what == "held" else 1),
            # Only motet has more than one way, and thunks.
            where=_anybody if way == "read" else _is_motet,
            fresh=True,
            what=what,
            way=way,
            replies=replies,
        )
        report.samples[f"{what}, {way}"] = samples
        title = f"{ID}: {TITLE}: {heading} ({replies:,} replies)"
        report.tables.append(samples_table(title, samples, [], compared=BYTES))
        if what == "held, traced":
            continue
        limit = LIMIT_HELD if what == "held" else LIMIT_THUNK
        for key in samples.of(MOTET):
            figure = samples.median(key, BYTES.name)
            report.verdicts.append(
                Verdict(
                    ID,
                    heading,
                    key.loop,
                    f"{figure / 1024:.1f} KiB",
                    f"<= {limit / 1024:g} KiB",
                    figure <= limit,
                )
            )
    return report
