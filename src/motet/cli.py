"""
The command line: ``motet demo`` and ``python -m motet demo``.

Knows arguments, messages about them, and exit codes. Every import that costs time is
made only by the command that needs it, so ``--help`` and ``--version`` are quick.
"""

import argparse
import io
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from . import __version__
from ._runtime.stdout import give_up_stdout

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
EXIT_NOBODY_READS: Final = 141  # as other programs that die of SIGPIPE

_DESCRIPTION: Final = """\
Generative programs on structured concurrency.

commands:
  demo    analyse customer feedback, every item at the same time
"""

_DEMO_DESCRIPTION: Final = """\
Summarise each piece of customer feedback and extract its issues, both at the
same time, then classify the sentiment from the summary; all items at once.

Without options it works on feedback that comes with the package, and a simulated
model server replies, over real HTTP. No model needs to be installed.
"""

_DEMO_EPILOG: Final = """\
examples:
  motet demo --loop trio
  motet demo --input reviews.csv --column "What did you think?" --limit 20
  motet demo --json > results.jsonl
  motet demo --backend ollama --model granite4.1:3b

exit codes: 0 all went well, 1 a row has an error, 2 wrong usage or no input,
130 interrupted (what was finished is printed), 141 nobody read the output
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: without the name of the program; those of the process by default.

    Raises:
        SystemExit: after ``--help``, ``--version`` or an error in the arguments.
    """
    _make_streams_usable()
    try:
        try:
            return _dispatch(arguments)
        finally:
            # Here and not at the interpreter's end, which could only complain.
            sys.stdout.flush()
    except BrokenPipeError:
        give_up_stdout()
        return EXIT_NOBODY_READS
    except OSError as exc:
        give_up_stdout()
        print(f"motet: {exc.strerror or exc}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _make_streams_usable() -> None:
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # the program was started with it closed
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - open to the end
        elif isinstance(stream, io.TextIOWrapper):
            # A table with question marks in it is better than none.
            stream.reconfigure(errors="replace")


def _dispatch(arguments: Sequence[str] | None) -> int:
    parser = _parser()
    chosen, left = parser.parse_known_args(arguments)
    if left:
        # By the command, whose usage it is that was not heeded.
        getattr(chosen, "complain", parser.error)(f"unrecognized arguments: {' '.join(left)}")
    if chosen.command is None:
        parser.print_help(sys.stderr)
        return EXIT_USAGE
    return _demo(chosen)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="motet",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="`motet COMMAND --help` tells more about a command.",
        usage="motet [--version] [--help] COMMAND ...",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", help=argparse.SUPPRESS)
    _add_demo(commands)
    return parser


def _version() -> str:
    python = ".".join(str(part) for part in sys.version_info[:3])
    return f"motet {__version__} on Python {python}"


def _add_demo(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "demo",
        prog="motet demo",
        description=_DEMO_DESCRIPTION,
        epilog=_DEMO_EPILOG,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(
            prog, max_help_position=26, width=88
        ),
        usage="motet demo [options]",
        allow_abbrev=False,
    )
    parser.set_defaults(complain=parser.error)

    data = parser.add_argument_group("the feedback")
    data.add_argument(
        "--input",
        metavar="FILE",
        help="read it from FILE: JSON Lines (.jsonl), CSV (.csv) or one text a line; - is "
        "the standard input",
    )
    data.add_argument(
        "--format", choices=("jsonl", "csv", "lines"), help="read FILE so, whatever its suffix"
    )
    data.add_argument(
        "--column",
        metavar="NAME",
        help="the column or key that holds the text, if it is not called text, feedback, "
        "comment or the like",
    )
    data.add_argument("--limit", metavar="N", type=_count, help="only the first N items")

    model = parser.add_argument_group("the model")
    model.add_argument(
        "--backend",
        choices=("simulated", "ollama", "openai"),
        default="simulated",
        help="who replies; default: simulated",
    )
    model.add_argument(
        "--model",
        metavar="NAME",
        help="which model is asked; default: granite4.1:3b, of openai gpt-5.1",
    )
    model.add_argument(
        "--base-url",
        metavar="URL",
        help="where the server is; default: OLLAMA_HOST or this machine, of openai OPENAI_BASE_URL",
    )
    model.add_argument(
        "--ttft",
        metavar="SECONDS",
        type=_seconds,
        help="time to the first token of a simulated reply; default: 0.2",
    )
    model.add_argument(
        "--tps",
        metavar="N",
        type=_rate,
        help="tokens a second of each simulated reply; default: 60",
    )

    running = parser.add_argument_group("running")
    running.add_argument(
        "--loop",
        choices=("asyncio", "trio", "uvloop"),
        default="asyncio",
        help="the event loop; default: asyncio. The results are the same",
    )
    running.add_argument(
        "--concurrency", metavar="N", type=_count, help="items in flight at once; default: all"
    )
    running.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object a line for each item, and nothing else",
    )


def _demo(chosen: argparse.Namespace) -> int:
    """Run ``motet demo``.

    Raises:
        SystemExit: the options do not go together, or the input is unusable.
    """
    from .demo._items import built_in_items
    from .demo._reading import FileFormat, UnusableInput, read_feedback

    _check(chosen)
    try:
        items = (
            built_in_items()
            if chosen.input is None
            else read_feedback(
                chosen.input,
                file_format=FileFormat(chosen.format) if chosen.format else None,
                column=chosen.column,
            )
        )
    except UnusableInput as exc:
        _fail(str(exc))
    from .demo._run import BackendName, DemoOptions, LoopName, UnusableServer, run_demo

    pace = {name: value for name in ("ttft", "tps") if (value := getattr(chosen, name)) is not None}
    options = DemoOptions(
        loop=LoopName(chosen.loop),
        backend=BackendName(chosen.backend),
        model=chosen.model,
        base_url=chosen.base_url,
        concurrency=chosen.concurrency,
        as_json=chosen.json,
        **pace,
    )
    try:
        return run_demo(items[: chosen.limit], options)
    except UnusableServer as exc:
        _fail(str(exc))


def _check(chosen: argparse.Namespace) -> None:
    """Refuse options that say nothing together, before anything is read or started."""
    if chosen.input is None:
        for name in ("format", "column"):
            if getattr(chosen, name) is not None:
                chosen.complain(f"--{name} says how to read --input FILE, and there is none")
    if chosen.backend == "simulated" and chosen.base_url is not None:
        chosen.complain("--base-url says where a server is; add --backend ollama, or openai")
    if chosen.backend != "simulated":
        for name in ("ttft", "tps"):
            if getattr(chosen, name) is not None:
                chosen.complain(f"--{name} is the pace of simulated replies only")
    if chosen.loop == "uvloop":
        try:
            import uvloop  # noqa: F401 - only whether it is there
        except ImportError:
            chosen.complain("--loop uvloop needs uvloop: pip install 'motet[uvloop]'")


def _fail(message: str) -> NoReturn:
    print(f"motet demo: {message}", file=sys.stderr)
    raise SystemExit(EXIT_USAGE)


def _count(text: str) -> int:
    if text.isascii() and text.isdigit() and (number := int(text)) > 0:
        return number
    raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")


def _seconds(text: str) -> float:
    number = _number(text)
    if number is None or number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0")
    return number


def _rate(text: str) -> float:
    number = _number(text)
    if number is None or number <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return number


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
