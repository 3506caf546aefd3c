"""Connected sockets: all that arrives comes out, once and in order, and the end says what it was."""

import math
import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import SocketAttribute

from backends.raw import Handler, Visit, raw_server
from motet._runtime.asyncio_sockets import AsyncioSocket
from motet._runtime.connecting import open_socket
from motet._runtime.sockets import Socket

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


class Heap:
    """Takes what a socket hands on, until it has *enough* bytes."""

    def __init__(self, enough: float = math.inf) -> None:
        self.data = b""
        self.enough = enough
        self.grew = anyio.Event()

    def take(self, data: bytes) -> bool:
        self.data += data
        self.grew.set()
        self.grew = anyio.Event()
        return len(self.data) < self.enough

    async def wait(self, size: int) -> None:
        with anyio.fail_after(5):
            while len(self.data) < size:
                await self.grew.wait()


async def test_what_arrives_is_handed_on_as_it_comes_until_the_end() -> None:
    async def say(visit: Visit) -> None:
        for number in range(3):
            await heap.wait(number)
            await visit.send(b"%d" % number)

    heap = Heap()
    async with talk(say) as ours:
        with pytest.raises(anyio.EndOfStream):
            await ours.pump(heap.take)
        assert heap.data == b"012"
        with pytest.raises(anyio.EndOfStream):
            await ours.pump(heap.take)


async def test_what_is_not_wanted_any_more_is_left_for_the_next_read() -> None:
    async def say(visit: Visit) -> None:
        await visit.send(b"a")
        await heap.wait(1)
        await visit.send(b"b" * MIB)

    heap = Heap(1)
    async with talk(say) as ours:
        await ours.pump(heap.take)
        assert heap.data == b"a"
        await news_of(ours)
        assert await ours.receive(1) == b"b"
        heap.enough = MIB
        await ours.pump(heap.take)
        assert heap.data == b"a" + b"b" * (MIB - 1)
        with pytest.raises(anyio.EndOfStream):
            await ours.receive()


async def test_handing_on_can_be_given_up_and_taken_up_again() -> None:
    async def say(visit: Visit) -> None:
        for number in range(200):
            await visit.send(b"%03d." % number)
            await anyio.sleep(0.001)

    heap = Heap(800)
    async with talk(say) as ours:
        given_up = 0
        while len(heap.data) < heap.enough:
            with anyio.move_on_after(0.005) as scope:
                await ours.pump(heap.take)
            given_up += scope.cancelled_caught
        assert given_up > 1
    assert heap.data == b"".join(b"%03d." % number for number in range(200))


async def test_a_reset_while_it_hands_on_comes_after_what_came_before_it() -> None:
    async def say(visit: Visit) -> None:
        await visit.send(b"a")
        await heap.wait(1)
        await reset(visit)

    heap = Heap()
    async with talk(say) as ours:
        with pytest.raises(anyio.BrokenResourceError):
            await ours.pump(heap.take)
        assert heap.data == b"a"


async def test_closing_it_ends_the_handing_on() -> None:
    heap = Heap()
    async with talk(echo) as ours, anyio.create_task_group() as tasks:
        tasks.start_soon(_close_soon, ours)
        with pytest.raises(anyio.ClosedResourceError):
            await ours.pump(heap.take)
        with pytest.raises(anyio.ClosedResourceError):
            await ours.pump(heap.take)


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
