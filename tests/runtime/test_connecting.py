"""From an address to a connected socket: names, refusals, full queues, and which address wins."""

import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import anyio
import pytest

from motet._runtime import connecting
from motet._runtime.connecting import open_socket, open_unix_socket
from motet._runtime.sockets import Socket
from virtual_time import on_virtual_time

pytestmark = pytest.mark.anyio


async def test_nobody_there_is_an_os_error(tmp_path: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(OSError):  # noqa: PT011 - the system's words
        await open_socket("127.0.0.1", port)
    with pytest.raises(OSError):  # noqa: PT011 - the system's words
        await open_socket("localhost", port)
    with pytest.raises(OSError):  # noqa: PT011 - the system's words
        await open_unix_socket(str(tmp_path / "nobody"))


async def test_a_name_is_tried_at_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        (socket.AF_INET6, 0, 0, "", ("::1", 1, 0, 0)),
        (socket.AF_INET6, 0, 0, "", ("::2", 1, 0, 0)),
        (socket.AF_INET6, 0, 0, "", ("::1", 1, 0, 0)),
        (socket.AF_INET, 0, 0, "", ("127.0.0.1", 1)),
        (socket.AF_INET, 0, 0, "", ("127.0.0.2", 1)),
    ]

    async def look_up(*_: object, **__: object) -> Any:
        return found

    monkeypatch.setattr(anyio, "getaddrinfo", look_up)
    addresses = await connecting._looked_up("a.name", 1)
    assert [place[0] for _, place in addresses] == ["::1", "127.0.0.1", "::2", "127.0.0.2"]


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1", "127.0.0.1"), ("::0001", "::1")])
async def test_an_address_is_not_looked_up(host: str, expected: str) -> None:
    (address,) = connecting._numeric(host, 1)
    assert address.place[0] == expected
    for name in ("localhost", "a.name", "a..name", "x" * 99):
        assert connecting._numeric(name, 1) == []


async def test_a_connection_that_is_not_made_at_once_is_waited_for() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        host, port = listening.getsockname()
        with socket.create_connection((host, port)):  # takes the only place in the queue
            with anyio.move_on_after(0.05) as scope:
                await open_socket(host, port)
            assert scope.cancelled_caught
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_open_and_close, host, port)
                await anyio.sleep(0.05)
                listening.accept()[0].close()
        listening.accept()[0].close()


async def _open_and_close(host: str, port: int) -> None:
    with anyio.fail_after(20):  # the system tries again after a second
        await (await open_socket(host, port)).aclose()


async def test_room_in_the_queue_of_a_unix_socket_is_waited_for(tmp_path: Any) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listening, ExitStack() as stack:
        listening.bind(path)
        listening.listen(0)
        code = 0
        while not code:
            waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
            waiting.setblocking(False)
            code = waiting.connect_ex(path)
        with anyio.move_on_after(0.05) as scope:
            await open_unix_socket(path)
        assert scope.cancelled_caught
        listening.accept()[0].close()
        with anyio.fail_after(5):
            await (await open_unix_socket(path)).aclose()


class Opened(Socket):
    """A socket that only knows whether it is closed."""

    closed = False

    async def receive(self, max_bytes: int = 65536) -> bytes:
        raise NotImplementedError

    async def pump(self, take: Callable[[bytes], bool]) -> None:
        raise NotImplementedError

    async def send(self, item: bytes) -> None:
        raise NotImplementedError

    async def send_eof(self) -> None:
        raise NotImplementedError

    def has_news(self) -> bool:
        raise NotImplementedError

    async def aclose(self) -> None:
        self.closed = True


class Attempts:
    """Attempts that take a while; each ends with a socket or an error."""

    def __init__(self, *plans: tuple[float, bool]) -> None:
        self.began: list[float] = []
        self.opened: list[Opened] = []
        self.cancelled = 0
        self.list = [partial(self._run, number, *plan) for number, plan in enumerate(plans)]

    async def _run(self, number: int, seconds: float, succeeds: bool) -> Socket:
        self.began.append(anyio.current_time())
        try:
            await anyio.sleep(seconds)
        except anyio.get_cancelled_exc_class():
            self.cancelled += 1
            raise
        if not succeeds:
            raise OSError(f"refused {number}")
        self.opened.append(Opened())
        return self.opened[-1]


first_of: Callable[[Any], Awaitable[Socket]] = connecting._first_of


@on_virtual_time
async def test_one_that_does_not_answer_has_a_head_start_and_loses() -> None:
    attempts = Attempts((60, True), (0.1, True), (0.1, True))
    began = anyio.current_time()
    assert await first_of(attempts.list) is attempts.opened[0]
    assert [when - began for when in attempts.began] == pytest.approx([0, 0.25])
    assert anyio.current_time() - began == pytest.approx(0.35)
    assert (attempts.cancelled, attempts.opened[0].closed) == (1, False)


@on_virtual_time
async def test_after_one_that_is_refused_the_next_has_its_turn_at_once() -> None:
    attempts = Attempts((0.01, False), (0.01, True))
    began = anyio.current_time()
    assert await first_of(attempts.list) is attempts.opened[0]
    assert [when - began for when in attempts.began] == pytest.approx([0, 0.01])


@on_virtual_time
async def test_when_none_answers_all_say_why() -> None:
    with pytest.raises(OSError, match=r"^refused 1; refused 0$"):
        await first_of(Attempts((0.5, False), (0.01, False)).list)


@on_virtual_time
async def test_of_two_that_answer_at_once_one_is_closed() -> None:
    attempts = Attempts((0.5, True), (0.25, True))
    winner = await first_of(attempts.list)
    assert winner in attempts.opened
    assert [each for each in attempts.opened if not each.closed] == [winner]


@on_virtual_time
async def test_a_cancellation_leaves_nothing_open() -> None:
    for moment in (0.0, 0.1, 0.25, 0.3, 0.5):
        attempts = Attempts((0.5, True), (60, True))
        with anyio.move_on_after(moment) as scope:
            await first_of(attempts.list)
        if scope.cancelled_caught:
            assert all(each.closed for each in attempts.opened)
