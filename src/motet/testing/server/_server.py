"""
The server: accepts connections, answers requests, and notices who hangs up.

This module knows sockets to listen on, tasks and the life of a connection. What is
written stands in `_perform`, what is counted in `_records`.
"""

import contextlib
import errno
import math
import socket
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio
import anyio.abc
import attrs
import h11
import msgspec

from motet.testing.server._bells import Bells
from motet.testing.server._http import BadRequest, HTTPConnection, HTTPRequest, HungUp
from motet.testing.server._models import DEFAULT_MODELS, Catalogue
from motet.testing.server._ollama import OllamaDialect
from motet.testing.server._openai import OpenAIDialect
from motet.testing.server._pacing import Pace
from motet.testing.server._perform import Broken, Performance
from motet.testing.server._protocol import Answer, Call, Dialect
from motet.testing.server._records import Log, Outcome, ServedRequest
from motet.testing.server._scripts import (
    Condition,
    EndlessHeaders,
    Redirect,
    Refuse,
    Reply,
    Script,
    Step,
)

# As long as the system allows: a full backlog costs a client a second.
_BACKLOG: Final = 8192
MAX_PORT: Final = 65535
_OUT_OF_FILES: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_OUT_OF_FILES_PAUSE: Final = 0.05  # seconds


@attrs.define(eq=False)
class ModelServer:
    """A simulated model server that is listening.

    What it has seen may be read, and scripts written, from any thread.

    Attributes:
        url: where it listens, as in ``"http://127.0.0.1:54321"``; what speaks OpenAI's
            protocol finds it below ``/v1``.
    """

    url: str
    _catalogue: Catalogue
    _pace: Pace
    _headers_at_once: bool
    _keep_alive_timeout: float
    _default: Reply
    _keep_requests: int | None
    _script: Script = attrs.field(factory=Script, init=False)
    _bells: Bells = attrs.field(factory=Bells, init=False)
    _log: Log = attrs.field(init=False)
    _ollama: Dialect = attrs.field(init=False)
    _openai: Dialect = attrs.field(init=False)
    _open: dict[int, HTTPConnection] = attrs.field(factory=dict, init=False)
    _accepted: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._log = Log(self._bells.ring, self._keep_requests)
        self._ollama = OllamaDialect(self._catalogue)
        self._openai = OpenAIDialect(self._catalogue)

    def _dialect_of(self, path: str) -> Dialect:
        return self._openai if path.startswith("/v1/") else self._ollama

    # --- what it has seen

    @property
    def requests(self) -> tuple[ServedRequest, ...]:
        """Every request since the server was opened or reset, oldest first."""
        return tuple(self._log.requests)

    @property
    def replies(self) -> tuple[ServedRequest, ...]:
        """The requests among them that ask the model for something."""
        return tuple(request for request in self.requests if request.wants_reply)

    @property
    def hang_ups(self) -> tuple[ServedRequest, ...]:
        """The requests whose client went away before the reply was complete, oldest first.

        Each says when (``ended_at``), and what had been sent by then (``sent``).
        """
        return tuple(request for request in self.requests if request.hung_up)

    @property
    def open_requests(self) -> tuple[ServedRequest, ...]:
        """The requests whose response is not complete."""
        return self._log.open()

    @property
    def totals(self) -> Mapping[Outcome, int]:
        """How many requests have ended since the server was opened or reset, and how."""
        return dict(self._log.totals)

    @property
    def serving(self) -> int:
        """How many replies are being generated now."""
        return self._log.serving()

    @property
    def connections(self) -> int:
        """How many connections are open now, idle ones included."""
        return len(self._open)

    @property
    def connections_accepted(self) -> int:
        """How many connections there have been."""
        return self._accepted

    # --- what it shall do

    def script(
        self,
        steps: Iterable[Step],
        *,
        when: Condition | None = None,
        path: str | None = None,
        repeat: bool = False,
    ) -> None:
        """Say what happens to the next requests; afterwards the default holds again.

        Steps are used in order, one for each request that wants a reply. Several scripts
        may wait at once: a request takes its step from the oldest one that fits it.

        Args:
            steps: replies, refusals and faults.
            when: the steps are only for requests for which this returns true; called in
                the server's thread.
            path: the steps are for requests to this path, such as ``"/api/tags"``.
            repeat: begin again after the last step, without end.

        Raises:
            TypeError: one of them is not a step.
        """
        self._script.add(steps, when=when, path=path, repeat=repeat)

    def reset(self) -> None:
        """Forget scripts and the requests that have ended; those that are open go on."""
        self._script.clear()
        self._log.clear()

    def drop_idle_connections(self) -> None:
        """Close the connections without an open request, as servers do after a while."""
        busy = {request.connection for request in self.open_requests}
        for connection in tuple(self._open.values()):
            if connection.number not in busy:
                connection.shut_down()

    def drop_connections(self) -> None:
        """Close all connections, in the middle of a reply as well."""
        for connection in tuple(self._open.values()):
            connection.shut_down()

    # --- waiting and checking

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition on what the server has seen holds.

        It is looked at after each request, token, end and connection. Works on any event
        loop, also in another thread than the server's; always a checkpoint. A time limit
        is the caller's cancel scope.
        """
        await self._bells.wait_until(condition)

    async def wait_idle(self, *, connections: bool = False) -> None:
        """Wait until no request is open; like `wait_until`.

        A request that is still on its way to the server does not count.

        Args:
            connections: wait until every connection is closed, too.
        """
        await self.wait_until(lambda: self._is_idle(connections))

    def block_until(self, condition: Callable[[], bool], *, within: float = 5.0) -> None:
        """Do as `wait_until` in a thread without an event loop.

        Blocks the thread, hence only for a server that runs in another one.

        Args:
            condition: what to wait for.
            within: seconds.

        Raises:
            TimeoutError: the condition does not hold; says what is open.
        """
        if not self._bells.block_until(condition, within):
            raise TimeoutError(f"not so within {within:g} s: {self._describe()}")

    def block_until_idle(self, *, connections: bool = False, within: float = 5.0) -> None:
        """Do as `wait_idle` in a thread without an event loop; see `block_until`."""
        self.block_until(lambda: self._is_idle(connections), within=within)

    def notify(self) -> None:
        """Make everybody in `wait_until` look again, after a change the server cannot see."""
        self._bells.ring()

    def assert_idle(self, *, connections: bool = False) -> None:
        """Check that no request is open.

        Args:
            connections: check that no connection is open, either.

        Raises:
            AssertionError: something is; the message lists it.
        """
        if not self._is_idle(connections):
            raise AssertionError(f"the model server is not idle: {self._describe()}")

    def _is_idle(self, connections: bool) -> bool:
        return not self._log.open() and not (connections and self._open)

    def _describe(self) -> str:
        lines = [request.describe() for request in self.open_requests]
        count = f"{len(lines)} requests and {self.connections} connections are open"
        return "\n  ".join([count, *lines])

    # --- the life of a connection

    async def _accept(self, listener: socket.socket, tasks: anyio.abc.TaskGroup) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except BlockingIOError:
                await anyio.wait_readable(listener)
            except ConnectionError:
                pass  # it was gone before we came to it
            except OSError as exc:
                if exc.errno not in _OUT_OF_FILES:
                    raise
                await anyio.sleep(_OUT_OF_FILES_PAUSE)
            else:
                sock.setblocking(False)
                # Or a token would wait until the one before it is acknowledged.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection = HTTPConnection(sock, self._accepted)
                self._accepted += 1
                self._open[connection.number] = connection
                self._bells.ring()
                tasks.start_soon(self._serve, connection)

    async def _serve(self, connection: HTTPConnection) -> None:
        try:
            while request := await self._next_request(connection):
                if not await self._respond(connection, request):
                    break
        except HungUp:  # pragma: no cover - between asking for permission to send and getting it
            pass
        except BadRequest as exc:
            await self._reject(connection, exc)
        finally:
            self._close(connection)

    async def _next_request(self, connection: HTTPConnection) -> HTTPRequest | None:
        with anyio.move_on_after(self._keep_alive_timeout):
            return await connection.read_request()
        return None

    async def _reject(self, connection: HTTPConnection, reason: BadRequest) -> None:
        body = msgspec.json.encode(self._ollama.error(reason.status, reason.reason))
        with contextlib.suppress(HungUp, h11.LocalProtocolError):
            await connection.write(
                connection.frame_head(
                    reason.status,
                    [
                        ("content-type", "application/json"),
                        ("content-length", str(len(body))),
                        ("connection", "close"),
                    ],
                )
                + connection.frame_data(body)
            )

    async def _respond(self, connection: HTTPConnection, http: HTTPRequest) -> bool:
        """Answer one request; false if the connection cannot carry another."""
        started = anyio.current_time()
        dialect = self._dialect_of(http.path)
        wanted = dialect.understand(http.method, http.path, http.body)
        request = self._log.begin(
            connection.number, http.method, http.path, http.headers, _parsed(http.body)
        )
        request.wants_reply = dialect.wants_reply(http.method, http.path)
        if isinstance(wanted, Call):
            request.model, request.prompt = wanted.model, wanted.ask.prompt
            request.streamed = wanted.streamed
        self._bells.ring()
        performance = Performance(connection, request, self._log, self._pace, self._headers_at_once)
        usable = True
        try:
            step = self._script.take(request)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch, connection, request, tasks.cancel_scope)
                try:
                    outcome = await self._perform(performance, wanted, step, started, dialect)
                except HungUp:
                    outcome = Outcome.HUNG_UP
                except Broken:
                    outcome, usable = Outcome.FAILED, False
                self._log.end(request, outcome)
                tasks.cancel_scope.cancel()
        finally:
            self._log.end(request, Outcome.STOPPED)  # if it has not ended otherwise
        return usable and connection.next_cycle()

    async def _perform(
        self,
        performance: Performance,
        wanted: Call | Answer,
        step: Step | None,
        started: float,
        dialect: Dialect,
    ) -> Outcome:
        match step:
            case Refuse():
                return await performance.refuse(step, dialect.error(step.status, step.error))
            case Redirect():
                return await performance.redirect(step)
            case EndlessHeaders():
                return await performance.endless_headers(step)
            case _:
                pass
        if isinstance(wanted, Answer):
            return await performance.answer(wanted)
        if step is None:
            reply = self._default
        elif isinstance(step, Reply):
            reply = step
        else:
            reply = attrs.evolve(self._default, fault=step)
        return await performance.reply(wanted, reply, started)

    async def _watch(
        self, connection: HTTPConnection, request: ServedRequest, scope: anyio.CancelScope
    ) -> None:
        """Stop the reply when the client hangs up."""
        await connection.wait_hang_up()
        self._log.end(request, Outcome.HUNG_UP)
        scope.cancel()

    def _close(self, connection: HTTPConnection) -> None:
        del self._open[connection.number]
        connection.close()
        self._bells.ring()

    def _close_all(self) -> None:
        # A task that was cancelled before its first step has not closed its connection.
        for connection in list(self._open.values()):  # pragma: no branch
            self._close(connection)  # pragma: no cover - nobody can aim for that moment


def _parsed(body: bytes) -> Any:
    if not body:
        return None
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body


@asynccontextmanager
async def open_server(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    models: Iterable[str] = DEFAULT_MODELS,
    accept_any_model: bool = True,
    missing_models: Iterable[str] = (),
    time_to_first_token: float = 0.0,
    tokens_per_second: float = math.inf,
    headers_at_once: bool = False,
    keep_alive_timeout: float = math.inf,
    default: Reply | None = None,
    keep_requests: int | None = None,
) -> AsyncGenerator[ModelServer, None]:
    """Open a simulated model server that runs beside the block, on the same event loop.

    It has a task for each connection, in a task group of its own. When the block is left
    all connections are closed, whatever was being written, and the tasks have ended.

    Args:
        host: the address to listen on; a name is looked up.
        port: 0 for any that is free.
        models: the models that are listed; each name gets ``-simulated`` at its end.
        accept_any_model: reply under any other name, too.
        missing_models: names that get a 404 in any case.
        time_to_first_token: seconds.
        tokens_per_second: ``math.inf`` for as fast as possible.
        headers_at_once: send the headers of a stream at once, and not with its first
            token as Ollama does.
        keep_alive_timeout: close a connection that brings no request for so many seconds.
        default: what a request gets for which no script has a step.
        keep_requests: remember only the newest so many; ``None`` for all.

    Raises:
        OSError: the address is taken, or not one of this machine.
        ValueError: a time is negative, a rate not positive, or there is no such port.
    """
    if not 0 <= port <= MAX_PORT:
        # The system's own look-up may take it, modulo 65536.
        raise ValueError(f"port must be 0, for any that is free, or up to {MAX_PORT}, not {port}")
    catalogue = Catalogue(models, accept_any_model, missing_models)
    pace = Pace(time_to_first_token, tokens_per_second)
    with await _listen(host, port) as listener:
        server = ModelServer(
            _url(listener),
            catalogue,
            pace,
            headers_at_once,
            keep_alive_timeout,
            default or Reply(),
            keep_requests,
        )
        failure: BaseException | None = None
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(server._accept, listener, tasks)
                try:
                    yield server
                except anyio.get_cancelled_exc_class():
                    raise
                except BaseException as exc:
                    # Past the task group, which would put it into an ExceptionGroup.
                    failure = exc
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            # A bug of ours, or an error in a script's condition.
            raise _only_one(group) from None
        finally:
            server._close_all()
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # or the frame and its own traceback would keep each other alive


def _only_one(error: BaseException) -> BaseException:
    """Return the single error in a group of groups, or the group if there are several."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


async def _listen(host: str, port: int) -> socket.socket:
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, *_, address = found[0]
    listener = socket.create_server(address, family=family, backlog=_BACKLOG)
    listener.setblocking(False)
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
