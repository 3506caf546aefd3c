"""What every test may use: the event loops that motet promises to run on."""

import os
import signal
from typing import Final

import pytest

from virtual_time import VIRTUAL_LOOPS

# Checked by mypy, never run.
collect_ignore = ["typing"]

REAL_LOOPS: Final[dict[str, tuple[str, dict[str, object]]]] = {
    "asyncio": ("asyncio", {"use_uvloop": False}),
    "uvloop": ("asyncio", {"use_uvloop": True}),
    "trio": ("trio", {}),
}


@pytest.fixture(params=REAL_LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    """The loop a test marked `anyio` runs on: each real one in turn.

    A test marked `virtual_time.on_virtual_time` as well gets the loops of that module instead.
    """
    loop: str = request.param
    if loop in VIRTUAL_LOOPS:
        return VIRTUAL_LOOPS[loop]()
    return REAL_LOOPS[loop]


# A shell that starts the tests in the background has them ignore Ctrl-C, and with them the
# programs that they start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The tests run in Python's development mode with warnings as errors, and are told so by
# variables, for the processes that share the work. The programs they start run as users' do.
for _name in ("PYTHONDEVMODE", "PYTHONWARNINGS"):
    os.environ.pop(_name, None)
