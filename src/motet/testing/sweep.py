"""Cancel a piece of async code everywhere it can be cancelled, and look what is left.

Cancellation may arrive at every checkpoint, and code that cleans up at nearly all of
them is wrong in the way that shows once a month. `cancel_everywhere` runs a scenario
again and again, each time in a new event loop, and cancels it while it waits at its
first checkpoint, its second, ... until a run ends without having met the one that was
meant. After each run it counts what was left behind.

The checkpoints are those of the scenario's own task; with ``all_tasks`` also those of the tasks
that it starts, and those that these start. They are seen by standing between a coroutine
and its event loop: what it yields on its way out, and what it is resumed with, is all
that an event loop knows of it.

This module knows nothing of models; of thunks only that they are cleaned up as everything else.
"""

import enum
import functools
import gc
import inspect
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from types import FrameType
from typing import Any, Final, TypeVar

import anyio
import attrs

from .leaks import Census, Leak, Probe, frames, place

T = TypeVar("T")

LoopOptions = tuple[str, dict[str, Any]]
"""The name and the options of an event loop, as `anyio.run` takes them."""


class Way(enum.StrEnum):
    """How the scenario is cancelled."""

    SCOPE = "by its cancel scope"
    NATIVE = "by task.cancel()"
    # What it waits for has arrived in the same tick: so ends `asyncio.wait_for()`.
    NATIVE_LATE = "by task.cancel() at the end of the wait"


@attrs.frozen
class Checkpoint:
    """A place where the scenario was suspended.

    Attributes:
        number: which one it was, counted from 1.
        where: file, line and function of the innermost frame of the scenario's own code.
        inner: the same of the innermost frame that Python shows.
    """

    number: int
    where: str
    inner: str

    def __str__(self) -> str:
        inner = "" if self.inner == self.where else f", inside {self.inner}"
        return f"checkpoint {self.number} at {self.where}{inner}"


@attrs.frozen
class Finding:
    """What was wrong after one run.

    Attributes:
        way: how the run was cancelled, or disturbed; None for the one that was not.
        checkpoint: where that was.
        problems: what was left, what was raised instead of a cancellation, what was logged.
    """

    way: enum.StrEnum | None
    checkpoint: Checkpoint | None
    problems: tuple[str, ...]

    def __str__(self) -> str:
        if self.way is None:
            when = "undisturbed"
        else:
            what = f"cancelled {self.way}" if isinstance(self.way, Way) else str(self.way)
            when = what + (f", {self.checkpoint}" if self.checkpoint else "")
        return f"{when}:" + "".join(f"\n    {problem}" for problem in self.problems)


@attrs.frozen
class Report:
    """What a sweep has seen.

    Attributes:
        loop: the name of the event loop.
        checkpoints: where the scenario can be cancelled, in the order of its fullest run.
        runs: how often it ran.
        findings: one for each run after which something was wrong.
    """

    loop: str
    checkpoints: tuple[Checkpoint, ...]
    runs: int
    findings: tuple[Finding, ...]

    def __str__(self) -> str:
        head = f"{self.loop}: {len(self.checkpoints)} checkpoints, {self.runs} runs"
        if not self.findings:
            return f"{head}, nothing left"
        return "\n".join([f"{head}, {len(self.findings)} of them bad", *map(str, self.findings)])


class SweepFailed(AssertionError):
    """Some run of a sweep left something behind, or did not end as a cancelled one should.

    Attributes:
        report: what was seen in all runs.
    """

    def __init__(self, report: Report) -> None:
        self.report: Final = report
        super().__init__(str(report))


def _asyncio() -> LoopOptions:
    return "asyncio", {}


def cancel_everywhere(
    scenario: Callable[[], Awaitable[object]],
    *,
    loop: Callable[[], LoopOptions] = _asyncio,
    ways: Sequence[Way] = tuple(Way),
    all_tasks: bool = False,
    patience: float = 0.0,
    after: Callable[[], Awaitable[object]] | None = None,
    probes: Sequence[Probe] = (),
    limit: int = 10_000,
) -> Report:
    """Run a scenario once for every checkpoint and way of cancelling it.

    It starts event loops of its own, so it is called from sync code. The scenario has to
    take the same path every time, as far as cancellation lets it.

    Args:
        scenario: what to run; an async function without arguments. An error that it raises
            is a finding.
        loop: called for every run, because a virtual clock can be used only once; the name
            and the options of the event loop.
        ways: how to cancel; Trio knows only the first.
        all_tasks: also cancel the scenario when a task that it has started, or that has come
            of it, is at a checkpoint. Which of them there are depends on the event loop.
        patience: seconds on the event loop's clock that what was started may go on, such as
            the *linger* of a generation.
        after: called on the event loop after each run and not cancelled, for assertions of
            its own; what it raises is a finding.
        probes: functions that tell what is open beside what a `Census` counts.
        limit: the number of runs after which the sweep gives up.

    Returns:
        What was seen; its findings are empty.

    Raises:
        SweepFailed: at least one run has a finding; ``report`` has all.
        RuntimeError: *limit* was reached.
    """
    name = loop()[0]
    sweep = _Sweep(scenario, loop, all_tasks, patience, after, probes)
    runs = 0
    longest: list[Checkpoint] = []
    findings: list[Finding] = []
    with only_new_garbage():
        for way in ways if name == "asyncio" else [Way.SCOPE]:
            number, met = 0, True
            # Trio runs tasks in an order of its own, so one run may have fewer checkpoints.
            while met or number < len(longest):
                number += 1
                runs += 1
                if runs > limit:
                    raise RuntimeError(
                        f"the scenario was run {limit} times and still has checkpoints ahead: "
                        "does it wait in an endless loop?"
                    )
                run = sweep.run(way, number)
                met = run.met is not None
                longest = max(longest, run.seen, key=len)
                if run.problems:
                    findings.append(Finding(way if met else None, run.met, tuple(run.problems)))
    report = Report(name, tuple(longest), runs, tuple(findings))
    if findings:
        raise SweepFailed(report)
    return report


@attrs.frozen
class _Sweep:
    """What all runs have in common."""

    scenario: Callable[[], Awaitable[object]]
    loop: Callable[[], LoopOptions]
    all_tasks: bool
    patience: float
    after: Callable[[], Awaitable[object]] | None
    probes: Sequence[Probe]

    def run(self, way: Way, number: int) -> "_Run":
        """Run the scenario in a new event loop and cancel it at checkpoint *number*."""
        run = _Run(way, number)
        name, options = self.loop()
        outside = Census.take(probes=self.probes)
        with complaints(run.problems):
            try:
                anyio.run(self._inside, run, backend=name, backend_options=options)
            except Exception as exc:
                run.problems.append(f"it broke the event loop, which raised {exc!r}")
            run.add_leaks(outside.leaks(), "after the event loop had ended: ")
        return run

    async def _inside(self, run: "_Run") -> None:
        before = Census.take(probes=self.probes)
        with _watched_tasks(run) if self.all_tasks else nullcontext():
            ending = await (self._in_scope(run) if run.way is Way.SCOPE else self._in_task(run))
        if run.met is not None and run.struck and ending is None:
            run.problems.append("the cancellation was swallowed: the scenario went on to its end")
        if isinstance(ending, BaseException) and not _is_cancellation(ending):
            run.problems.append(f"it raised {ending!r}")
        del ending
        if self.patience:
            await anyio.sleep(self.patience)
        run.add_leaks(before.leaks())
        if self.after is not None:
            try:
                await self.after()
            except Exception as exc:
                run.problems.append(f"the check afterwards raised {exc!r}")

    async def _in_scope(self, run: "_Run") -> BaseException | None:
        ending: BaseException | None = None
        with anyio.CancelScope() as scope:
            run.cancel = scope.cancel
            try:
                await _Watched(self.scenario(), run)
            except BaseException as exc:
                ending = exc
                if _is_cancellation(exc):
                    raise
        return ending

    async def _in_task(self, run: "_Run") -> BaseException | None:
        asyncio = sys.modules["asyncio"]

        async def main() -> None:
            await _Watched(self.scenario(), run)

        task = asyncio.create_task(main(), name="scenario")
        run.cancel = task.cancel
        await asyncio.wait([task])
        if task.cancelled():
            ending: BaseException = asyncio.CancelledError()
            return ending
        found: BaseException | None = task.exception()
        return found


class _Run:
    """One run: where to cancel, and what was seen."""

    def __init__(self, way: Way, number: int) -> None:
        self.way: Final = way
        self.seen: list[Checkpoint] = []
        self.met: Checkpoint | None = None
        self.problems: list[str] = []
        self.struck = False  # a cancellation arrived after ours was asked for
        self.cancel: Callable[[], object]
        self._number: Final = number

    def suspended(
        self, coroutine: object, own_file: str, yielded: Any, *, own: bool = True
    ) -> None:
        """Note a checkpoint; at the one that was meant, cancel.

        Args:
            coroutine: what is suspended.
            own_file: the file of the scenario.
            yielded: what it waits for, as far as that is known.
            own: whether it is the scenario's own task.
        """
        stack = frames(coroutine)
        # In other tasks everything that is not of the event loops; it may be anybody's.
        mine = [
            frame
            for frame in stack
            if (frame.f_code.co_filename == own_file if own else not _is_of_a_loop(frame))
        ] or stack
        inner = place(stack[-1]) if stack else "code that Python does not show"
        here = Checkpoint(len(self.seen) + 1, place(mine[-1]) if mine else inner, inner)
        self.seen.append(here)
        if here.number != self._number:
            return
        self.met = here
        asyncio = sys.modules.get("asyncio")
        if asyncio is None or asyncio._get_running_loop() is None:
            # Trio delivers it as soon as it has seen what the task waits for.
            self.cancel()
        elif self.way is Way.NATIVE_LATE and yielded is not None and own:
            # The task is woken by a callback that is added after this one.
            yielded.add_done_callback(lambda _: self.cancel())
        else:
            asyncio.get_running_loop().call_soon(self.cancel)

    def resumed(self, exc: BaseException | None) -> None:
        """Note what the scenario is resumed with."""
        if self.met is not None and exc is not None and _is_cancellation(exc):
            self.struck = True

    def add_leaks(self, leaks: Sequence[Leak], when: str = "") -> None:
        """Note what was left, unless it was noted before."""
        told = "\n".join(self.problems)
        self.problems += [f"{when}{leak}" for leak in leaks if str(leak) not in told]


@contextmanager
def _watched_tasks(run: _Run) -> Iterator[None]:
    """Have the checkpoints of the tasks that are started meanwhile count as well."""
    asyncio: Any = sys.modules.get("asyncio")
    loop = None if asyncio is None else asyncio._get_running_loop()
    if loop is None:
        with _watched_by_trio(run):
            yield
        return
    before = loop.get_task_factory()

    def watched(loop: Any, coroutine: Any, **options: Any) -> Any:
        async def watch() -> Any:
            return await _Watched(coroutine, run, own=False)

        named: Any = watch
        named.__qualname__ = coroutine.__qualname__
        make = before or asyncio.Task
        return (
            make(watch(), loop=loop, **options)
            if before is None
            else make(loop, watch(), **options)
        )

    loop.set_task_factory(watched)
    try:
        yield
    finally:
        loop.set_task_factory(before)


@contextmanager
def _watched_by_trio(run: _Run) -> Iterator[None]:
    import trio

    scenario = trio.lowlevel.current_task()
    known = {id(info.coro) for info in anyio.get_running_tasks()}

    class Steps(trio.abc.Instrument):
        def after_task_step(self, task: Any) -> None:
            # The scenario's own are seen by `_Watched`, and what a task yields is not shown here.
            if task is not scenario and id(task.coro) not in known and task.coro.cr_frame:
                run.suspended(task.coro, "", None, own=False)

    steps = Steps()
    trio.lowlevel.add_instrument(steps)
    try:
        yield
    finally:
        trio.lowlevel.remove_instrument(steps)


class _Watched(Awaitable[T]):
    """An awaitable, seen from between it and the event loop."""

    def __init__(self, inner: Awaitable[T], run: _Run, *, own: bool = True) -> None:
        self._inner = _as_coroutine(inner)
        self._run = run
        self._own = own

    def __await__(self) -> Generator[Any, Any, T]:
        coroutine, run = self._inner, self._run
        own_file = coroutine.cr_code.co_filename if inspect.iscoroutine(coroutine) else ""
        step: Callable[[], Any] = functools.partial(coroutine.send, None)
        while True:
            try:
                yielded = step()
            except StopIteration as stop:
                result: T = stop.value
                return result
            run.suspended(coroutine, own_file, yielded, own=self._own)
            try:
                sent = yield yielded
            except BaseException as exc:
                if self._own:
                    run.resumed(exc)
                step = functools.partial(coroutine.throw, exc)
            else:
                if self._own:
                    # Trio sends errors as values, and its own side raises them.
                    run.resumed(getattr(sent, "error", None))
                step = functools.partial(coroutine.send, sent)


def _as_coroutine(awaitable: Awaitable[T]) -> Coroutine[Any, Any, T]:
    async def wait() -> T:
        return await awaitable

    return awaitable if isinstance(awaitable, Coroutine) else wait()


def _is_of_a_loop(frame: FrameType) -> bool:
    name: str = frame.f_globals.get("__name__", "")
    return name.partition(".")[0] in ("anyio", "trio", "asyncio", "contextlib")


def _is_cancellation(exc: BaseException) -> bool:
    if isinstance(exc, BaseExceptionGroup):
        return exc.split(anyio.get_cancelled_exc_class())[1] is None
    return isinstance(exc, anyio.get_cancelled_exc_class())


@contextmanager
def complaints(problems: list[str]) -> Iterator[None]:
    """Note what Python and the event loops can only print, because nobody is there to raise to."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            problems.append(f"logged by {record.name}: {record.getMessage()}")

    def note(unraisable: "sys.UnraisableHookArgs") -> None:
        what = f" ({unraisable.err_msg})" if unraisable.err_msg else ""
        problems.append(f"nobody could catch {unraisable.exc_value!r}{what}")

    handler, hook = Handler(logging.ERROR), sys.unraisablehook
    loggers = [logging.getLogger(name) for name in ("asyncio", "trio", "motet")]
    for logger in loggers:
        logger.addHandler(handler)
    sys.unraisablehook = note
    try:
        yield
        gc.collect()  # so that finalisers speak in the run that they belong to
    finally:
        sys.unraisablehook = hook
        for logger in loggers:
            logger.removeHandler(handler)


@contextmanager
def only_new_garbage() -> Iterator[None]:
    """Have the collector look at nothing older than the sweep: some hundred times as fast."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
