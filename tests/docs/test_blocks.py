"""Every Python block of the documentation runs, and prints what the page says."""

import gc
import os
import re
import shlex
import subprocess
import sys
import types
from collections.abc import Generator
from pathlib import Path

import pytest

from docs.pages import (
    PAGES,
    ROOT,
    Command,
    Runnable,
    blocks_of,
    commands_of,
    pattern_of,
    runnables_of,
)
from docs.running import LOOPS, loop_for_programs
from motet.testing import ModelServer, serve_in_thread

COMMANDS = [command for page in PAGES for command in commands_of(page)]
RUNNABLES = [runnable for page in PAGES for runnable in runnables_of(page)]


@pytest.fixture(scope="module")
def model_server() -> Generator[ModelServer]:
    with serve_in_thread(time_to_first_token=0.01, tokens_per_second=500) as server:
        yield server


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("runnable", RUNNABLES, ids=lambda runnable: runnable.name)
def test_a_block_runs_and_prints_what_the_page_says(
    runnable: Runnable,
    loop: str,
    model_server: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", model_server.url)
    program = types.ModuleType("__main__")
    with loop_for_programs(loop, monkeypatch):
        exec(compile(runnable.tree, runnable.name, "exec"), program.__dict__)
        del program
        gc.collect()  # so that what a finaliser has to say is said in this test
    out, err = capsys.readouterr()
    assert err == ""
    if runnable.output is not None:
        assert pattern_of(runnable.output).fullmatch(out), f"it printed:\n{out}"
    model_server.block_until_idle()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.block.name)
def test_a_command_prints_what_the_page_says(command: Command, tmp_path: Path) -> None:
    for name, text in command.files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    [line] = command.block.text.splitlines()
    program, *arguments = shlex.split(line)
    ran = subprocess.run(
        [sys.executable, *(["-m", program] if program != "python" else []), *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**_at_a_desk(), "COLUMNS": "80", "PYTHONPATH": str(tmp_path)},
    )
    assert ran.stderr == ""
    printed = "".join(f"{each.rstrip()}\n" for each in ran.stdout.splitlines())
    assert pattern_of(command.output).fullmatch(printed), f"it printed:\n{printed}"


def _at_a_desk() -> dict[str, str]:
    """Return the environment without what pytest takes for a build server, where it is more verbose."""
    return {name: text for name, text in os.environ.items() if name not in ("CI", "BUILD_NUMBER")}


def test_every_output_belongs_to_a_block() -> None:
    shown = sum(block.kind == "text" for page in PAGES for block in blocks_of(page))
    outputs = sum(runnable.output is not None for runnable in RUNNABLES)
    assert outputs + len(COMMANDS) == shown


def test_every_file_is_used_by_a_command() -> None:
    named = {block.file for page in PAGES for block in blocks_of(page) if block.file}
    assert named == {name for command in COMMANDS for name in command.files}


def test_every_command_that_is_shown_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for block in blocks_of(page):
            if block.kind == "sh":
                assert set(re.findall(r"^make ([a-z-]+)", block.text, re.MULTILINE)) <= targets
                for script in re.findall(r"examples/\w+\.py", block.text):
                    assert (ROOT / script).exists(), f"{block.name} names {script}"
