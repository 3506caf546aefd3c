"""
The server in a thread of its own.

For programs without an event loop, and for tests of a client whose event loop shall not
be shared: what the server does there delays nothing here, and a blocked client cannot
stop the server from noticing it.
"""

import threading
from collections.abc import Generator, Iterable
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Final, Literal, TypedDict, Unpack

import anyio
import attrs

from motet.testing.server._bells import Bells
from motet.testing.server._scripts import Reply
from motet.testing.server._server import ModelServer, open_server

LOOPS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "asyncio": ("asyncio", {}),
    "uvloop": ("asyncio", {"use_uvloop": True}),
    "trio": ("trio", {}),
}


class ServerSettings(TypedDict, total=False):
    """The keywords of `open_server`."""

    host: str
    port: int
    models: Iterable[str]
    accept_any_model: bool
    missing_models: Iterable[str]
    time_to_first_token: float
    tokens_per_second: float
    headers_at_once: bool
    keep_alive_timeout: float
    default: Reply | None
    keep_requests: int | None


@contextmanager
def serve_in_thread(
    *, loop: Literal["asyncio", "uvloop", "trio"] = "asyncio", **settings: Unpack[ServerSettings]
) -> Generator[ModelServer, None, None]:
    """Run a simulated model server in a thread of its own while the block runs.

    Leaving the block closes all connections and waits for the thread's end. In the block,
    `ModelServer.wait_until` and `wait_idle` serve code on an event loop, `block_until`
    and `block_until_idle` code without.

    Args:
        loop: the event loop that the server uses; ``"uvloop"`` must be installed.
        settings: as for `open_server`, and the same errors.
    """
    # Not anyio's blocking portal: Trio refuses its calls in a thread that runs Trio, which
    # is where a test of a client lives.
    host = _Host(settings)
    backend, options = LOOPS[loop]
    thread = threading.Thread(
        target=host.run, args=(backend, options), name="simulated-model-server", daemon=True
    )
    thread.start()
    try:
        server = host.ready.result()
        try:
            yield server
        finally:
            host.stop()
    finally:
        thread.join()
    if host.failure is not None:
        raise host.failure


@attrs.define
class _Host:
    """What the thread runs, and what it and the caller tell each other."""

    settings: ServerSettings
    ready: "Future[ModelServer]" = attrs.field(factory=Future, init=False)
    failure: BaseException | None = attrs.field(default=None, init=False)
    # Not the server's own, which ring for each token.
    _bells: Bells = attrs.field(factory=Bells, init=False)
    _stopping: bool = attrs.field(default=False, init=False)

    def run(self, backend: str, options: dict[str, Any]) -> None:
        try:
            anyio.run(self._serve, backend=backend, backend_options=options)
        except BaseException as exc:
            if self.ready.done():
                self.failure = exc
            else:
                self.ready.set_exception(exc)

    def stop(self) -> None:
        self._stopping = True
        self._bells.ring()

    async def _serve(self) -> None:
        async with open_server(**self.settings) as server:
            self.ready.set_result(server)
            await self._bells.wait_until(lambda: self._stopping)
