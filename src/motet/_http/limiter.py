"""How many calls may be in flight at once.

The queue for a place stands here, in front of the connections, so that a cancelled
wait costs nothing and no server is asked to queue what it cannot serve.
"""

import sys
from types import TracebackType
from typing import Final, Self

import anyio

# What the process keeps for itself of the files it may open.
_RESERVED_FILES: Final = 128
_DEFAULT: Final = 4096


def default_limit() -> int:
    """Return as many calls as the process may open sockets for, less a reserve.

    A limit of the operating system that is met as an error fails a call; met here, it
    makes the call wait.
    """
    if sys.platform == "win32":  # pragma: no cover - no such limit there
        return _DEFAULT
    import resource

    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:  # pragma: no cover - depends on the machine
        return _DEFAULT
    return max(16, files - _RESERVED_FILES)


class CallLimiter:
    """Places for calls on one event loop; an async context manager that holds one.

    Places are given in the order in which they were asked for. A wait that is cancelled
    gives its turn to the next.

    Args:
        total: how many calls at once.
    """

    def __init__(self, total: int) -> None:
        self._semaphore = anyio.Semaphore(total, fast_acquire=True)
        self.total: Final = total

    @property
    def in_flight(self) -> int:
        """How many calls hold a place."""
        return self.total - self._semaphore.value

    @property
    def waiting(self) -> int:
        """How many wait for one."""
        return self._semaphore.statistics().tasks_waiting

    async def __aenter__(self) -> Self:
        await self._semaphore.acquire()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._semaphore.release()
