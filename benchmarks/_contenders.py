"""
One client per library, each written the way a careful user of that library writes it.

A contender opens a client for one server and one model; the client reads one reply
piece by piece, or many at once. Whatever reads a reply hands every piece to a *sink*
(often ``list.append``) and returns at the end of the reply; a reply that breaks raises.
Limits on connections and time are off, where a library has them on by default, except
in motet, which is measured as it comes.

Roles: `bare` is what motet is compared with; a `peer` does the same job and is measured
when installed; the `floor` shows what the machine and the event loop alone cost.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, Protocol

import anyio
import attrs

Sink = Callable[[str], object]
ALL_LOOPS: Final = ("asyncio", "uvloop", "trio")
ASYNCIO_LOOPS: Final = ("asyncio", "uvloop")
RAW: Final = "raw asyncio"  # what the machine and the event loop cost alone


class Client(Protocol):
    """A client of one server and one model."""

    async def read(self, prompt: str, sink: Sink) -> None:
        """Read one reply as it arrives, every piece to *sink*."""

    async def read_many(self, prompts: Sequence[str]) -> None:
        """Read the replies to all prompts at once; they are thrown away."""


@attrs.frozen
class Contender:
    """A library, and how to open a client of it."""

    name: str
    role: str  # "motet", "bare", "peer" or "floor"
    needs: str  # the import name of the library
    open: Callable[[str, str], AbstractAsyncContextManager[Client]]  # of a URL and a model
    loops: tuple[str, ...] = ALL_LOOPS

    @property
    def installed(self) -> bool:
        """Whether the library can be imported; looks, and does not import."""
        return importlib.util.find_spec(self.needs) is not None


class OneTaskEach:
    """`read_many` for libraries that leave concurrency to their user."""

    async def read(self, prompt: str, sink: Sink) -> None:
        """Read one reply as it arrives, every piece to *sink*."""
        raise NotImplementedError

    async def read_many(self, prompts: Sequence[str]) -> None:
        """Read the replies to all prompts, each in a task of its own."""
        async with anyio.create_task_group() as tasks:
            for prompt in prompts:
                tasks.start_soon(self._read_whole, prompt)

    async def _read_whole(self, prompt: str) -> None:
        pieces: list[str] = []
        await self.read(prompt, pieces.append)
        "".join(pieces)


def _chat(model: str, prompt: str) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": prompt}], "stream": True}


class IncompleteReply(Exception):
    """A reply ended without its last record."""


# --- motet ---------------------------------------------------------------------------


class MotetClient:
    """motet with nothing set: a session, `ainstruct`, and what the documents say next."""

    def __init__(self, session: Any, wait_for_all_mots: Any) -> None:
        self._session = session
        self._wait_for_all_mots = wait_for_all_mots

    async def start(self, prompt: str) -> Any:
        """Start one reply and return its pending thunk."""
        return await self._session.ainstruct(prompt)

    async def read(self, prompt: str, sink: Sink) -> None:
        """Read one reply with the documented `astream()` loop."""
        thunk = await self._session.ainstruct(prompt)
        while not thunk.is_computed():
            sink(await thunk.astream())

    async def read_many(self, prompts: Sequence[str]) -> None:
        """Start all calls, then wait for them with `wait_for_all_mots`."""
        thunks = [await self._session.ainstruct(prompt) for prompt in prompts]
        await self._wait_for_all_mots(thunks)


@asynccontextmanager
async def _open_motet(url: str, model: str) -> AsyncGenerator[Client]:
    motet = importlib.import_module("motet")
    async with motet.open_session("ollama", model, base_url=url) as session:
        yield MotetClient(session, motet.wait_for_all_mots)


@asynccontextmanager
async def _open_motet_openai(url: str, model: str) -> AsyncGenerator[Client]:
    motet = importlib.import_module("motet")
    async with motet.open_session("openai", model, base_url=f"{url}/v1") as session:
        yield MotetClient(session, motet.wait_for_all_mots)


# --- bare httpx2 ---------------------------------------------------------------------


class HttpxLines(OneTaskEach):
    """The loop that everybody writes: `aiter_lines` and json."""

    def __init__(self, http: Any, model: str) -> None:
        self._http = http
        self._model = model

    async def read(self, prompt: str, sink: Sink) -> None:
        """Read one reply line by line, and on to the end of the body."""
        done = False
        async with self._http.stream(
            "POST", "/api/chat", json=_chat(self._model, prompt)
        ) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                record = json.loads(line)
                if record["done"]:
                    done = True
                else:
                    sink(record["message"]["content"])
        if not done:
            raise IncompleteReply


class HttpxBytes(HttpxLines):
    """The loop of those who know that `aiter_lines` also cuts at U+2028 inside a string."""

    async def read(self, prompt: str, sink: Sink) -> None:
        """Read one reply, splitting bytes at newlines only."""
        rest = b""
        done = False
        async with self._http.stream(
            "POST", "/api/chat", json=_chat(self._model, prompt)
        ) as response:
            response.raise_for_status()
            async for data in response.aiter_bytes():
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    record = json.loads(line)
                    if record["done"]:
                        done = True
                    else:
                        sink(record["message"]["content"])
        if not done:
            raise IncompleteReply


@asynccontextmanager
async def _open_httpx_lines(url: str, model: str) -> AsyncGenerator[Client]:
    async with _unlimited_httpx("httpx2", url) as http:
        yield HttpxLines(http, model)


@asynccontextmanager
async def _open_httpx_bytes(url: str, model: str) -> AsyncGenerator[Client]:
    async with _unlimited_httpx("httpx2", url) as http:
        yield HttpxBytes(http, model)


def _unlimited_httpx(library: str, url: str) -> Any:
    httpx = importlib.import_module(library)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    return httpx.AsyncClient(base_url=url, limits=limits, timeout=None)


# --- floor and peers ---------------------------------------------------------------------------


class RawAsyncio(OneTaskEach):
    """No HTTP library at all: `asyncio.open_connection`, and just enough of HTTP/1.1."""

    def __init__(self, host: str, port: int, model: str) -> None:
        self._host = host
        self._port = port
        self._model = model
        self._idle: list[tuple[Any, Any]] = []

    async def read(self, prompt: str, sink: Sink) -> None:
        """Read one reply; a connection that served it to its end is kept."""
        reader, writer = await self._connect()
        body = json.dumps(_chat(self._model, prompt)).encode()
        writer.write(
            b"POST /api/chat HTTP/1.1\r\nHost: load\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        try:
            await self._read_reply(reader, sink)
        except BaseException:
            writer.close()
            raise
        self._idle.append((reader, writer))

    async def _connect(self) -> tuple[Any, Any]:
        if self._idle:
            return self._idle.pop()
        asyncio = importlib.import_module("asyncio")
        connection: tuple[Any, Any] = await asyncio.open_connection(self._host, self._port)
        return connection

    @staticmethod
    async def _read_reply(reader: Any, sink: Sink) -> None:
        status = await reader.readuntil(b"\r\n\r\n")
        if not status.startswith(b"HTTP/1.1 200"):
            raise IncompleteReply
        buffer = b""
        rest = b""
        while True:
            data = await reader.read(65536)
            if not data:
                raise IncompleteReply
            buffer += data
            start = 0
            while (end := buffer.find(b"\r\n", start)) >= 0:
                size = int(buffer[start:end], 16)
                if len(buffer) < end + 4 + size:
                    break
                if not size:
                    return
                *lines, rest = (rest + buffer[end + 2 : end + 2 + size]).split(b"\n")
                for line in lines:
                    record = json.loads(line)
                    if not record["done"]:
                        sink(record["message"]["content"])
                start = end + 4 + size
            buffer = buffer[start:]

    def close(self) -> None:
        """Close the connections that are kept."""
        for _, writer in self._idle:
            writer.close()


@asynccontextmanager
async def _open_raw_asyncio(url: str, model: str) -> AsyncGenerator[Client]:
    host, port = url.removeprefix("http://").split(":")
    client = RawAsyncio(host, int(port), model)
    with contextlib.closing(client):
        yield client


class Aiohttp(OneTaskEach):
    """aiohttp, line by line."""

    def __init__(self, http: Any, model: str) -> None:
        self._http = http
        self._model = model

    async def read(self, prompt: str, sink: Sink) -> None:
        """Read one reply line by line."""
        async with self._http.post("/api/chat", json=_chat(self._model, prompt)) as response:
            response.raise_for_status()
            async for line in response.content:
                record = json.loads(line)
                if not record["done"]:
                    sink(record["message"]["content"])


@asynccontextmanager
async def _open_aiohttp(url: str, model: str) -> AsyncGenerator[Client]:
    aiohttp = importlib.import_module("aiohttp")
    async with aiohttp.ClientSession(
        url,
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=None),
    ) as http:
        yield Aiohttp(http, model)


class Ollama(OneTaskEach):
    """The official Ollama client."""

    def __init__(self, client: Any, model: str) -> None:
        self._client = client
        self._model = model

    async def read(self, prompt: str, sink: Sink) -> None:
        """Read one reply, chunk by chunk."""
        chunks = await self._client.chat(**_chat(self._model, prompt))
        async for chunk in chunks:
            if not chunk.done:
                sink(chunk.message.content)


@asynccontextmanager
async def _open_ollama(url: str, model: str) -> AsyncGenerator[Client]:
    ollama = importlib.import_module("ollama")
    httpx = importlib.import_module("httpx")  # what the client stands on
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    yield Ollama(ollama.AsyncClient(host=url, limits=limits), model)


class OpenAI(OneTaskEach):
    """The official OpenAI client, on the server's other protocol."""

    def __init__(self, client: Any, model: str) -> None:
        self._client = client
        self._model = model

    async def read(self, prompt: str, sink: Sink) -> None:
        """Read one reply, chunk by chunk."""
        async with await self._client.chat.completions.create(
            **_chat(self._model, prompt)
        ) as chunks:
            async for chunk in chunks:
                if (text := chunk.choices[0].delta.content) is not None:
                    sink(text)


@asynccontextmanager
async def _open_openai(url: str, model: str) -> AsyncGenerator[Client]:
    openai = importlib.import_module("openai")
    async with openai.AsyncOpenAI(
        base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=None
    ) as client:
        yield OpenAI(client, model)


CONTENDERS: Final[Mapping[str, Contender]] = {
    contender.name: contender
    for contender in (
        Contender("motet", "motet", "motet", _open_motet),
        Contender("motet openai", "motet", "motet", _open_motet_openai),
        Contender("httpx2 lines", "bare", "httpx2", _open_httpx_lines),
        Contender("httpx2 bytes", "bare", "httpx2", _open_httpx_bytes),
        Contender(RAW, "floor", "asyncio", _open_raw_asyncio, ASYNCIO_LOOPS),
        Contender("aiohttp", "peer", "aiohttp", _open_aiohttp, ASYNCIO_LOOPS),
        Contender("ollama", "peer", "ollama", _open_ollama),
        Contender("openai", "peer", "openai", _open_openai),
    )
}
