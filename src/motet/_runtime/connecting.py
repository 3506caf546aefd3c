"""From an address to a connected socket, on either event loop.

A host may have many addresses, some of which nobody answers at; they are tried as RFC 8305
("Happy Eyeballs") has it, each with a head start before the next.
"""

import errno
import functools
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple

import anyio

from .host import current_host
from .loops import AsyncioLoop
from .sockets import UNIX, Socket

# RFC 8305, section 5, "Connection Attempt Delay".
_HEAD_START: Final = 0.25  # seconds

# What a connection that is being made is called by the systems.
_UNDER_WAY: Final = (errno.EINPROGRESS, errno.EALREADY, errno.EWOULDBLOCK)

# The queue of a Unix socket is full, and the system does not say when there is room again.
_FULL_QUEUE_PAUSE: Final = 0.01  # seconds


class Address(NamedTuple):
    """Where to connect to: a family of addresses, and what it calls the place."""

    family: int
    place: Any


async def open_socket(host: str, port: int) -> Socket:
    """Connect to a host, to the first of its addresses that answers.

    Raises:
        OSError: none does, or there is no such name.
    """
    addresses = _numeric(host, port) or await _looked_up(host, port)
    return await _first_of([functools.partial(_open, each) for each in addresses])


async def open_unix_socket(path: str) -> Socket:
    """Connect to a Unix socket.

    Raises:
        OSError: nobody listens there, or the system has no such sockets.
    """
    if UNIX is None:  # pragma: no cover - Windows only
        raise OSError("Python has no Unix sockets on this system")
    return await _open(Address(UNIX, path))


async def _open(address: Address) -> Socket:
    raw = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        raw.setblocking(False)
        if address.family != UNIX:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await _reach(raw, address.place)
        loop = current_host().loop
        if isinstance(loop, AsyncioLoop):
            from .asyncio_sockets import AsyncioSocket

            return await AsyncioSocket.over(raw, loop)
        from .trio_sockets import TrioSocket

        return TrioSocket(raw)
    except BaseException:
        raw.close()
        raise


async def _reach(raw: socket.socket, place: Any) -> None:
    """Connect a socket; within the machine there is nothing to wait for."""
    code = raw.connect_ex(place)
    if code in _UNDER_WAY:
        # Linux connects to the machine itself during the call, and only the next one says so.
        code = raw.connect_ex(place)
    while code in _UNDER_WAY:
        if raw.family == UNIX:
            await anyio.sleep(_FULL_QUEUE_PAUSE)
        else:
            await anyio.wait_writable(raw)
        code = raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or raw.connect_ex(place)
    if code not in (0, errno.EISCONN):
        raise OSError(code, os.strerror(code))


def _numeric(host: str, port: int) -> list[Address]:
    """Return the address that *host* is itself, if it is one and not a name."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (socket.gaierror, UnicodeError):
        return []
    return [Address(family, place) for family, *_, place in found]


async def _looked_up(host: str, port: int) -> list[Address]:
    """Return the addresses of a name: as the system prefers them, but soon one of each family."""
    families: dict[int, list[Address]] = {}
    for family, *_, place in await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        families.setdefault(family, []).append(Address(family, place))
    preferred, *others = families.values()
    rest = [
        address for family in (preferred[1:], *(each[1:] for each in others)) for address in family
    ]
    return list(dict.fromkeys([preferred[0], *(each[0] for each in others), *rest]))


async def _first_of(attempts: Sequence[Callable[[], Awaitable[Socket]]]) -> Socket:
    """Return what the first successful attempt returns; each gives the one before a head start."""
    if len(attempts) == 1:
        return await attempts[0]()
    winner: Socket | None = None
    errors: list[OSError] = []

    async def run(attempt: Callable[[], Awaitable[Socket]], over: anyio.Event) -> None:
        nonlocal winner
        try:
            opened = await attempt()
        except OSError as exc:
            errors.append(exc)
            over.set()
            return
        if winner is None:
            winner = opened
            group.cancel_scope.cancel()
        else:  # two in one turn of the event loop
            await anyio.aclose_forcefully(opened)

    try:
        async with anyio.create_task_group() as group:
            for attempt in attempts:
                over = anyio.Event()
                group.start_soon(run, attempt, over)
                with anyio.move_on_after(_HEAD_START):
                    await over.wait()
    except BaseException:
        if winner is not None:
            await anyio.aclose_forcefully(winner)
        raise
    if winner is None:
        raise OSError("; ".join(map(str, errors))) from errors[0]
    return winner
