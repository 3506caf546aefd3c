"""A time limit for a test, which says what every task was waiting for.

When the time is up, a thread sends this process a signal. Its handler runs on the thread of
the test, where the event loop and its tasks can be looked at, and then interrupts the
test as Ctrl-C would: asyncio, Trio and every plugin that runs tests know how to end
in order then. A test that goes on is interrupted again. The process goes on with the
next test.

Only the main thread gets signals; on a system without `signal.pthread_kill` an event loop
that sleeps for ever notices nothing.
"""

import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any, Final, Self

# Ignored unless somebody handles it, and used by next to nobody.
_SIGNAL: Final = getattr(signal, "SIGURG", signal.SIGINT)
_AGAIN: Final = 1.0  # real seconds, at most, after which a test that goes on is interrupted again
_MOST: Final = 10  # times
_DEBUGGERS: Final = frozenset(
    {"bdb", "pdb", "pydevd", "_pydevd_bundle", "debugpy", "pudb", "IPython"}
)


class TimeLimit:
    """Interrupts what runs in its block when the time is up.

    Args:
        seconds: real time.

    Attributes:
        report: what was going on when the time was up; None if it was not.
    """

    def __init__(self, seconds: float) -> None:
        self.report: str | None = None
        self._seconds = seconds
        self._over = threading.Event()
        self._before: Any = None
        self._ignored = False
        self._watcher: threading.Thread | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread() and _SIGNAL != signal.SIGINT:
            self._before = signal.signal(_SIGNAL, self._time_is_up)
            # A shell that starts pytest in the background has it ignore Ctrl-C, and the event
            # loops, which look only once, would then not know what an interrupt is.
            self._ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            if self._ignored:
                signal.signal(signal.SIGINT, signal.default_int_handler)
            self._watcher = threading.Thread(
                target=self._watch, name="motet time limit", daemon=True
            )
            self._watcher.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._watcher is not None:
            self._watcher.join()
            signal.signal(_SIGNAL, self._before)
            if self._ignored:
                signal.signal(signal.SIGINT, signal.SIG_IGN)

    def _watch(self) -> None:
        wait = self._seconds
        for _ in range(_MOST):
            if self._over.wait(wait):
                return
            signal.pthread_kill(threading.main_thread().ident or 0, _SIGNAL)
            wait = min(self._seconds, _AGAIN)

    def _time_is_up(self, _: int, frame: FrameType | None) -> None:
        if self._over.is_set() or _is_debugged(frame):
            return
        if self.report is None:
            from motet.testing.waiting import describe_tasks

            self.report = (
                f"the test was not over after {self._seconds:g} s. What was going on:\n\n"
                f"{describe_tasks(frame)}"
            )
        signal.raise_signal(signal.SIGINT)


def _is_debugged(frame: FrameType | None) -> bool:
    """Tell whether somebody is looking at the test right now, who may take all the time."""
    if sys.gettrace() is not None and "pydevd" in type(sys.gettrace()).__module__:
        return True
    here = frame
    while here is not None:
        if here.f_globals.get("__name__", "").partition(".")[0] in _DEBUGGERS:
            return True
        here = here.f_back
    return False
