"""
Waiting for a change in another thread, whatever event loop waits.

This module knows socket pairs, because a readable socket is the one thing that asyncio,
uvloop, Trio and a thread without any loop can all wait for, and that wakes a loop from
outside. It does not know what has changed: whoever waits brings the condition.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import anyio
import anyio.lowlevel
import attrs


@attrs.define(eq=False)
class _Bell:
    wire: socket.socket
    rung: bool = False  # since whoever listens looked for the last time


@attrs.define(eq=False)
class Bells:
    """Everybody who waits for something to change."""

    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _bells: set[_Bell] = attrs.field(factory=set, init=False)

    def ring(self) -> None:
        """Make everybody who waits look again; from any thread, never waits."""
        if not self._bells:
            return
        with self._lock:  # or one would be closed, and its number reused, under our hands
            for bell in self._bells:
                if not bell.rung:
                    bell.rung = True
                    bell.wire.send(b"!")

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds; it is looked at after each ring.

        Always a checkpoint; cancelling it changes nothing.
        """
        await anyio.lowlevel.checkpoint()
        with self._listen() as (ear, bell):
            while not condition():
                await anyio.wait_readable(ear)
                ear.recv(1)
                bell.rung = False  # before looking, so that a later ring is not lost

    def block_until(self, condition: Callable[[], bool], within: float) -> bool:
        """Do as `wait_until` in a thread without a loop, for at most *within* seconds.

        Returns:
            Whether the condition holds.
        """
        deadline = time.monotonic() + within
        with self._listen() as (ear, bell):
            while not condition():
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                ear.settimeout(left)  # select() could not watch the descriptors above 1023
                with contextlib.suppress(TimeoutError):
                    ear.recv(1)
                    bell.rung = False
        return True

    @contextlib.contextmanager
    def _listen(self) -> Iterator[tuple[socket.socket, _Bell]]:
        ear, wire = socket.socketpair()
        with ear, wire:
            ear.setblocking(False)
            wire.setblocking(False)
            bell = _Bell(wire)
            with self._lock:
                self._bells.add(bell)
            try:
                yield ear, bell
            finally:
                with self._lock:
                    self._bells.discard(bell)
