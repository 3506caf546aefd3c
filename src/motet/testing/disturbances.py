"""Let a backend fail, or be slow, at every place where it waits, and look what becomes of it.

`cancel_everywhere` tries what a program does when *it* is cancelled. Here the backend is
disturbed: `fail_everywhere` has the first thing that it awaits raise an error, then the
second, ... `slow_everywhere` has each take longer in turn, so that what usually comes first
comes last. The program's answer to the first is up to it, as long as it leaves nothing
behind and hides no error of its own; to the second there is only one answer, the same result.

The places are those of the backend's own coroutine, seen as in `sweep`: from between it and
its event loop.
"""

import enum
import functools
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from typing import Any, Final, TypeVar

import anyio
import attrs

from .._values.errors import ConnectionLost
from ..backends.base import Backend
from .leaks import Census, Probe, frames, place
from .sweep import (
    Checkpoint,
    Finding,
    LoopOptions,
    Report,
    SweepFailed,
    complaints,
    only_new_garbage,
)
from .virtual_time import virtual_loop

T = TypeVar("T")

Scenario = Callable[[Any], Awaitable[object]]


class Disturbance(enum.StrEnum):
    """How the backend is disturbed."""

    FAILED = "failed in the backend"
    SLOWED = "slow in the backend"


def _broken() -> Exception:
    return ConnectionLost("the connection broke (injected)")


def _virtual() -> LoopOptions:
    return virtual_loop("asyncio")


def fail_everywhere(
    scenario: Scenario,
    backend: Callable[[], Backend],
    *,
    error: Callable[[], Exception] = _broken,
    loop: Callable[[], LoopOptions] = _virtual,
    patience: float = 0.0,
    after: Callable[[], Awaitable[object]] | None = None,
    probes: Sequence[Probe] = (),
    limit: int = 10_000,
) -> Report:
    """Run a scenario once for every await of its backend, which raises an error there.

    The scenario may raise that error, an error that it caused, or none: it may have repaired
    it. What it must not do is raise something else, or leave something behind.

    It starts event loops of its own, so it is called from sync code.

    Args:
        scenario: what to run; an async function of the backend.
        backend: makes the backend of a run; a `ScriptedBackend`, for instance.
        error: makes what is raised; `ConnectionLost` without it.
        loop: called for every run; the name and the options of the event loop. A virtual
            clock of asyncio without it.
        patience: seconds on the event loop's clock that what was started may go on.
        after: called on the event loop after each run, for assertions of its own.
        probes: functions that tell what is open beside what a census counts.
        limit: the number of runs after which the sweep gives up.

    Returns:
        What was seen; its findings are empty.

    Raises:
        SweepFailed: at least one run has a finding; ``report`` has all.
        RuntimeError: *limit* was reached.
    """
    plan = _Plan(scenario, backend, loop, patience, after, probes, limit)
    return plan.run(Disturbance.FAILED, error, 0.0)


def slow_everywhere(
    scenario: Scenario,
    backend: Callable[[], Backend],
    *,
    pause: float = 1.0,
    loop: Callable[[], LoopOptions] = _virtual,
    patience: float = 0.0,
    after: Callable[[], Awaitable[object]] | None = None,
    probes: Sequence[Probe] = (),
    limit: int = 10_000,
) -> Report:
    """Run a scenario once for every await of its backend, which takes longer there.

    What the scenario returns must be equal to what it returned undisturbed, and it must not
    raise, or leave something behind.

    Args:
        scenario: what to run; an async function of the backend. It returns what must not
            depend on time.
        backend: makes the backend of a run.
        pause: for how much longer an await takes, in seconds on the event loop's clock.
        loop: as for `fail_everywhere`.
        patience: as for `fail_everywhere`.
        after: as for `fail_everywhere`.
        probes: as for `fail_everywhere`.
        limit: as for `fail_everywhere`.

    Returns:
        What was seen; its findings are empty.

    Raises:
        SweepFailed, RuntimeError: as `fail_everywhere`.
    """
    plan = _Plan(scenario, backend, loop, patience, after, probes, limit)
    return plan.run(Disturbance.SLOWED, None, pause)


@attrs.frozen
class _Plan:
    """What all runs have in common."""

    scenario: Scenario
    backend: Callable[[], Backend]
    loop: Callable[[], LoopOptions]
    patience: float
    after: Callable[[], Awaitable[object]] | None
    probes: Sequence[Probe]
    limit: int

    def run(self, how: Disturbance, error: Callable[[], Exception] | None, pause: float) -> Report:
        findings: list[Finding] = []
        longest: list[Checkpoint] = []
        name = self.loop()[0]
        with only_new_garbage():
            # Number 0 disturbs nothing: it says what the result should be.
            undisturbed = self._once(_Run(0, None, 0.0))
            if undisturbed.problems:
                findings.append(Finding(None, None, tuple(undisturbed.problems)))
            number, met = 0, not findings
            while met:
                number += 1
                if number > self.limit:
                    raise RuntimeError(
                        f"the scenario was run {self.limit} times and its backend still waits "
                        "ahead: does it wait in an endless loop?"
                    )
                run = self._once(_Run(number, error and error(), pause))
                met = run.met is not None
                longest = max(longest, run.seen, key=len)
                if met and how is Disturbance.SLOWED and run.result != undisturbed.result:
                    run.problems.append(
                        f"the result is {run.result!r}, undisturbed it was {undisturbed.result!r}"
                    )
                if run.problems:
                    findings.append(Finding(how if met else None, run.met, tuple(run.problems)))
        report = Report(name, tuple(longest), number + 1, tuple(findings))
        if findings:
            raise SweepFailed(report)
        return report

    def _once(self, run: "_Run") -> "_Run":
        name, options = self.loop()
        outside = Census.take(probes=self.probes)
        with complaints(run.problems):
            try:
                anyio.run(self._inside, run, backend=name, backend_options=options)
            except Exception as exc:
                run.problems.append(f"it broke the event loop, which raised {exc!r}")
            run.problems += [
                f"after the event loop had ended: {leak}"
                for leak in outside.leaks()
                if str(leak) not in "\n".join(run.problems)
            ]
        return run

    async def _inside(self, run: "_Run") -> None:
        before = Census.take(probes=self.probes)
        backend = self.backend()
        backend.reply = functools.partial(run.watched, backend.reply)  # type: ignore[method-assign]
        try:
            run.result = await self.scenario(backend)
        except Exception as exc:
            if not _comes_from(exc, run.error):
                run.problems.append(f"it raised {exc!r}")
            del exc
        del backend
        if self.patience:
            await anyio.sleep(self.patience)
        run.problems += [str(leak) for leak in before.leaks()]
        if self.after is not None:
            try:
                await self.after()
            except Exception as exc:
                run.problems.append(f"the check afterwards raised {exc!r}")


class _Run:
    """One run: where the backend is disturbed, and what was seen."""

    def __init__(self, number: int, error: Exception | None, pause: float) -> None:
        self.seen: list[Checkpoint] = []
        self.met: Checkpoint | None = None
        self.result: object = None
        self.problems: list[str] = []
        self.error: Final = error
        self.pause: Final = pause
        self._number: Final = number

    async def watched(self, reply: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        """Let the backend reply, and disturb it when it has waited often enough."""
        await _Disturbed(reply(*args), self)

    def is_meant(self, coroutine: object) -> bool:
        """Note a place where the backend waits; whether it is the one that was meant."""
        stack = frames(coroutine)
        inner = place(stack[-1]) if stack else "code that Python does not show"
        own = place(stack[0]) if stack else inner
        here = Checkpoint(len(self.seen) + 1, own, inner)
        self.seen.append(here)
        if here.number != self._number:
            return False
        self.met = here
        return True


class _Disturbed(Awaitable[None]):
    """A backend's reply, seen from between it and the event loop."""

    def __init__(self, coroutine: Coroutine[Any, Any, None], run: _Run) -> None:
        self._coroutine = coroutine
        self._run = run

    def __await__(self) -> Generator[Any, Any, None]:
        coroutine, run = self._coroutine, self._run
        step: Callable[[], Any] = functools.partial(coroutine.send, None)
        while True:
            try:
                yielded = step()
            except StopIteration:
                return
            meant = run.is_meant(coroutine)
            try:
                sent = yield yielded
                if meant:  # the wait is over, so nothing of it is left with the event loop
                    yield from anyio.sleep(run.pause).__await__()
                    if run.error is not None:
                        raise run.error
            except BaseException as exc:
                step = functools.partial(coroutine.throw, exc)
            else:
                step = functools.partial(coroutine.send, sent)


def _comes_from(exc: BaseException, error: BaseException | None) -> bool:
    """Whether an error is the one that was injected, or says that it was caused by it."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [exc]
    while todo:
        each = todo.pop()
        if each is None or id(each) in seen:
            continue
        if each is error:
            return True
        seen.add(id(each))
        todo += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            todo += each.exceptions
        todo += [fact for fact in getattr(each, "errors", ()) if isinstance(fact, BaseException)]
    return False


def on_both_loops(
    sweep: Callable[..., Report], *args: Any, virtual: bool = True, **options: Any
) -> tuple[Report, Report]:
    """Run a sweep on asyncio and on Trio and return both reports.

    Both are run, also when the first one finds something.

    Args:
        sweep: `cancel_everywhere`, `fail_everywhere` or `slow_everywhere`.
        args: what it is given; the scenario first.
        virtual: on virtual clocks; otherwise time passes.
        options: its keywords, without ``loop``.

    Raises:
        SweepFailed: of the first event loop on which something was wrong.
    """
    reports: list[Report] = []
    failed: SweepFailed | None = None
    for name in ("asyncio", "trio"):
        loop: Callable[[], LoopOptions] = (
            functools.partial(virtual_loop, name) if virtual else functools.partial(_plain, name)
        )
        try:
            reports.append(sweep(*args, loop=loop, **options))
        except SweepFailed as exc:
            failed = failed or exc
    if failed is not None:
        raise failed
    return reports[0], reports[1]


def _plain(name: str) -> LoopOptions:
    return name, {}
