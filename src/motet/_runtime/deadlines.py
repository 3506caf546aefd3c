"""The caller's deadline, for work that another task does.

A cancel scope is seen only by the tasks below it. A generation has a task of its own, and
what is asked for in there is to know for how long somebody will wait for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

import anyio

if TYPE_CHECKING:
    from .host import LoopHost

# With the host whose clock it is on: a portal's loop, which sees the variable too, has another.
_outer: Final[ContextVar[tuple[LoopHost, float] | None]] = ContextVar(
    "motet deadline", default=None
)


def callers_deadline(host: LoopHost) -> float:
    """Return when the caller will have given up, on the clock of *host*; infinity if never.

    It is that of the cancel scopes around the call, or of those around the call for whose
    sake this one is made.
    """
    own, outer = anyio.current_effective_deadline(), _outer.get()
    return own if outer is None or outer[0] is not host else min(own, outer[1])


@contextmanager
def deadline_for_new_tasks(host: LoopHost) -> Iterator[None]:
    """Have the tasks that are started in the block know the caller's deadline."""
    token = _outer.set((host, callers_deadline(host)))
    try:
        yield
    finally:
        _outer.reset(token)
