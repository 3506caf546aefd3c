"""Who owns what runs: a group of jobs that end together.

An owner is to its jobs what a task group is to its tasks, except that nobody has to
sit in an ``async with`` for it to be open: a session that stands in no block owns its
jobs, too. Closing is the structured part: it returns when every job has unwound.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Final, Protocol

from .._values.errors import SessionClosed
from .circles import Ending
from .host import LoopHost
from .unwinding import see_end

_current: Final[ContextVar["Owner | None"]] = ContextVar("motet owner", default=None)


def current_owner(host: LoopHost) -> "Owner | None":
    """Return the owner of the code that is running, None if it has none on that loop.

    It is the one whose job this code is a part of, so that what a job starts in its turn
    (an attempt, a judge's call, a tool's) has the same owner without being told.
    """
    owner = _current.get()
    return owner if owner is not None and owner.host is host else None


def owned_by(owner: "Owner | None") -> AbstractContextManager[None]:
    """Have what the block starts belong to *owner*; without one, to whom it would anyway."""
    return nullcontext() if owner is None else owner.current()


class Job(Ending, Protocol):
    """Something that runs, can be told to stop, and says when it has stopped."""

    def stop(self, reason: str) -> None:
        """Cancel it; not a checkpoint, harmless when it is over."""


class Owner:
    """The jobs of one session on one event loop."""

    def __init__(self, host: LoopHost, name: str) -> None:
        self.host: Final = host
        self.name: Final = name
        self._jobs: set[Job] = set()
        self._closed_because: str | None = None

    @property
    def jobs(self) -> int:
        """How many are running."""
        return len(self._jobs)

    def adopt(self, job: Job) -> None:
        """Take a job that is about to start.

        Raises:
            SessionClosed: the owner has ended, or is ending.
        """
        if self._closed_because is not None:
            raise SessionClosed(
                f"{self.name} takes no calls any more: {self._closed_because}; "
                "make the call inside the block, or open a new session"
            )
        self._jobs.add(job)

    def release(self, job: Job) -> None:
        """Let go of a job that is over."""
        self._jobs.discard(job)

    def stop(self, reason: str, *, for_good: bool = True) -> None:
        """Tell every job to stop. Not a checkpoint; on the owner's event loop only."""
        if for_good and self._closed_because is None:
            self._closed_because = reason
        for job in list(self._jobs):
            job.stop(reason)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make this the owner of what the block starts; see `current_owner`."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    async def aclose(self, reason: str, *, for_good: bool = True) -> None:
        """Stop every job and return when the last one has unwound.

        Shielded: a cancellation that arrives meanwhile is delivered afterwards. Called by a
        job of its own, it does not wait for that one, which is cancelled in here.
        """
        self.stop(reason, for_good=for_good)
        if self._jobs:
            await see_end(list(self._jobs))
