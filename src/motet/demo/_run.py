"""
One run of the demo, from options to exit code.

Brings the parts together: a model server, an event loop, a session, the pipeline and
an outlet for the results, and stops them when nobody wants the results any more.
"""

import enum
import signal
import sys
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import anyio
import attrs

import motet
from motet.model_ids import IBM_GRANITE_4_1_3B, OPENAI_GPT_5_1

from .._values.secrets import shown_url
from ._interrupts import CtrlC
from ._items import FeedbackItem
from ._outlets import JsonOutlet, Outlet, TableOutlet
from ._rows import Board, Status
from .pipeline import process

EXIT_OK: Final = 0
EXIT_ROWS_FAILED: Final = 1
EXIT_INTERRUPTED: Final = 128 + signal.SIGINT


class UnusableServer(ValueError):
    """There can be no model server at the address that was given."""


class LoopName(enum.StrEnum):
    """The event loops to choose from."""

    ASYNCIO = "asyncio"
    TRIO = "trio"
    UVLOOP = "uvloop"


class BackendName(enum.StrEnum):
    """Who replies."""

    SIMULATED = "simulated"
    OLLAMA = "ollama"
    OPENAI = "openai"


@attrs.frozen(kw_only=True)
class DemoOptions:
    """What can be chosen about a run.

    Attributes:
        model: None for the usual one of the backend.
        base_url: where the server is; None for the usual place, or the simulated server.
        concurrency: how many items at once; None for all.
        ttft: seconds to the first token of a simulated reply.
        tps: tokens a second of a simulated reply.
        as_json: JSON lines instead of the table.
    """

    loop: LoopName = LoopName.ASYNCIO
    backend: BackendName = BackendName.SIMULATED
    model: str | None = None
    base_url: str | None = None
    concurrency: int | None = None
    ttft: float = 0.2
    tps: float = 60.0
    as_json: bool = False


def run_demo(items: Sequence[FeedbackItem], options: DemoOptions) -> int:
    """Run the pipeline on *items*, print the results and return the exit code.

    Ctrl-C ends the run early: the requests are closed, and what is finished is printed
    with the rest marked as cancelled.

    Raises:
        OSError: the results cannot be written; `BrokenPipeError` if nobody reads them.
        UnusableServer: *base_url* or ``OLLAMA_HOST`` is no address.
    """
    outlet: Outlet = (JsonOutlet if options.as_json else TableOutlet)(sys.stdout, sys.stderr)
    board = Board.of(items)
    complete = False
    with CtrlC() as ctrl_c, _model(options) as (backend, remark):
        outlet.announce(remark)
        try:
            complete = anyio.run(
                _main,
                backend,
                board,
                outlet,
                options.concurrency,
                ctrl_c,
                **_loop_arguments(options.loop),
            )
        except* KeyboardInterrupt:
            pass  # in the moment when the event loop no longer listens for it
        ctrl_c.restore()  # whoever presses it while this is printed wants no more of it
        board.cancel_rest()
        outlet.finish(board)
    if not complete:
        return EXIT_INTERRUPTED
    return EXIT_ROWS_FAILED if board.count()[Status.FAILED] else EXIT_OK


async def _main(
    backend: motet.Backend,
    board: Board,
    outlet: Outlet,
    concurrency: int | None,
    ctrl_c: CtrlC,
) -> bool:
    """Drive the run; return whether it came to its end, and not to Ctrl-C."""
    complete = True
    failure: OSError | None = None
    scope = anyio.CancelScope()

    def interrupt() -> None:
        nonlocal complete
        complete = False
        scope.cancel()

    async with anyio.create_task_group() as listening:
        listening.start_soon(ctrl_c.listen, interrupt)
        # The listener stays until the session has closed its requests.
        try:
            with scope:
                async with motet.open_session(backend) as m:
                    await drive(m, board, outlet, concurrency=concurrency)
        except OSError as exc:
            failure = exc
        listening.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return complete


async def drive(
    m: motet.MelleaSession, board: Board, outlet: Outlet, *, concurrency: int | None = None
) -> None:
    """Run the pipeline and show how it goes.

    Raises:
        OSError: the results cannot be written any more; `BrokenPipeError` if nobody
            reads them.
    """
    failure: OSError | None = None

    async def show(shows: Callable[[Board], Awaitable[None]]) -> None:
        nonlocal failure
        try:
            await shows(board)
        except OSError as exc:
            # Nobody would see the replies that are still to come.
            failure = exc
            everything.cancel_scope.cancel()

    async with anyio.create_task_group() as everything:
        everything.start_soon(show, outlet.draw)
        everything.start_soon(show, outlet.write)
        began = anyio.current_time()
        try:
            await process(m, board, concurrency=concurrency)
        finally:
            board.wall_seconds = anyio.current_time() - began
        everything.cancel_scope.cancel()
    if failure is not None:
        raise failure


def _loop_arguments(loop: LoopName) -> dict[str, Any]:
    match loop:
        case LoopName.TRIO:
            return {"backend": "trio"}
        case LoopName.ASYNCIO | LoopName.UVLOOP:
            return {
                "backend": "asyncio",
                "backend_options": {"use_uvloop": loop is LoopName.UVLOOP},
            }


@contextmanager
def _model(options: DemoOptions) -> Generator[tuple[motet.Backend, str]]:
    """Give a backend to ask, and a remark about who will reply."""
    model = options.model or IBM_GRANITE_4_1_3B
    match options.backend:
        case BackendName.OLLAMA:
            try:
                backend = motet.OllamaModelBackend(model, base_url=options.base_url)
            except ValueError as exc:
                raise UnusableServer(str(exc)) from exc
            yield backend, f"Asking {backend.model_id} at {shown_url(backend.base_url)}."
        case BackendName.OPENAI:
            try:
                other = motet.OpenAIBackend(
                    options.model or OPENAI_GPT_5_1, base_url=options.base_url
                )
            except ValueError as exc:
                raise UnusableServer(str(exc)) from exc
            yield other, f"Asking {other.model_id} at {shown_url(other.base_url)}."
        case BackendName.SIMULATED:
            from ..testing import serve_in_thread

            # In a thread of its own, so that what is measured here is not the work there.
            with serve_in_thread(
                time_to_first_token=options.ttft, tokens_per_second=options.tps
            ) as server:
                backend = motet.OllamaModelBackend(
                    model, base_url=server.url, max_in_flight=_calls_with_both_ends_here()
                )
                remark = (
                    f"Replies are simulated ({server.url}, "
                    f"{options.tps:g} tokens/s after {options.ttft:g} s)."
                )
                yield backend, remark


def _calls_with_both_ends_here() -> int | None:
    """Return how many calls the process has files for, when it is the server, too."""
    try:
        import resource
    except ImportError:  # pragma: no cover - Windows has no such limit
        return None
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:  # pragma: no cover - depends on the machine
        return None
    return max(8, (files - 128) // 2)
