"""No real network: connections that leave this machine are an error that says so.

A test that asks a real server by accident is slow, costs money and fails on the train.
`no_network` stands in front of Python's sockets while a block runs: whatever connects
to another address than those of this machine, or looks up another name, gets
`NetworkBlocked`, on asyncio, on Trio and in threads.

It sees what goes through Python's ``socket`` module. uvloop connects in C and so does what
a subprocess runs; these are not held off.
"""

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

_LOCAL_NAMES: Final = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", ""})


class NetworkBlocked(RuntimeError):
    """A test tried to reach another machine.

    Not an `OSError`, which the program under test would take for a server that is down.

    Attributes:
        address: the address or the name that was wanted.
    """

    def __init__(self, address: object) -> None:
        self.address: Final = address
        super().__init__(
            f"a test wanted to reach {address}, and the network is blocked; answer with "
            "motet.testing.ScriptedBackend or a simulated server, or allow that host"
        )


class _Guard:
    """What is blocked, by how many blocks, and what stood there before."""

    def __init__(self) -> None:
        self.lock: Final = threading.Lock()
        self.allowed: list[frozenset[str]] = []  # of each block that is open
        self.before: dict[str, Callable[..., Any]] = {}

    def check(self, host: str | None, port: object = None) -> None:
        if host is None or is_local(host):
            return
        if not all(host in block for block in list(self.allowed)):
            raise NetworkBlocked(host if port is None else f"{host}, port {port}")


_guard: Final = _Guard()


@contextmanager
def no_network(*, allow: Iterable[str] = ()) -> Iterator[None]:
    """Hold off connections that leave this machine while a block runs; in every thread.

    Addresses of this machine (127.0.0.0/8, ``::1``, ``localhost``), Unix sockets and
    listening are not held off. Blocks may be nested; the strictest holds.

    Args:
        allow: names and addresses that may be reached all the same. A name needs its addresses
            beside it, because it is these that are connected to.

    Raises:
        NetworkBlocked: in the code that wanted to connect, send or look up.
    """
    allowed = frozenset(allow)
    with _guard.lock:
        if not _guard.allowed:
            _install()
        _guard.allowed.append(allowed)
    try:
        yield
    finally:
        with _guard.lock:
            _guard.allowed.remove(allowed)
            if not _guard.allowed:
                _uninstall()


def is_local(host: str) -> bool:
    """Tell whether a name or an address is this machine's."""
    name = host.partition("%")[0].rstrip(".").lower()
    if name in _LOCAL_NAMES or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    # Connecting to "any address" reaches this machine.
    return bool(mapped.is_loopback or mapped.is_unspecified)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _text(host: object) -> str | None:
    """Return a host as Python's sockets take it: text, bytes in ASCII, or None for this machine."""
    if isinstance(host, bytes | bytearray):
        return host.decode("ascii", "replace")
    return None if host is None else str(host)


def _install() -> None:
    """Stand in front of the methods of sockets, and of the look-up of names."""
    inet = (socket.AF_INET, socket.AF_INET6)

    def guarded(name: str, address_of: Callable[[tuple[Any, ...]], Any]) -> None:
        method = getattr(socket.socket, name)

        def check_first(self: socket.socket, *args: Any) -> Any:
            address = address_of(args)
            if self.family in inet and isinstance(address, tuple) and address:
                _guard.check(_text(address[0]), address[1] if len(address) > 1 else None)
            return method(self, *args)

        _guard.before[name] = method
        setattr(socket.socket, name, check_first)

    guarded("connect", lambda args: args[0] if args else None)
    guarded("connect_ex", lambda args: args[0] if args else None)
    guarded("sendto", lambda args: args[-1] if args else None)

    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        # An address needs no look-up; where it leads is seen when it is connected to.
        name = _text(host)
        if name is not None and not _is_address(name):
            _guard.check(name)
        return look_up(host, *args, **kwargs)

    _guard.before["getaddrinfo"] = look_up
    socket.getaddrinfo = getaddrinfo


def _uninstall() -> None:
    for name, before in _guard.before.items():
        if name == "getaddrinfo":
            socket.getaddrinfo = before
        elif getattr(before, "__objclass__", socket.socket) is not socket.socket:
            delattr(socket.socket, name)  # it was inherited
        else:
            setattr(socket.socket, name, before)
    _guard.before.clear()
