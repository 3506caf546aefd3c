"""Programs in processes of their own: what they say, and that none is left behind."""

import sys
import uuid
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from motet._runtime.processes import run_program

pytestmark = pytest.mark.anyio

PROC = Path("/proc")


def running(marker: str) -> list[str]:
    """Return the processes that have *marker* in their command line."""
    found = []
    for path in PROC.glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            if marker.encode() in path.read_bytes():
                found.append(path.parent.name)
    return found


def python(source: str) -> list[str]:
    return [sys.executable, "-c", source]


async def test_what_a_program_says_and_how_it_ended_is_told() -> None:
    source = "import sys; print(sys.stdin.read()[::-1]); print('no', file=sys.stderr); sys.exit(3)"
    assert await run_program(python(source), b"abc") == (3, b"cba\n", b"no\n")


async def test_much_goes_in_and_comes_out() -> None:
    source = "import sys; sys.stdout.write(sys.stdin.read()); sys.stderr.write('x' * 10**6)"
    ended = await run_program(python(source), b"y" * 10**6)
    assert ended == (0, b"y" * 10**6, b"x" * 10**6)


async def test_a_program_need_not_read_what_it_is_given() -> None:
    assert await run_program(python("print('done')"), b"x" * 10**6) == (0, b"done\n", b"")


async def test_a_program_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await run_program([str(tmp_path / "gone")], b"")


@pytest.mark.skipif(not PROC.is_dir(), reason="only Linux lists its processes there")
@pytest.mark.parametrize("moment", [0, 0.0001, 0.001, 0.003, 0.01, 0.1])  # seconds
async def test_a_program_that_is_given_up_is_stopped(moment: float) -> None:
    for _ in range(3):
        marker = str(uuid.uuid4())
        with anyio.fail_after(60), anyio.move_on_after(moment) as scope:
            await run_program(python(f"import time; time.sleep(600)  # {marker}"), b"x")
        assert scope.cancelled_caught
        assert running(marker) == []
