"""
P9: what a synchronous call costs beyond the asynchronous one.

Twice: *the hop* alone, a function that does nothing, run on the event loop of another
thread, beside the two ways that asyncio and anyio offer; and *the whole call*,
`m.instruct()` less `await m.ainstruct()` for a reply of one token.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import anyio
import anyio.from_thread

from benchmarks._bench import MOTET, Bench
from benchmarks._loops import run
from benchmarks._pacing import WARM_UP, Pacing
from benchmarks._processes import Job, Sample
from benchmarks._report import Report, Table, Verdict

ID: Final = "P9"
TITLE: Final = "what a synchronous call costs beyond the asynchronous one"

LIMIT: Final = 80e-6  # seconds
BATCHES: Final = 10
PACING: Final = Pacing(tokens=1)

FIGURES: Final = (
    ("motet", "the hop: motet's portal"),
    ("anyio", "the hop: anyio's BlockingPortal"),
    ("threadsafe", "the hop: asyncio.run_coroutine_threadsafe"),
    ("sync_call", "the whole call: m.instruct()"),
    ("async_call", "the whole call: await m.ainstruct()"),
)


def sample(job: Job) -> Sample:
    """Time batches of calls of every kind, in turns; the median call of the best batch."""
    os.environ["MOTET_PORTAL"] = job.loop
    motet = importlib.import_module("motet")
    calls = job.count("calls")
    portal = importlib.import_module("motet._runtime.portal").default_portal()
    times: dict[str, list[float]] = {name: [] for name, _ in FIGURES}
    with (
        _threadsafe_loop() as run_threadsafe,
        anyio.from_thread.start_blocking_portal(job.loop) as anyio_portal,
        motet.start_session("ollama", PACING.model, base_url=job.url) as m,
    ):
        hops: dict[str, Callable[[], object]] = {
            "motet": lambda: portal.call(_nothing),
            "anyio": lambda: anyio_portal.call(_nothing),
            "threadsafe": run_threadsafe,
        }
        m.instruct(WARM_UP)
        for _ in range(BATCHES):
            for name, hop in hops.items():
                times[name].append(_median_call(hop, calls))
            times["sync_call"].append(_median_call(lambda: m.instruct(WARM_UP), calls // 4))
            times["async_call"].append(run(job.loop, _median_async_call, job.url, calls // 4))
    return {name: min(batches) for name, batches in times.items()}


def _median_call(fn: Callable[[], object], calls: int) -> float:
    taken = []
    for _ in range(calls):
        start = time.perf_counter()
        fn()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


async def _median_async_call(url: str, calls: int) -> float:
    motet: Any = importlib.import_module("motet")
    taken = []
    async with motet.open_session("ollama", PACING.model, base_url=url) as m:
        await m.ainstruct(WARM_UP, await_result=True)
        for _ in range(calls):
            start = time.perf_counter()
            await m.ainstruct(WARM_UP, await_result=True)
            taken.append(time.perf_counter() - start)
    return statistics.median(taken)


async def _nothing() -> None: ...


@contextmanager
def _threadsafe_loop() -> Iterator[Callable[[], object]]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield lambda: asyncio.run_coroutine_threadsafe(_nothing(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def measure(bench: Bench) -> Report:
    """Time the hop and the whole call on each loop a portal can have."""
    samples = bench.collect(
        "p9_portal",
        rounds=bench.rounds(full=3),
        where=lambda key: key.contender == MOTET and key.loop != "uvloop",
        calls=100 if bench.quick else 400,
    )
    report = Report(ID, samples={"portal": samples})
    table = Table(f"{ID}: {TITLE}", ("loop", "call", "µs wall, least", "median"))
    report.tables.append(table)
    for key in samples.taken:
        for name, heading in FIGURES:
            least, median = samples.best(key, name), samples.median(key, name)
            table.rows.append((key.loop, heading, f"{least * 1e6:,.1f}", f"{median * 1e6:,.1f}"))
        hop = samples.best(key, "motet") * 1e6
        limit = LIMIT * 1e6
        report.verdicts.append(
            Verdict(ID, "the hop", key.loop, f"{hop:.0f} µs", f"<= {limit:.0f} µs", hop <= limit)
        )
    table.rows += [(k.loop, k.contender, reason) for k, reason in samples.failed.items()]
    return report
