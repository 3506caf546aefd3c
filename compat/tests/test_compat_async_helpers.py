"""What backends that programs write for asyncio are helped with."""

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest

from mellea.helpers import async_helpers
from mellea.helpers.async_helpers import ClientCache, get_current_event_loop, send_to_queue
from virtual_time import on_virtual_time

pytestmark = pytest.mark.anyio


class Pieces:
    """An async iterator that says whether it was closed."""

    def __init__(self, *pieces: Any, pause: float = 0) -> None:
        self._pieces = iter(pieces)
        self._pause = pause
        self.closed = False

    def __aiter__(self) -> "Pieces":
        return self

    async def __anext__(self) -> Any:
        await anyio.sleep(self._pause)
        for piece in self._pieces:
            if isinstance(piece, BaseException):
                raise piece
            return piece
        raise StopAsyncIteration

    async def aclose(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.closed = True


async def answer(reply: Any) -> Any:
    await anyio.lowlevel.checkpoint()
    if isinstance(reply, BaseException):
        raise reply
    return reply


async def sent(reply: Any, **options: Any) -> list[Any]:
    """Return what comes out of a queue (on Trio, of a stream) of anyio's."""
    send, receive = anyio.create_memory_object_stream[Any](math.inf)
    with send, receive:
        await send_to_queue(reply, send, **options)
        send.close()
        return [item async for item in receive]


async def test_a_reply_is_followed_by_none() -> None:
    assert await sent(answer("whole")) == ["whole", None]


@pytest.mark.parametrize("wrapped", [True, False], ids=["in an awaitable", "by itself"])
async def test_pieces_are_followed_by_none(wrapped: bool) -> None:
    pieces = Pieces("a", "b")
    assert await sent(answer(pieces) if wrapped else pieces) == ["a", "b", None]
    assert pieces.closed


async def test_an_async_generator_is_taken_too() -> None:
    async def generate() -> AsyncIterator[str]:
        yield "a"
        yield "b"

    assert await sent(generate()) == ["a", "b", None]


async def test_an_error_is_the_last_item() -> None:
    error = ValueError("no")
    assert await sent(answer(error)) == [error]
    pieces = Pieces("a", error)
    assert await sent(pieces) == ["a", error]
    assert pieces.closed


@on_virtual_time
async def test_silence_is_an_error() -> None:
    pieces = Pieces("a", pause=5)
    first, error = await sent(pieces, chunk_timeout=8), None
    assert first == ["a", None]
    pieces = Pieces("a", pause=9)
    [error] = await sent(pieces, chunk_timeout=8)
    assert isinstance(error, TimeoutError)
    assert "timed out after 8s without a chunk" in str(error)
    assert pieces.closed
    assert await sent(Pieces("a", pause=500), chunk_timeout=None) == ["a", None]


async def test_a_timeout_of_the_reply_is_its_own() -> None:
    error = TimeoutError("mine")
    assert await sent(Pieces(error)) == [error]


async def test_an_iterator_that_cannot_be_closed_is_no_error() -> None:
    class Stubborn(Pieces):
        async def aclose(self) -> None:
            raise OSError("no")

    assert await sent(Stubborn("a")) == ["a", None]


@on_virtual_time
async def test_cancelling_ends_the_queue_and_closes_the_reply() -> None:
    pieces = Pieces("a", "b", pause=1)
    send, receive = anyio.create_memory_object_stream[Any](math.inf)
    with send, receive:
        with anyio.move_on_after(1.5):
            await send_to_queue(pieces, send)
        assert pieces.closed
        assert receive.receive_nowait() == "a"
        assert isinstance(receive.receive_nowait(), anyio.get_cancelled_exc_class())


@on_virtual_time
async def test_waiting_for_room_is_no_silence() -> None:
    send, receive = anyio.create_memory_object_stream[Any](0)
    got = []
    with receive:
        async with anyio.create_task_group() as tg:
            tg.start_soon(lambda: send_to_queue(Pieces("a", "b"), send, chunk_timeout=1))
            for _ in range(3):
                await anyio.sleep(10)
                got.append(await receive.receive())
    send.close()
    assert got == ["a", "b", None]


@pytest.mark.parametrize("anyio_backend", ["asyncio", "uvloop"], indirect=True)
async def test_a_queue_and_a_task_of_asyncio() -> None:
    queue: asyncio.Queue[Any] = asyncio.Queue(maxsize=1)
    task = asyncio.ensure_future(answer(Pieces("a", "b")))
    feeder = asyncio.ensure_future(send_to_queue(task, queue))
    assert [await queue.get() for _ in range(3)] == ["a", "b", None]
    await feeder

    feeder = asyncio.ensure_future(send_to_queue(Pieces("a", pause=math.inf), queue))
    await asyncio.sleep(0)
    feeder.cancel()
    assert isinstance(await queue.get(), asyncio.CancelledError)
    with pytest.raises(asyncio.CancelledError):
        await feeder


async def test_the_running_loop_is_asyncios_or_none(anyio_backend_name: str) -> None:
    loop = get_current_event_loop()
    if anyio_backend_name == "trio":
        assert loop is None
    else:
        assert loop is asyncio.get_running_loop()


def test_without_a_loop_there_is_none() -> None:
    assert get_current_event_loop() is None


def test_the_last_to_be_asked_for_stays() -> None:
    cache = ClientCache(2)
    cache.put(1, "one")
    cache.put(2, "two")
    assert cache.get(1) == "one"
    cache.put(3, "three")
    assert list(cache.cache.items()) == [(1, "one"), (3, "three")]
    assert cache.get(2) is None
    cache.put(1, "uno")
    assert list(cache.cache.items()) == [(3, "three"), (1, "uno")]
    assert (cache.current_size(), cache.capacity) == (2, 2)


def test_without_room_nothing_is_kept() -> None:
    cache = ClientCache(0)
    cache.put(1, "one")
    assert (cache.current_size(), cache.get(1)) == (0, None)


def test_a_client_that_has_to_go_is_closed() -> None:
    cache = ClientCache(1)
    first, second, third = httpx2.Client(), httpx2.Client(), httpx2.Client()
    cache.put(1, first)
    cache.put(1, first)
    assert not first.is_closed
    cache.put(1, second)  # nobody would ever close the first
    assert first.is_closed
    cache.put(2, third)
    assert (second.is_closed, third.is_closed) == (True, False)
    third.close()


class Client:
    """A client that has to be closed where its connections are."""

    def __init__(self) -> None:
        self.closed_in: object = None

    async def close(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.closed_in = anyio.lowlevel.current_token()
        raise OSError("this is logged")

    async def is_closed(self) -> None:
        while self.closed_in is None:
            await anyio.lowlevel.checkpoint()


async def test_an_async_client_is_closed_while_others_run() -> None:
    cache = ClientCache(1)
    client, other = Client(), httpx2.AsyncClient()
    cache.put(1, client)
    cache.put(2, other)
    await client.is_closed()
    cache.put(3, None)
    while not other.is_closed:
        await anyio.lowlevel.checkpoint()


async def test_a_client_is_closed_in_its_own_loop(
    anyio_backend: tuple[str, dict[str, object]],
) -> None:
    cache = ClientCache(1)
    client = Client()
    cache.put(1, client)

    async def elsewhere() -> None:
        cache.put(2, None)

    name, options = anyio_backend
    await anyio.to_thread.run_sync(
        lambda: anyio.run(elsewhere, backend=name, backend_options=options)
    )
    await client.is_closed()
    assert client.closed_in == anyio.lowlevel.current_token()


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_a_client_of_a_loop_that_is_over_is_let_go(loop: str) -> None:
    cache = ClientCache(1)

    async def fill() -> None:
        cache.put(1, Client())

    anyio.run(fill, backend=loop)
    cache.put(2, Client())  # without any event loop
    cache.put(3, "not a client")
    assert list(cache.cache) == [3]


def test_the_documented_timeout() -> None:
    assert async_helpers.DEFAULT_CHUNK_TIMEOUT == 120.0
