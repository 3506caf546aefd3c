"""
The simulated model server as a program: ``python -m motet.testing.server``.

This module knows the command line. It prints where the server listens, and, when it is
interrupted, what was served.
"""

import argparse
import contextlib
import math
import signal
from collections.abc import Sequence

import anyio

from motet._runtime.stdout import give_up_stdout
from motet.testing.server._models import DEFAULT_MODELS
from motet.testing.server._records import Outcome
from motet.testing.server._server import MAX_PORT, ModelServer, open_server
from motet.testing.server._threads import LOOPS

_KEPT_REQUESTS = 1000  # a server that runs for days must not remember them all


def main(argv: Sequence[str] | None = None) -> None:
    """Run the server until Ctrl-C."""
    options = _parser().parse_args(argv)
    _raise_open_files_limit()
    backend, backend_options = LOOPS[options.loop]
    try:
        anyio.run(_serve, options, backend=backend, backend_options=backend_options)
    except OSError as exc:
        raise SystemExit(f"cannot listen on {options.host}, port {options.port}: {exc}") from exc


async def _serve(options: argparse.Namespace) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with open_server(
            host=options.host,
            port=options.port,
            models=options.model or DEFAULT_MODELS,
            accept_any_model=not options.only_these_models,
            time_to_first_token=options.ttft,
            tokens_per_second=options.tps,
            headers_at_once=options.headers_at_once,
            keep_requests=_KEPT_REQUESTS,
        ) as server:
            _say(
                f"The simulated model server listens on {server.url} (Ctrl-C ends it).\n"
                f"OLLAMA_HOST={server.url}\n"
                f"OPENAI_BASE_URL={server.url}/v1"
            )
            async for _ in signals:
                break
    _say(f"\n{_summary(server)}")


def _say(text: str) -> None:
    """Print, unless nobody reads any more: the server is there for those who ask it."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        give_up_stdout()


def _summary(server: ModelServer) -> str:
    totals = {outcome: server.totals.get(outcome, 0) for outcome in Outcome}
    count = sum(totals.values())
    parts = [f"{number} {outcome.value}" for outcome, number in totals.items() if number]
    how = f": {', '.join(parts)}" if parts else ""
    return f"{count} {'request' if count == 1 else 'requests'} served{how}."


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m motet.testing.server",
        description="A simulated model server that speaks the protocols of Ollama and OpenAI.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=_port, default=0, help="default: any that is free")
    parser.add_argument(
        "--ttft",
        type=_seconds,
        default=0.2,
        metavar="SECONDS",
        help="time to the first token; default: %(default)s",
    )
    parser.add_argument(
        "--tps",
        type=_rate,
        default=50.0,
        metavar="RATE",
        help="tokens per second, or inf; default: %(default)s",
    )
    parser.add_argument(
        "--model", action="append", metavar="NAME", help="list this model; may be repeated"
    )
    parser.add_argument(
        "--only-these-models", action="store_true", help="answer 404 to any other name"
    )
    parser.add_argument(
        "--headers-at-once",
        action="store_true",
        help="send the headers before the first token is ready",
    )
    parser.add_argument("--loop", choices=LOOPS, default="asyncio", help="default: %(default)s")
    return parser


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) <= MAX_PORT):
        raise argparse.ArgumentTypeError(
            f"it must be a number up to {MAX_PORT}, or 0 for any port that is free"
        )
    return int(text)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError("it must be 0 or more, and finite")
    return value


def _rate(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError("it must be more than 0")
    return value


def _raise_open_files_limit() -> None:
    """Allow as many connections as the system does."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # Windows, or a stern system
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
