"""
P4: what `import motet` costs, and what it installs.

CPU time of a process that imports and ends, less that of one that imports nothing;
which heavy modules it loaded; how many packages and bytes it needs on the disk.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks._bench import Bench
from benchmarks._report import Report, Table, Verdict

ID: Final = "P4"
TITLE: Final = "import time, installed packages and size"

LIMIT: Final = 0.12  # seconds of CPU
MODULES: Final = ("motet", "httpx2", "aiohttp", "ollama", "openai")
LATE: Final = ("trio", "httpx2", "pydantic", "jinja2")  # to be loaded when first used
NOTHING: Final = "pass"

_PROBE: Final = """
import sys, threading
import {module}
loaded = [name for name in {late!r} if name in sys.modules]
print(len(sys.modules), threading.active_count(), *loaded)
"""
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")


def measure(bench: Bench) -> Report:
    """Import each library again and again in new processes, in turns."""
    rounds = bench.rounds(full=15, quick=5)
    modules = [module for module in MODULES if importlib.util.find_spec(module) is not None]
    programs = {NOTHING: NOTHING} | {module: f"import {module}" for module in modules}
    seconds: dict[str, list[float]] = {module: [] for module in programs}
    with TemporaryDirectory() as compiled:
        # A cache of our own, filled by a first round that is not counted: an environment
        # that keeps no bytecode would measure the compiler.
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for program in programs.values():
            _cpu_of(program, environment)
        for _ in range(rounds):
            for module, program in programs.items():
                seconds[module].append(_cpu_of(program, environment))
    nothing = min(seconds.pop(NOTHING))
    table = Table(
        f"{ID}: {TITLE} (CPU beyond an empty program's {nothing:.3f} s, {rounds} rounds)",
        ("import", "loaded early", "s CPU, least", "median", "modules", "packages", "MB"),
    )
    report = Report(ID, tables=[table])
    for module in modules:
        taken = sorted(cpu - nothing for cpu in seconds[module])
        count, threads, *early = _probe(module)
        packages = _requirements(module)
        table.rows.append(
            (
                module,
                " ".join(early) or "-",
                f"{taken[0]:.3f}",
                f"{taken[len(taken) // 2]:.3f}",
                count,
                str(len(packages)),
                f"{sum(map(_installed_bytes, packages)) / 1e6:.1f}",
            )
        )
        if module == "motet":
            report.verdicts += [
                Verdict(
                    ID,
                    "import motet, CPU",
                    "-",
                    f"{taken[0]:.3f} s",
                    f"<= {LIMIT} s",
                    taken[0] <= LIMIT,
                ),
                Verdict(
                    ID,
                    "loaded early; threads",
                    "-",
                    f"{' '.join(early) or 'nothing'}; {threads}",
                    "nothing; 1",
                    not early and threads == "1",
                ),
            ]
    return report


def _cpu_of(program: str, environment: Mapping[str, str]) -> float:
    process = subprocess.Popen([sys.executable, "-c", program], env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)  # it has been waited for
    if process.returncode:
        raise RuntimeError(f"{program!r} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def _probe(module: str) -> list[str]:
    late = [name for name in LATE if name != module]
    program = _PROBE.format(module=module, late=late)
    return subprocess.check_output([sys.executable, "-c", program], text=True).split()


def _requirements(name: str) -> set[str]:
    """The installed distributions that *name* needs without extras, and itself."""
    found: set[str] = set()
    wanted = [name]
    while wanted:
        name = wanted.pop().lower().replace("_", "-")
        if name in found:
            continue
        try:
            requires = metadata.requires(name)
        except metadata.PackageNotFoundError:
            continue  # for another system or Python version
        found.add(name)
        for requirement in requires or ():
            needed = _NAME.match(requirement)
            if needed and "extra ==" not in requirement:
                wanted.append(needed[0])
    return found


def _installed_bytes(distribution: str) -> int:
    return sum(file.size or 0 for file in metadata.files(distribution) or ())
