"""
P6: one long reply, cut into chunks that are validated by one trivial requirement.

Words and sentences, through `stream_with_chunking()` and `stream()`, for three lengths: does
the cost of a word depend on how many there are? The text comes from a backend inside the
process, some words at each wake-up as a socket would bring them, so that there is nothing
to be seen but motet.
"""

from __future__ import annotations

import importlib
import time
from typing import Any, Final

import anyio.lowlevel

from benchmarks._bench import MOTET, Bench
from benchmarks._loops import run
from benchmarks._processes import Job, Sample
from benchmarks._report import Report, Table, Verdict

ID: Final = "P6"
TITLE: Final = "one long reply, validated chunk by chunk"

LENGTHS: Final = (5_000, 50_000, 500_000)  # words
JUDGED: Final = 50_000
LIMIT: Final = 1.0  # seconds, for so many words
LINEAR: Final = 1.5  # a word of the longest reply costs at most so many of a shorter one
AT_ONCE: Final = (50, 1)  # words at a wake-up; 1 is the worst that a server can do
SENTENCE: Final = 10  # words

CHUNKINGS: Final = ("word", "sentence")
ENTRIES: Final = ("stream_with_chunking", "stream")


def sample(job: Job) -> Sample:
    """Take one reply of every length through every chunking and entry point."""
    return run(job.loop, _sample, job.count("longest"), job.count("at_once"))


async def _sample(longest: int, at_once: int) -> Sample:
    for entry in ENTRIES:  # what is imported at the first call is not measured
        await _read(LENGTHS[0], at_once, CHUNKINGS[0], entry)
    found: Sample = {}
    for words in LENGTHS:
        if words > longest:
            break
        for chunking in CHUNKINGS:
            for entry in ENTRIES:
                start = time.perf_counter()
                chunks = await _read(words, at_once, chunking, entry)
                found[_name(words, chunking, entry)] = time.perf_counter() - start
                expected = words if chunking == "word" else words // SENTENCE
                if chunks != expected:
                    raise ValueError(f"{chunks} chunks, not {expected}")
    return found


async def _read(words: int, at_once: int, chunking: str, entry: str) -> int:
    motet: Any = importlib.import_module("motet")
    streaming: Any = importlib.import_module(
        "motet._programs.streaming." + ("streamer" if entry == "stream" else "chunked")
    )
    requirement = motet.Requirement("anything", lambda _: True)
    running = await getattr(streaming, entry)(
        motet.CBlock("go"),
        _talker(motet, words, at_once),
        motet.SimpleContext(),
        requirements=[requirement],
        chunking=chunking,
    )
    chunks = 0
    async with running:
        async for _ in running if entry == "stream" else running.astream():
            chunks += 1
        if entry != "stream":
            await running.acomplete()
    return chunks


def _talker(motet: Any, words: int, at_once: int) -> Any:
    class Talker(motet.Backend):  # type: ignore[misc]  # imported when the worker runs
        """Says words as fast as it can."""

        async def reply(self, request: Any, reply: Any) -> None:
            for number in range(1, words + 1):
                reply.feed("word " if number % SENTENCE else "word. ")
                if number % at_once == 0:
                    await anyio.lowlevel.checkpoint()
            reply.finish()

    return Talker("talker")


def _name(words: int, chunking: str, entry: str) -> str:
    return f"{words}/{chunking}/{entry}"


def measure(bench: Bench) -> Report:
    """Measure motet alone on each loop; one figure for each length, chunking and entry point."""
    longest = LENGTHS[1] if bench.quick else LENGTHS[2]
    lengths = [words for words in LENGTHS if words <= longest]
    rounds = bench.rounds(full=3)
    report = Report(ID)
    for at_once in AT_ONCE:
        samples = bench.collect(
            "p6_chunks",
            rounds=rounds,
            where=lambda key: key.contender == MOTET,
            longest=longest,
            at_once=at_once,
        )
        report.samples[f"{at_once} at once"] = samples
        arriving = f"{at_once} word{'s' if at_once > 1 else ''} at a wake-up"
        table = Table(
            f"{ID}: {TITLE} ({arriving}, {rounds} rounds)",
            (
                "loop",
                "chunks, entry point",
                *(f"{words:,} words, s, least" for words in lengths),
                "a word of the longest / of the shortest",
            ),
        )
        report.tables.append(table)
        for key in samples.taken:
            for chunking in CHUNKINGS:
                for entry in ENTRIES:
                    taken = {n: samples.best(key, _name(n, chunking, entry)) for n in lengths}
                    growth = taken[longest] / longest * lengths[0] / taken[lengths[0]]
                    table.rows.append(
                        (
                            key.loop,
                            f"{chunking}, {entry}()",
                            *(f"{seconds:.3f}" for seconds in taken.values()),
                            f"{growth:.2f}",
                        )
                    )
                    case = f"{chunking}, {entry}(), {at_once} at once"
                    report.verdicts += [
                        Verdict(
                            ID,
                            case,
                            key.loop,
                            f"{taken[JUDGED]:.2f} s",
                            f"<= {LIMIT:g} s",
                            taken[JUDGED] <= LIMIT,
                        ),
                        Verdict(
                            ID,
                            f"{case}, growth",
                            key.loop,
                            f"{growth:.2f}",
                            f"<= {LINEAR:g}",
                            growth <= LINEAR,
                        ),
                    ]
        table.rows += [(key.loop, key.contender, why) for key, why in samples.failed.items()]
    return report
