"""
P3: does the server stop when nobody listens any more, and how soon?

*Abandoned*: a hundred streams whose consumers give up after 0.5 s. The server is asked
how many replies it still serves, and how many tokens it sent for nobody.

*Cancelled*: streams are cancelled one by one, and the time from the call that cancels
(on the client's clock) to the hang-up (on the server's, which is the same clock) is taken.
"""

from __future__ import annotations

import inspect
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from benchmarks._bench import MOTET, Bench, Key, Samples
from benchmarks._contenders import CONTENDERS, Client, MotetClient
from benchmarks._loops import run
from benchmarks._pacing import WARM_UP, Pacing
from benchmarks._processes import Control, Job, Sample
from benchmarks._report import Column, Report, Table, Verdict, samples_table

ID: Final = "P3"
TITLE: Final = "streams whose consumer is gone: what the server notices"

PACING: Final = Pacing(gap=0.02, tokens=1_000_000)
STREAMS: Final = 100
CONSUMER_TIMEOUT: Final = 0.5  # seconds
ASK_AFTER: Final = (0.0, 0.25, 0.5, 1.0, 3.0)  # seconds after the consumers gave up
LINGER: Final = 0.25  # seconds; motet's default
# They all end in the same moment, one after the other, and the server goes on meanwhile.
UNWINDING: Final = 0.05  # seconds

MEDIAN: Final = Column("median", "ms to hang-up", scale=1e3, digits=3)
P99: Final = Column("p99", "99 % within", scale=1e3, digits=3)

READ: Final = "read"  # the consumer's loop in a cancel scope, nothing else
SCOPED: Final = "async with thunk"
CALLED: Final = "cancel_generation()"


def sample(job: Job) -> Sample:
    """Take the sample that the parameter *what* names."""
    match job.params["what"]:
        case "abandoned":
            return run(job.loop, _abandon, job)
        case _:
            return run(job.loop, _cancel, job)


async def _consume(client: Client, way: str, prompt: str) -> None:
    if way == READ:
        await client.read(prompt, _ignore)
        return
    assert isinstance(client, MotetClient)
    async with await client.start(prompt) as thunk:
        async for delta in thunk:
            _ignore(delta)


def _ignore(_: str) -> None: ...


async def _abandon(job: Job) -> Sample:
    way = str(job.params["way"])
    control = Control(job.url)

    async def consume(prompt: str) -> None:
        with anyio.move_on_after(CONSUMER_TIMEOUT):
            await _consume(client, way, prompt)

    figures: Sample = {}
    async with CONTENDERS[job.contender].open(job.url, PACING.model) as client:
        await client.read(WARM_UP, _ignore)
        control.reset()
        async with anyio.create_task_group() as tasks:
            for i in range(STREAMS):
                tasks.start_soon(consume, f"request-{i}")
        gave_up = time.monotonic()
        before = control.stats()
        figures[_serving_after(ASK_AFTER[0])] = before["serving"]
        for seconds in ASK_AFTER[1:]:
            await anyio.sleep(gave_up + seconds - time.monotonic())
            figures[_serving_after(seconds)] = control.stats()["serving"]
        after = control.stats()
    control.close()
    if before["requests"] != STREAMS or after["completed"]:
        raise ValueError(f"not what was measured for: {after}")
    return figures | {"wasted": after["tokens"] - before["tokens"]}


def _serving_after(seconds: float) -> str:
    return f"serving after {seconds:g} s"


async def _cancel(job: Job) -> Sample:
    way = str(job.params["way"])
    streams = job.count("streams")
    control = Control(job.url)
    control.reset()
    cancels: dict[int, Callable[[], Awaitable[None]]] = {}

    async def consume(i: int) -> None:
        with anyio.CancelScope() as scope:

            async def cancel() -> None:
                scope.cancel()

            cancels[i] = cancel
            await _consume(client, way, f"request-{i}")

    async def start_and_cancel_by_call(i: int) -> None:
        assert isinstance(client, MotetClient)
        thunk = await client.start(f"request-{i}")

        async def cancel() -> None:
            # Whether it waits until the generation has unwound is the library's choice.
            answer = thunk.cancel_generation()
            if inspect.isawaitable(answer):
                await answer

        cancels[i] = cancel
        async for delta in thunk:
            _ignore(delta)

    cancelled_at: dict[int, float] = {}
    async with CONTENDERS[job.contender].open(job.url, PACING.model) as client:
        async with anyio.create_task_group() as tasks:
            fn = start_and_cancel_by_call if way == CALLED else consume
            for i in range(streams):
                tasks.start_soon(fn, i)
            await anyio.sleep(1.0)
            for i in range(streams):
                cancelled_at[i] = time.monotonic()
                await cancels[i]()
                await anyio.sleep(0.005)  # one at a time
        hung_up_at = {i: at for i, at in control.stats()["hangups"] if i >= 0}
    control.close()
    if missing := cancelled_at.keys() - hung_up_at.keys():
        raise ValueError(f"no hang-up of {len(missing)} streams in {streams}")
    waits = [hung_up_at[i] - at for i, at in cancelled_at.items()]
    return {
        "median": statistics.median(waits),
        "p99": statistics.quantiles(waits, n=100)[-1],
    }


def measure(bench: Bench) -> Report:
    """Both questions; motet in its structured and its plain forms."""
    report = Report(ID)
    table = Table(
        f"{ID}: {STREAMS} streams of {1 / PACING.gap:g} tokens a second, "
        f"given up after {CONSUMER_TIMEOUT:g} s: still served after",
        ("loop", "client", *(f"{seconds:g} s" for seconds in ASK_AFTER), "tokens for nobody"),
    )
    report.tables.append(table)
    for way in (READ, SCOPED):
        samples = bench.collect(
            "p3_hangup",
            rounds=1,
            where=_anybody if way == READ else _is_motet,
            what="abandoned",
            way=way,
        )
        report.samples[f"abandoned, {way}"] = samples
        for key in samples.taken:
            table.rows.append(_row(key, way, samples))
            if key.contender == MOTET:
                report.verdicts += _judge_abandoned(key, way, samples)
        table.rows += [(k.loop, k.contender, reason) for k, reason in samples.failed.items()]
    for way in (CALLED, SCOPED, READ):
        samples = bench.collect(
            "p3_hangup",
            rounds=bench.rounds(full=3),
            # A plain read in motet is let go only after its linger: nothing to time.
            where=_is_another if way == READ else _is_motet,
            what="cancelled",
            way=way,
            streams=50 if bench.quick else STREAMS,
        )
        report.samples[f"cancelled, {way}"] = samples
        title = f"{ID}: from cancelling to the hang-up at the server, by {way}"
        report.tables.append(samples_table(title, samples, [P99], compared=MEDIAN))
        for key in samples.of(MOTET):
            report.verdicts += _judge_cancelled(key, way, samples)
    return report


def _anybody(key: Key) -> bool:
    return True


def _is_motet(key: Key) -> bool:
    return key.contender == MOTET


def _is_another(key: Key) -> bool:
    return key.contender != MOTET


def _row(key: Key, way: str, samples: Samples) -> tuple[str, ...]:
    return (
        key.loop,
        key.contender if way == READ else f"{key.contender}, {way}",
        *(f"{samples.worst(key, _serving_after(seconds)):.0f}" for seconds in ASK_AFTER),
        f"{samples.worst(key, 'wasted'):.0f}",
    )


def _judge_abandoned(key: Key, way: str, samples: Samples) -> list[Verdict]:
    linger = LINGER if way == READ else 0.0
    soonest = min(seconds for seconds in ASK_AFTER if seconds > linger or not linger)
    serving = samples.worst(key, _serving_after(soonest))
    wasted = samples.worst(key, "wasted")
    may_waste = STREAMS * (linger + UNWINDING) / PACING.gap
    return [
        Verdict(
            ID,
            f"served {soonest:g} s after, {way}",
            key.loop,
            f"{serving:.0f}",
            "0",
            serving == 0,
        ),
        Verdict(
            ID,
            f"tokens for nobody, {way}",
            key.loop,
            f"{wasted:.0f}",
            f"<= {may_waste:.0f}",
            wasted <= may_waste,
        ),
    ]


def _judge_cancelled(key: Key, way: str, samples: Samples) -> list[Verdict]:
    verdicts = []
    for column, limit in ((MEDIAN, 1e-3), (P99, 10e-3)):
        figure = samples.median(key, column.name)
        verdicts.append(
            Verdict(
                ID,
                f"hang-up, {column.name}, {way}",
                key.loop,
                f"{figure * 1e3:.2f} ms",
                f"<= {limit * 1e3:g} ms",
                figure <= limit,
            )
        )
    return verdicts
