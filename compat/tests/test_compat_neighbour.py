"""Importing `mellea` says when the other distribution of that name is installed, too."""

import os
import subprocess
import sys
from pathlib import Path

import mellea


def run(program: str, *also: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(map(str, also))
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "default"},
    )


def test_two_distributions_of_the_path_are_told_of(tmp_path: Path) -> None:
    facts = tmp_path / "mellea-0.7.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: mellea\nVersion: 0.7.0\n")
    ran = run("import mellea\nprint(mellea.start_session.__name__)", tmp_path)
    assert "<string>:1: RuntimeWarning: mellea 0.7.0 is installed beside motet-mellea" in ran.stderr
    assert "pip uninstall mellea motet-mellea" in ran.stderr
    assert ran.stdout == "start_session\n"


def test_one_alone_is_silent() -> None:
    assert run("import mellea").stderr == ""


def test_nothing_of_the_network_is_touched_on_import() -> None:
    watch = (
        "import sys\n"
        "sys.addaudithook(lambda event, _: event.startswith('socket.') and sys.exit(event))\n"
        "import mellea\n"
        "print(*sorted({'trio', 'httpx2', 'jinja2'} & set(sys.modules)))\n"
        "print(mellea.__file__)"
    )
    assert run(watch).stdout.split() == [mellea.__file__]
