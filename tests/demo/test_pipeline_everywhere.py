"""The feedback pipeline, cancelled at every checkpoint of each of its tasks, and with a backend that fails.

    python tests/demo/test_pipeline_everywhere.py

prints how many checkpoints there are.
"""

import time
from typing import Any, Final

import motet
from motet.demo._items import FeedbackItem
from motet.demo._rows import Board, Status
from motet.demo.pipeline import process
from motet.testing import (
    Report,
    ScriptedBackend,
    Way,
    cancel_everywhere,
    fail_everywhere,
    on_both_loops,
    slow_everywhere,
)

SUMMARY: Final = ["It was ", 1.0, "slow."]
ISSUES: Final = [2.0, '{"main_complaint": "slow", "positive_aspect": "", ', '"urgency": "low"}']
SENTIMENT: Final = ['{"sentiment": ', 1.0, '"negative"}']


def backend() -> ScriptedBackend:
    scripted = ScriptedBackend([])
    for when, reply in (("Summarise", SUMMARY), ("Extract", ISSUES), ("Classify", SENTIMENT)):
        scripted.script([reply] * 2, when=when)
    return scripted


def board() -> Board:
    return Board.of([FeedbackItem(str(number), f"It was slow, {number}.") for number in (1, 2)])


async def pipeline(backend: Any) -> list[Any]:
    rows = board()
    async with motet.open_session(backend) as m:
        await process(m, rows)
    backend.assert_idle()
    assert all(row.status is not Status.IN_FLIGHT for row in rows.rows)
    return [(row.summary, row.main_complaint, row.urgency, row.sentiment) for row in rows.rows]


def cancelled() -> tuple[Report, Report]:
    backends: list[ScriptedBackend] = []

    async def scenario() -> None:
        backends.append(backend())
        async with motet.open_session(backends[-1]) as m:
            await process(m, board())

    async def nothing_runs() -> None:
        backends[-1].assert_idle()

    return on_both_loops(
        cancel_everywhere,
        scenario,
        ways=[Way.SCOPE, Way.NATIVE],
        all_tasks=True,
        after=nothing_runs,
    )


def test_it_can_be_cancelled_everywhere() -> None:
    for report in cancelled():
        functions = " ".join(checkpoint.where for checkpoint in report.checkpoints)
        # Its workers, the followers of its replies, and the tasks in which the model speaks.
        for name in ("scenario", "ainstruct", "_fill", "receive", "_sleep"):
            assert f"({name})" in functions, functions


def test_its_backend_may_fail_everywhere() -> None:
    for report in on_both_loops(fail_everywhere, pipeline, backend):
        assert report.checkpoints


def test_its_result_does_not_depend_on_time() -> None:
    for report in on_both_loops(slow_everywhere, pipeline, backend, pause=7.0):
        assert report.checkpoints


if __name__ == "__main__":
    began = time.perf_counter()
    for report in cancelled():
        print(report)
    print(f"{time.perf_counter() - began:.1f} s")
