"""Waits that a Ctrl-C does not tear apart.

Trio raises `KeyboardInterrupt` wherever the code of a task happens to be, unless that code
asks for protection; then Trio lets the main task out of its next wait with it. What counts
who is interested, or puts a task to sleep, asks: interrupted half-way it would leave an
interest that nobody takes back, or a coroutine that nobody ever awaits.

Trio is not imported for this: what is marked before there is a Trio run is remembered.
asyncio has no such protection, and needs none: `asyncio.Runner` cancels the main task.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_marked: Final[list[Callable[..., Any]]] = []


def in_one_piece(fn: F) -> F:
    """Keep `KeyboardInterrupt` out of *fn*, and of all it calls, under Trio.

    It must not compute for long, nor call what users have written.
    """
    _marked.append(fn)
    return fn


def protect_marked(lowlevel: Any) -> None:
    """Ask Trio, by its ``trio.lowlevel``, to protect all that was marked; once or more."""
    for fn in _marked:
        lowlevel.enable_ki_protection(fn)
