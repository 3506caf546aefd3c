"""
Cassettes: exchanges with real servers, recorded once and replayed without a network.

A cassette stands between backends and their connections for the length of a block. It
records each exchange as it happened, cut-off and broken ones included, without
credentials, in a JSON file that a person can read and compare. It replays by what was
asked and not by when, so a fan-out gets the same answers in whatever order it asks.

This module knows requests and responses; what the bytes mean is no business of its.
"""

import base64
import difflib
import json
import os
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import anyio
import anyio.lowlevel
import attrs

from .._http.client import interposed
from .._values.secrets import redacted, redacted_headers, redacted_value, secrets_in, secrets_in_url

Mode: TypeAlias = Literal["record", "replay", "auto"]

_VERSION: Final = 1
# They differ in every recording and tell nothing about the model.
_VOLATILE: Final = frozenset({"date", "server", "x-request-id", "cf-ray", "transfer-encoding"})
_COMPLETE: Final = "complete"
_CUT_OFF: Final = "cut off"


class NotRecorded(LookupError):
    """A request was made that the cassette does not have, or has been asked more often than it has."""


@attrs.define(eq=False)
class Exchange:
    """One request and what came back.

    Attributes:
        method: such as ``POST``.
        url: where to, without credentials.
        body: what was sent, as JSON if it is that, else as text.
        status: the status of the response, None if there was none.
        headers: those of the response.
        pieces: the body as it came: seconds since the request, and bytes.
        ended: ``complete``, ``cut off`` if the client hung up, or ``failed: ...``.
        failure: the class and the message of the error that ended it.
    """

    method: str
    url: str
    body: Any
    status: int | None = None
    headers: Mapping[str, str] = attrs.field(factory=dict)
    pieces: list[tuple[float, bytes]] = attrs.field(factory=list)
    ended: str = _CUT_OFF
    failure: tuple[str, str] | None = None

    @property
    def key(self) -> str:
        """What a request must share with this one to be answered by it."""
        return json.dumps([self.method, self.url, self.body], sort_keys=True, ensure_ascii=False)

    @property
    def asked(self) -> str:
        """The request as a person reads it."""
        shown = json.dumps(self.body, indent=2, sort_keys=True, ensure_ascii=False)
        return f"{self.method} {self.url}\n{shown}\n"

    def to_json(self) -> dict[str, Any]:
        """Return what stands in the file."""
        return {
            "request": {"method": self.method, "url": self.url, "body": self.body},
            "response": {
                "status": self.status,
                "headers": dict(self.headers),
                "body": [[round(at, 4), _readable(data)] for at, data in self.pieces],
                "ended": self.ended,
                **({"failure": list(self.failure)} if self.failure else {}),
            },
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Exchange":
        """Return the exchange that stands in a file."""
        asked, came = record["request"], record["response"]
        failure = came.get("failure")
        return cls(
            asked["method"],
            asked["url"],
            asked["body"],
            came["status"],
            came["headers"],
            [(at, _unreadable(data)) for at, data in came["body"]],
            came["ended"],
            None if failure is None else (failure[0], failure[1]),
        )


class Cassette:
    """What was recorded, and what has been asked of it; `use_cassette` gives it.

    Attributes:
        path: the file.
        recording: whether requests go to the server.
        exchanges: all there are, in the order in which they ended or stand in the file.
    """

    def __init__(self, path: Path, *, recording: bool, pace: float) -> None:
        self.path: Final = path
        self.recording: Final = recording
        self.exchanges: list[Exchange] = []
        self._pace = pace
        self._left: dict[str, deque[Exchange]] = {}
        if not recording:
            self._load()

    @property
    def unused(self) -> list[Exchange]:
        """The recorded exchanges that nobody has asked for."""
        return [each for left in self._left.values() for each in left]

    def _load(self) -> None:
        try:
            told = json.loads(self.path.read_text("utf-8"))
            if told["version"] != _VERSION:
                raise ValueError(f"it has version {told['version']}, not {_VERSION}")
            self.exchanges = [Exchange.from_json(record) for record in told["exchanges"]]
        except FileNotFoundError as exc:
            raise NotRecorded(
                f"there is no cassette {self.path}: run once with mode='record', or 'auto'"
            ) from exc
        except (ValueError, LookupError, TypeError) as exc:
            raise ValueError(f"{self.path} is no cassette that can be read: {exc}") from exc
        for exchange in self.exchanges:
            self._left.setdefault(exchange.key, deque()).append(exchange)

    def _keep(self, exchange: Exchange) -> None:
        """Take an exchange that has ended, and write all there are."""
        self.exchanges.append(exchange)
        # By what was asked: two recordings of the same program differ only where answers do.
        ordered = sorted(self.exchanges, key=lambda each: each.key)
        told = {"version": _VERSION, "exchanges": [each.to_json() for each in ordered]}
        text = json.dumps(told, indent=1, ensure_ascii=False) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name(f"{self.path.name}.part")
        draft.write_text(text, "utf-8")
        os.replace(draft, self.path)  # nobody sees half a file  # noqa: PTH105

    async def _interpose(self, request: Any, send: Callable[[Any], Awaitable[Any]]) -> Any:
        asked = _asked(request)
        if not self.recording:
            return await self._replayed(request, asked)
        began = anyio.current_time()
        try:
            response = await send(request)
        except Exception as exc:
            asked.ended, asked.failure = "failed", _failure(exc)
            self._keep(asked)
            raise
        except BaseException:
            self._keep(asked)
            raise
        secrets = _secrets(request)
        asked.status = response.status_code
        asked.headers = {
            name: redacted(text, secrets)
            for name, text in redacted_headers(dict(response.headers)).items()
            if name.lower() not in _VOLATILE
        }
        body = _Recorded(response.stream, asked, self._keep, began, secrets)
        response.stream = _as_stream(body, _library_of(request))
        return response

    async def _replayed(self, request: Any, asked: Exchange) -> Any:
        left = self._left.get(asked.key)
        if not left:
            raise NotRecorded(self._missing(asked))
        exchange = left.popleft()
        await anyio.lowlevel.checkpoint()
        library = _library_of(request)

        async def end() -> None:
            await _end_as(exchange, library)

        if exchange.status is None:
            await end()
        return library.Response(
            exchange.status,
            headers=dict(exchange.headers),
            stream=_as_stream(_Replay(exchange, self._pace, end), library),
            request=request,
        )

    def _missing(self, asked: Exchange) -> str:
        known = [each for each in self.exchanges if each.key == asked.key]
        if known:
            return (
                f"{self.path} has this request {len(known)} times, and it was made once more; "
                f"record it again:\n{asked.asked}"
            )
        message = f"{self.path} does not have this request; record it again:\n{asked.asked}"
        nearest = max(
            self.exchanges,
            key=lambda each: difflib.SequenceMatcher(None, each.asked, asked.asked).ratio(),
            default=None,
        )
        if nearest is None:
            return f"{message}It has none at all."
        lines = difflib.unified_diff(
            nearest.asked.splitlines(),
            asked.asked.splitlines(),
            "the nearest that it has",
            "this request",
            lineterm="",
            n=1,
        )
        return message + "\n".join(lines)


@contextmanager
def use_cassette(
    path: str | os.PathLike[str], mode: Mode = "auto", *, pace: float = 0.0
) -> Iterator[Cassette]:
    """Record what backends exchange with their servers in a block, or replay it.

    It holds for what the block itself does and for the tasks it starts, whatever client a
    backend has. Requests are matched by method, URL and body. Those that are equal
    are answered in the order in which they were recorded.

    Args:
        path: the file.
        mode: ``"record"`` asks the servers and writes the file anew, ``"replay"`` asks nobody,
            ``"auto"`` replays a file that is there and records one that is not.
        pace: how long a replay takes, as a factor of how long it took then; 0 for no pauses.

    Raises:
        NotRecorded: there is no such file to replay. Of a request that is not in it the
            backend's caller gets the same error, with the nearest one that is.
        ValueError: the file, *mode* or *pace* cannot be used.
    """
    if mode not in ("record", "replay", "auto"):
        raise ValueError(f"mode should be 'record', 'replay' or 'auto', not {mode!r}")
    if not pace >= 0:
        raise ValueError(f"pace should be a factor from 0, not {pace!r}")
    file = Path(path)
    recording = mode == "record" or (mode == "auto" and not file.exists())
    cassette = Cassette(file, recording=recording, pace=pace)
    token = interposed.set(cassette._interpose)
    try:
        yield cassette
    finally:
        interposed.reset(token)


async def _end_as(exchange: Exchange, library: Any) -> None:
    """End as an exchange has ended: return at the end of its body, or raise, or hang."""
    if exchange.ended == _COMPLETE:
        return
    if exchange.failure is None:
        # The client hung up then. It does so now, or waits for what nobody knows.
        await anyio.sleep_forever()
    assert exchange.failure is not None
    name, message = exchange.failure
    error = getattr(library, name, library.ReadError)
    raise error(message)


class _Recorded:
    """The body of a response, noted as it passes. An object, so that leaving it leaves nothing."""

    def __init__(
        self,
        stream: Any,
        exchange: Exchange,
        keep: Callable[[Exchange], None],
        began: float,
        secrets: tuple[str, ...],
    ) -> None:
        self._stream = stream
        self._pieces: Any = None
        self._exchange = exchange
        self._keep: Callable[[Exchange], None] | None = keep
        self._began = began
        self._secrets = secrets

    def __aiter__(self) -> "_Recorded":
        self._pieces = aiter(self._stream)
        return self

    async def __anext__(self) -> bytes:
        exchange = self._exchange
        try:
            data: bytes = await anext(self._pieces)
        except StopAsyncIteration:
            exchange.ended = _COMPLETE
            raise
        except Exception as exc:
            exchange.ended, exchange.failure = "failed", _failure(exc)
            raise
        at = anyio.current_time() - self._began
        exchange.pieces.append((at, _without(data, self._secrets)))
        return data

    async def aclose(self) -> None:
        try:
            for each in (self._pieces, self._stream):
                if hasattr(each, "aclose"):
                    await each.aclose()
        finally:
            keep, self._keep = self._keep, None
            if keep is not None:
                keep(self._exchange)


class _Replay:
    """The body of a recorded response."""

    def __init__(self, exchange: Exchange, pace: float, end: Callable[[], Awaitable[None]]) -> None:
        self._pieces = iter(exchange.pieces)
        self._at = 0.0
        self._pace = pace
        self._end = end

    def __aiter__(self) -> "_Replay":
        return self

    async def __anext__(self) -> bytes:
        for at, data in self._pieces:
            await anyio.sleep((at - self._at) * self._pace)
            self._at = at
            return data
        await self._end()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        pass


def _as_stream(body: Any, library: Any) -> Any:
    """Return a body as the library wants it, of which it looks at the class."""
    cls = type(body)
    body.__class__ = type(cls.__name__, (cls, library.AsyncByteStream), {})
    return body


def _library_of(request: Any) -> Any:
    return sys.modules[type(request).__module__.partition(".")[0]]


def _asked(request: Any) -> Exchange:
    secrets = _secrets(request)
    content = bytes(request.content)
    try:
        body = redacted_value(json.loads(content), secrets) if content else None
    except ValueError:
        body = redacted(content.decode("utf-8", "replace"), secrets)
    return Exchange(request.method, redacted(str(request.url), secrets), body)


def _secrets(request: Any) -> tuple[str, ...]:
    return (*secrets_in(dict(request.headers)), *secrets_in_url(str(request.url)))


def _without(data: bytes, secrets: tuple[str, ...]) -> bytes:
    """Return a piece of a body without what is secret, if it is text."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return data
    return redacted(text, secrets).encode()


def _failure(exc: Exception) -> tuple[str, str]:
    return type(exc).__name__, redacted(str(exc))


def _readable(data: bytes) -> Any:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _unreadable(data: Any) -> bytes:
    return base64.b64decode(data["base64"]) if isinstance(data, dict) else data.encode()
