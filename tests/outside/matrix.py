"""
The pytest plugin in other people's environments.

    python tests/outside/matrix.py

builds the wheel, makes environments with pytest 8 and 9, with and without other plugins
for async tests, and runs three small suites there, outside of this checkout: what should
pass passes, what should fail fails for its own reason, and nothing runs twice. Then it
measures what the plugin costs a project that does not use it. Needs the package index.
"""

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import venv
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Final

import attrs

ROOT: Final = Path(__file__).parents[2]
PYTESTS: Final = ("8", "9")
PLUGINS: Final = ("pytest-trio", "pytest-asyncio", "pytest-timeout", "pytest-xdist")

RIGHT: Final = {
    "test_scripted",
    "test_virtual",
    "test_server",
    "test_cases",
    "test_method",
    "test_each_ran_once",
}
# What the message of each failure has to contain.
WRONG: Final = {
    "test_assertion": "it is wrong",
    "test_forgotten_request": "left behind: task 'motet generation'",
    "test_unused_reply": "never asked for",
    "test_network": "192.0.2.1",
    "test_hangs": "What was going on",
}


@attrs.frozen
class Case:
    """How pytest is called in an environment.

    Attributes:
        name: for the table.
        bare: whether the environment has no plugin but ours and anyio's.
        options: what is added to the command line.
        others: which of the other plugins' tests pass; the rest fails, as nobody runs it.
            None if the options have one plugin run the tests of all.
    """

    name: str
    bare: bool
    options: tuple[str, ...]
    others: frozenset[str] | None


ANYIO, TRIO, ASYNCIO = "test_of_anyio", "test_of_trio", "test_of_asyncio"

CASES: Final = (
    Case("alone", True, ("-p", "no:anyio"), frozenset()),
    Case("anyio", True, (), frozenset({ANYIO})),
    Case("all, strict", False, (), frozenset({ANYIO, TRIO, ASYNCIO})),
    Case("trio, strict", False, ("-p", "no:anyio", "-p", "no:asyncio"), frozenset({TRIO})),
    Case(
        "trio_mode",
        False,
        ("-p", "no:anyio", "-p", "no:asyncio", "-o", "trio_mode=true"),
        frozenset({TRIO}),
    ),
    Case("asyncio, strict", False, ("-p", "no:trio", "-p", "no:anyio"), frozenset({ASYNCIO})),
    Case(
        "asyncio, auto",
        False,
        ("-p", "no:trio", "-p", "no:anyio", "-o", "asyncio_mode=auto"),
        frozenset({ASYNCIO}),
    ),
    Case("anyio_mode", False, ("-p", "no:trio", "-p", "no:asyncio", "-o", "anyio_mode=auto"), None),
    Case(
        "in two processes",
        False,
        ("-n", "2", "--dist", "loadfile"),
        frozenset({ANYIO, TRIO, ASYNCIO}),
    ),
)


def main() -> None:
    """Run every case in every environment; exit with an error if one is not as it should be."""
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="motet-plugin-") as scratch:
        place = Path(scratch)
        wheel = _wheel(place)
        for version, bare in itertools.product(PYTESTS, (True, False)):
            python = _environment(place, wheel, version, bare)
            for case in CASES:
                if case.bare is bare:
                    said = list(_complaints(place, python, case))
                    print(f"pytest {version}, {case.name}: {len(said) or 'nothing'} wrong")
                    wrong += said
            if bare:
                _measure(place, python, version)
    print(*wrong, sep="\n")
    if wrong:
        raise SystemExit(1)


def _wheel(place: Path) -> Path:
    _quietly(sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", place, ROOT)
    [wheel] = place.glob("motet-*.whl")
    return wheel


def _quietly(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def _environment(place: Path, wheel: Path, version: str, bare: bool) -> Path:
    where = place / f"pytest-{version}-{'bare' if bare else 'full'}"
    venv.create(where, with_pip=True)
    python = where / "bin" / "python"
    wanted = [f"pytest=={version}.*", *(() if bare else PLUGINS)]
    _quietly(python, "-m", "pip", "install", wheel, *wanted)
    listed = _quietly(python, "-m", "pip", "list", "--format=freeze").splitlines()
    print("\nwith", *(line for line in listed if line.startswith(("pytest", "anyio=", "trio="))))
    return python


def _complaints(place: Path, python: Path, case: Case) -> Iterator[str]:
    where = place / "program"
    shutil.rmtree(where, ignore_errors=True)
    where.mkdir()
    for source in Path(__file__).parent.glob("*.py"):
        if source != Path(__file__):
            shutil.copy(source, where / source.name.replace("suite_", "test_"))
    # Pytest 8 fails for markers of plugins that are not there, and that is not our subject.
    (where / "pytest.ini").write_text(
        "[pytest]\nmarkers =\n    trio\n    asyncio\n    anyio\n", encoding="utf-8"
    )
    report = where / "report.xml"
    run = subprocess.run(
        [python, "-m", "pytest", "-q", f"--junit-xml={report}", *case.options],
        cwd=where,
        capture_output=True,
        text=True,
        timeout=120,
    )
    if run.returncode not in (0, 1):
        yield f"{case.name}: pytest ended with {run.returncode}:\n{run.stdout}\n{run.stderr}"
        return
    for found in ET.parse(report).iter("testcase"):
        yield from (f"{case.name}: {said}" for said in _wrong_with(found, case))
    counted = sum(1 for _ in ET.parse(report).iter("testcase"))
    # Right: 2 + 2 + 2 + 4 + 2 + 1, wrong: 5 * 2 + 2. Those of others: four, and more where anyio's
    # plugin has two event loops.
    if counted < 13 + 12 + 4:
        yield f"{case.name}: only {counted} tests ran"


def _wrong_with(found: ET.Element, case: Case) -> Iterator[str]:
    name = found.attrib["name"].partition("[")[0]
    suite = found.attrib["classname"].partition(".")[0]
    problems = [*found.findall("failure"), *found.findall("error")]
    text = "".join(f"{each.get('message')} {each.text}" for each in problems)
    full = f"{suite}::{found.attrib['name']}"
    if suite == "test_wrong" and name in WRONG:
        if WRONG[name] not in text:
            yield f"{full} should fail with {WRONG[name]!r}, and said {text!r}"
    elif suite == "test_others" and case.others is None:
        pass
    elif suite == "test_others" and name not in ("test_each_ran_once", *(case.others or ())):
        if not problems and not found.findall("skipped"):
            yield f"{full} was run, and the plugin that it is for is not there"
    elif problems or found.findall("skipped"):
        yield f"{full} should pass, and said {text!r}"


def _measure(place: Path, python: Path, version: str) -> None:
    where = place / "unused"
    where.mkdir(exist_ok=True)
    (where / "test_nothing.py").write_text("def test_nothing(): pass\n", encoding="utf-8")
    seconds: dict[str, list[float]] = {"with": [], "without": []}
    for _ in range(7):
        for name, options in (("with", ()), ("without", ("-p", "no:motet"))):
            began = perf_counter()
            subprocess.run(
                [python, "-m", "pytest", "-q", "-p", "no:anyio", *options],
                cwd=where,
                check=True,
                capture_output=True,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            )
            seconds[name].append(perf_counter() - began)
    best = {name: min(times) for name, times in seconds.items()}
    print(
        f"pytest {version}, installed and not used: {best['with'] * 1000:.0f} ms with the plugin, "
        f"{best['without'] * 1000:.0f} ms without ({best['with'] / best['without']:.3f} times)"
    )


if __name__ == "__main__":
    main()
