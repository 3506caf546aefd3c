"""
What happens when a server fails: every fault, by both protocols, read in both ways.

    python tests/faults/matrix.py

prints the table of docs/faults.md with the times it took here; ``--write`` puts it into
the page. The tests run the same cells on both loops and hold the page against them, save
for the times, which belong to the machine.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import attrs

from motet import BackendError, CBlock, ModelOption, SimpleContext
from motet._http.client import shared_transport
from motet._runtime.host import current_host
from motet.backends import Backend, OllamaModelBackend, OpenAIBackend
from motet.testing import (
    Drop,
    EndlessHeaders,
    EndlessLine,
    ErrorLine,
    Garbage,
    ModelServer,
    Redirect,
    Refuse,
    Reply,
    Reset,
    Stall,
    Truncate,
    serve_in_thread,
)
from motet.testing.leaks import no_leaks

PAGE: Final = Path(__file__).parents[2] / "docs" / "faults.md"

# For how long the server may be silent here, in seconds. Short, because every cell that
# tries it waits for it.
LIMIT: Final = 0.2

# Far beyond the limit: what takes as long hangs.
HANGS: Final = 30.0

# The limit where the fault itself is to end the reply, which a busy machine must not forestall.
PATIENCE: Final = HANGS / 2

TOKENS: Final = ("né", " ü", "!")
TEXT: Final = "".join(TOKENS)
TWO: Final = "".join(TOKENS[:2])

# What stands for the URL of another server.
ELSEWHERE: Final = "http://elsewhere"

PROTOCOLS: Final = ("Ollama", "OpenAI")
FORMS: Final = ("plain", "streamed")


@attrs.frozen
class Fault:
    """A fault and what becomes of it.

    Attributes:
        name: as the table calls it.
        step: what the server does.
        error: the name of the error, by protocol if they differ; empty if it is survived.
        partial: the text that the reader has had when it fails, and that the error has.
        waits: whether only the limit for silence ends it.
        knows: further facts of the error.
    """

    name: str
    step: Any
    error: str | tuple[str, str] = ""
    partial: str = ""
    waits: bool = False
    knows: tuple[tuple[str, object], ...] = ()

    def outcome(self, protocol: str) -> str:
        error = self.error
        return error if isinstance(error, str) else error[PROTOCOLS.index(protocol)]


def _reply(**settings: Any) -> Reply:
    return Reply(TOKENS, **settings)


def _breaking(fault: Any) -> Reply:
    # At a pace, because a reset takes with it what the client has not read yet.
    return _reply(fault=fault, tokens_per_second=100)


FAULTS: Final = (
    Fault("connection closed before the headers", _breaking(Drop(0)), "ConnectionLost"),
    Fault("connection closed in the reply", _breaking(Drop(2)), "ConnectionLost", TWO),
    Fault("connection reset in the reply", _breaking(Reset(2)), "ConnectionLost", TWO),
    Fault(
        "silence before the headers",
        _reply(time_to_first_token=2 * HANGS),
        "BackendTimeout",
        waits=True,
    ),
    Fault(
        "silence after the headers",
        _reply(time_to_first_token=2 * HANGS, headers_at_once=True),
        "BackendTimeout",
        waits=True,
    ),
    Fault("silence in the reply", _breaking(Stall(2)), "BackendTimeout", TWO, waits=True),
    Fault(
        "silence in the reply, with signs of life",
        _breaking(Stall(2, keep_alive=LIMIT / 4)),
        "BackendTimeout",
        TWO,
        waits=True,
    ),
    Fault(
        "bytes that are not JSON",
        _breaking(Garbage(2)),
        "ProtocolError",
        TWO,
    ),
    Fault(
        "bytes that are not of the protocol at all",
        _breaking(Garbage(2, data=b"\xff\xfe<html>not what you asked for\n")),
        ("ProtocolError", "TruncatedReply"),
        TWO,
    ),
    Fault("error object in the reply", _breaking(ErrorLine(2)), "ReplyError", TWO),
    Fault("body ends cleanly without its marker", _breaking(Truncate(2)), "TruncatedReply", TWO),
    Fault("empty body", _breaking(Truncate(0)), "TruncatedReply"),
    Fault("endless line", _breaking(EndlessLine(2)), "ReplyTooLarge", TWO),
    Fault("endless headers", EndlessHeaders(), "ReplyTooLarge"),
    *(
        Fault(
            f"status {status}" + (f", Retry-After: {said}" if said else ""),
            Refuse(status, "busy", {"retry-after": said} if said else {}),
            "StatusError",
            knows=(("status", status), ("retry_after", seconds)),
        )
        for status in (429, 503)
        for said, seconds in (("", None), ("7", 7.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0))
    ),
    Fault("status 500, plain text", Refuse(500, body=b"oh no"), "StatusError"),
    Fault(
        "redirect to another host",
        Redirect(f"{ELSEWHERE}/api/chat"),
        "StatusError",
        knows=(("status", 307),),
    ),
    Fault("lines and characters cut anywhere", _reply(slice_bytes=1)),
    Fault("CRLF", _reply(newline="\r\n")),
    Fault("blank lines", _reply(blank_lines=True)),
    Fault("wrong content type", _reply(content_type="text/html")),
)


@attrs.frozen
class Seen:
    """What became of one cell.

    Attributes:
        outcome: the name of the error, or nothing.
        partial: the text that the error has, or else the reply.
        read: the text that a reader of the stream has had; None without one.
        seconds: how long it took.
        error: the error itself.
    """

    outcome: str
    partial: str
    read: str | None
    seconds: float
    error: BackendError | None = None


@attrs.frozen
class Place:
    """Where cells are tried: a server that fails, and one that must hear nothing."""

    server: ModelServer
    elsewhere: ModelServer

    def backend(self, protocol: str, **options: Any) -> Backend:
        if protocol == "Ollama":
            return OllamaModelBackend("a-model", base_url=self.server.url, **options)
        return OpenAIBackend("a-model", base_url=f"{self.server.url}/v1", **options)

    async def run(self, fault: Fault, protocol: str, form: str, **options: Any) -> Seen:
        """Try one cell, and make sure that nothing is left of it.

        Raises:
            AssertionError: something is.
        """
        step = fault.step
        if isinstance(step, Redirect):
            step = attrs.evolve(step, location=step.location.replace(ELSEWHERE, self.elsewhere.url))
        self.server.script([step])
        backend = self.backend(protocol, **options)
        shared_transport(current_host())  # made once for each loop, so it is no leak
        with no_leaks():
            with anyio.fail_after(HANGS):
                seen = await _ask(backend, form, LIMIT if fault.waits else PATIENCE)
                await self.server.wait_idle()
            assert shared_transport(current_host()).leased == 0
        self.server.assert_idle()
        assert not self.elsewhere.requests
        return seen


async def _ask(backend: Backend, form: str, limit: float) -> Seen:
    options = {ModelOption.STREAM: form == "streamed", ModelOption.STREAM_TIMEOUT: limit}
    began = time.perf_counter()
    thunk = backend.begin(CBlock("Say something."), SimpleContext(), model_options=options)
    read = "" if form == "streamed" else None
    try:
        if read is not None:
            async for delta in thunk:
                read += delta
        text = await thunk
    except BackendError as exc:
        seconds = time.perf_counter() - began
        return Seen(type(exc).__name__, exc.partial, read, seconds, exc)
    return Seen("", text, read, time.perf_counter() - began)


@contextmanager
def open_place() -> Iterator[Place]:
    """Serve in threads while the block runs."""
    with serve_in_thread(loop="trio") as server, serve_in_thread() as elsewhere:
        yield Place(server, elsewhere)


# --- the page

HEADER: Final = (
    "| fault | protocol | read | outcome | text that had arrived | ended by | asyncio | Trio |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- |"
)
CELLS: Final = tuple(itertools.product(FAULTS, PROTOCOLS, FORMS))


def row(fault: Fault, protocol: str, form: str) -> list[str]:
    """Return what the page says of one cell, without its times."""
    outcome = fault.outcome(protocol)
    facts = ", ".join(f"{name}={value!r}" for name, value in fault.knows)
    partial = fault.partial if outcome else TEXT
    return [
        fault.name,
        protocol,
        form,
        (f"`{outcome}`" + (f" ({facts})" if facts else "")) if outcome else "survived",
        f"`{partial}`" if partial else "none",
        f"the limit, {LIMIT:g} s" if fault.waits else "the fault" if outcome else "its end",
    ]


def rows_of(page: str) -> list[list[str]]:
    """Return the rows of the page's table."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.partition(HEADER)[2].splitlines()
        if line.startswith("|")
    ]


def measured(loop: str) -> list[float]:
    """Return how long each cell takes on a loop, in seconds."""

    async def main() -> list[float]:
        with open_place() as place:
            return [(await place.run(*cell)).seconds for cell in CELLS]

    return anyio.run(main, backend=loop)


def table(measure: Callable[[str], list[float]] = measured) -> str:
    """Return the table with its times."""
    lines = [HEADER]
    for cell, *seconds in zip(CELLS, measure("asyncio"), measure("trio"), strict=True):
        lines.append(
            "| " + " | ".join([*row(*cell), *(f"{each:.3f} s" for each in seconds)]) + " |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    made = table()
    if "--write" in sys.argv:
        before, _, after = PAGE.read_text(encoding="utf-8").partition(HEADER)
        rest = after.partition("\n\n")[2]
        PAGE.write_text(f"{before}{made}\n" + (f"\n{rest}" if rest else ""), encoding="utf-8")
    else:
        print(made)
