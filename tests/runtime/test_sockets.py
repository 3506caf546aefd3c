"""Connected sockets: all that arrives comes out, once and in order, and the end says what it was."""

import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import SocketAttribute

from backends.raw import Handler, Visit, raw_server
from motet._runtime import sockets
from motet._runtime.sockets import AsyncioSocket, Socket, open_socket, open_unix_socket
from virtual_time import on_virtual_time

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024


@asynccontextmanager
async def talk(handler: Handler) -> AsyncGenerator[Socket]:
    """Connect to a server that does what *handler* does, and see that both sides are closed after it."""
    async with raw_server(handler) as server:
        async with await open_socket("127.0.0.1", server.port) as ours:
            yield ours
        await server.wait_empty()


async def received(ours: Socket, most: int = 65536) -> bytes:
    """Return what comes until the end."""
    pieces = []
    try:
        while True:
            pieces.append(await ours.receive(most))
    except anyio.EndOfStream:
        return b"".join(pieces)


async def news_of(ours: Socket) -> None:
    with anyio.fail_after(5):
        while not ours.has_news():
            await anyio.lowlevel.checkpoint()


async def reset(visit: Visit) -> None:
    """Have the connection end with a reset and not with a proper end, when it is closed."""
    raw = visit.stream.extra(SocketAttribute.raw_socket)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def echo(visit: Visit) -> None:
    while True:
        await visit.send(await visit.stream.receive())


async def test_what_is_sent_comes_back() -> None:
    async with talk(echo) as ours:
        for number in range(3):
            await ours.send(b"%d" % number)
            assert await ours.receive() == b"%d" % number


@pytest.mark.parametrize("most", [1, 7, 65536])
async def test_no_more_comes_at_once_than_is_asked_for_and_nothing_is_lost(most: int) -> None:
    text = bytes(range(256)) * 4

    async def say(visit: Visit) -> None:
        await visit.send(text)

    async with talk(say) as ours:
        assert 1 <= len(await ours.receive(most)) <= most
    async with talk(say) as ours:
        assert await received(ours, most) == text


async def test_a_flood_is_held_up_and_comes_out_whole() -> None:
    sent = 0

    async def flood(visit: Visit) -> None:
        nonlocal sent
        for number in range(256):
            await visit.send(bytes([number]) * (MIB // 8))
            sent += 1

    async with talk(flood) as ours:
        await ours.receive(1)
        before = -1
        while before != sent:  # until the server cannot go on
            before = sent
            await anyio.sleep(0.05)
        assert sent < 256
        if isinstance(ours, AsyncioSocket):
            assert ours._waiting < 2 * MIB
        rest = await received(ours)
        assert len(rest) == 32 * MIB - 1
        assert all(rest[at * MIB // 8] == at for at in range(1, 256))


async def test_a_read_that_is_cancelled_loses_nothing() -> None:
    more = anyio.Event()

    async def say(visit: Visit) -> None:
        await visit.send(b"a")
        await more.wait()
        await visit.send(b"b")

    async with talk(say) as ours:
        assert await ours.receive() == b"a"
        for _ in range(3):
            with anyio.move_on_after(0.01) as scope:
                await ours.receive()
            assert scope.cancelled_caught
        more.set()
        # Neither does one that is cancelled before it begins, should it not return.
        await news_of(ours)
        data = b""
        with anyio.CancelScope() as scope:
            scope.cancel()
            data = await ours.receive()
        assert data + await received(ours) == b"b"


async def test_what_is_not_taken_is_waited_for_and_the_wait_can_be_given_up() -> None:
    async def deaf(visit: Visit) -> None:
        await left.wait()

    left = anyio.Event()
    async with talk(deaf) as ours:
        with anyio.move_on_after(0.05) as scope:
            while True:
                await ours.send(b"x" * 8 * MIB)
        assert scope.cancelled_caught
        left.set()


async def test_it_is_waited_for_until_the_other_side_is_gone() -> None:
    async def deaf(visit: Visit) -> None:
        await anyio.sleep(0.05)
        await reset(visit)

    async with talk(deaf) as ours:
        with pytest.raises(anyio.BrokenResourceError), anyio.fail_after(10):
            while True:
                await ours.send(b"x" * 8 * MIB)
        with pytest.raises(anyio.BrokenResourceError):
            await ours.send(b"x")


async def test_a_reset_comes_after_what_came_before_it() -> None:
    async def say(visit: Visit) -> None:
        await visit.send(b"a")
        await heard.wait()
        await reset(visit)

    heard = anyio.Event()
    async with talk(say) as ours:
        assert await ours.receive() == b"a"
        heard.set()
        with pytest.raises(anyio.BrokenResourceError):
            await ours.receive()
        # Said again by asyncio; the system says it only once.
        with pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)):
            await ours.receive()


async def test_the_end_of_one_direction_is_not_the_end_of_the_other() -> None:
    async def hear_out(visit: Visit) -> None:
        heard = b""
        try:
            while True:
                heard += await visit.stream.receive()
        except anyio.EndOfStream:
            await visit.send(heard)

    async with talk(hear_out) as ours:
        await ours.send(b"all")
        await ours.send_eof()
        assert await received(ours) == b"all"
        with pytest.raises(anyio.EndOfStream):
            await ours.receive()


async def test_nothing_can_be_done_with_one_that_is_closed() -> None:
    async with talk(echo) as ours:
        await ours.aclose()
        await ours.aclose()
        with pytest.raises(anyio.ClosedResourceError):
            await ours.send(b"x")
        with pytest.raises(anyio.ClosedResourceError):
            await ours.receive()


async def test_closing_it_ends_a_read() -> None:
    async with talk(echo) as ours, anyio.create_task_group() as tasks:
        tasks.start_soon(_close_soon, ours)
        with pytest.raises(anyio.ClosedResourceError):
            await ours.receive()


async def _close_soon(ours: Socket) -> None:
    await anyio.sleep(0.01)
    await ours.aclose()


async def test_it_knows_of_news_without_receiving_them() -> None:
    ahead = anyio.Event()

    async def say(visit: Visit) -> None:
        await ahead.wait()
        await visit.send(b"a")
        await visit.stay()

    async with talk(say) as ours:
        assert not ours.has_news()
        ahead.set()
        await news_of(ours)
        assert await ours.receive() == b"a"
        assert not ours.has_news()

    async def leave(visit: Visit) -> None:
        pass

    async with talk(leave) as ours:
        await news_of(ours)


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
    assert await sockets._addresses("a.name", 1) == ["::1", "127.0.0.1", "::2", "127.0.0.2"]
    assert await sockets._addresses("::0001", 1) == ["::1"]


# --- which of several addresses


class Opened(Socket):
    """A socket that only knows whether it is closed."""

    closed = False

    async def receive(self, max_bytes: int = 65536) -> bytes:
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


first_of: Callable[[Any], Awaitable[Socket]] = sockets._first_of


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
