"""The command line: which measurements to run, and what to do with what they give."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from contextlib import closing
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Final

from benchmarks import (
    p1_burst,
    p1b_segments,
    p2_fanout,
    p3_hangup,
    p4_import,
    p5_memory,
    p6_chunks,
    p8_lateness,
    p9_portal,
)
from benchmarks._bench import Bench
from benchmarks._contenders import ALL_LOOPS, CONTENDERS
from benchmarks._processes import Control, running_server
from benchmarks._report import Report, verdict_table

MEASURES: Final[dict[str, ModuleType]] = {
    module.ID: module
    for module in (
        p1_burst,
        p1b_segments,
        p2_fanout,
        p3_hangup,
        p4_import,
        p5_memory,
        p6_chunks,
        p8_lateness,
        p9_portal,
    )
}


def main() -> int:
    """Run measurements and print their tables; the exit code is 0 unless one broke."""
    arguments = _parse_arguments()
    reports: list[Report] = []
    print(_describe_machine())
    with running_server() as url, closing(Control(url)) as control:
        for name in arguments.measures or MEASURES:
            bench = Bench(
                url=url,
                control=control,
                contenders=[
                    contender
                    for contender in CONTENDERS.values()
                    if contender.installed
                    and (arguments.peers or contender.role != "peer")
                    and (not arguments.only or contender.name in arguments.only)
                ],
                loops=arguments.loops,
                quick=arguments.quick,
                only_rounds=arguments.rounds,
            )
            with bench.workers():
                report: Report = MEASURES[name].measure(bench)
            reports.append(report)
            for table in report.tables:
                print(table.render(), flush=True)
    print(verdict_table([v for report in reports for v in report.verdicts]).render())
    if arguments.json is not None:
        record = {
            "machine": _describe_machine(),
            "arguments": sys.argv[1:],
            "reports": [report.as_json() for report in reports],
        }
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")
    return int(any(samples.failed for r in reports for samples in r.samples.values()))


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure motet, a bare httpx2 loop and, where installed, its peers.",
        epilog="\n".join(f"{name:4} {module.TITLE}" for name, module in MEASURES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help="default: all")
    parser.add_argument("--quick", action="store_true", help="smaller and fewer; for a look")
    parser.add_argument(
        "--loops",
        type=_parse_loops,
        default=("asyncio", "trio"),
        help=f"comma-separated, of {', '.join(ALL_LOOPS)} (default: asyncio,trio)",
    )
    parser.add_argument("--rounds", type=int, help="instead of each measurement's own number")
    parser.add_argument("--no-peers", dest="peers", action="store_false")
    parser.add_argument("--only", action="append", metavar="CLIENT", help="may be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples to FILE")
    arguments = parser.parse_args()
    for name in arguments.measures:
        if name not in MEASURES:
            parser.error(f"no measurement {name!r}; there are {', '.join(MEASURES)}")
    for name in arguments.only or ():
        if name not in CONTENDERS:
            parser.error(f"no client {name!r}; there are {', '.join(CONTENDERS)}")
    return arguments


def _parse_loops(text: str) -> Sequence[str]:
    loops = tuple(text.split(","))
    for loop in loops:
        if loop not in ALL_LOOPS:
            raise argparse.ArgumentTypeError(f"no loop {loop!r}")
    return loops


def _describe_machine() -> str:
    versions = ", ".join(
        f"{name} {version}" for name in _LIBRARIES if (version := _version(name)) is not None
    )
    return (
        f"{platform.python_implementation()} {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores\n{versions}\n"
    )


_LIBRARIES: Final = (
    "motet",
    "anyio",
    "trio",
    "uvloop",
    "httpx2",
    "httpx",
    "aiohttp",
    "ollama",
    "openai",
)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main())
