"""
The virtual clocks of `motet.testing`, for tests that anyio's plugin runs.

A module or a test selects them with one more mark:

    pytestmark = [pytest.mark.anyio, on_virtual_time]
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import pytest

from motet.testing import virtual_loop
from motet.testing.virtual_time import LoopOptions

# Functions, because a clock that was used once goes on from where it stopped.
VIRTUAL_LOOPS: Final[dict[str, Callable[[], LoopOptions]]] = {
    "virtual-asyncio": partial(virtual_loop, "asyncio"),
    "virtual-trio": partial(virtual_loop, "trio"),
}

on_virtual_time: Final = pytest.mark.parametrize("anyio_backend", VIRTUAL_LOOPS, indirect=True)
