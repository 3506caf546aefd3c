"""The event loops that motet promises to run on, for all folders of tests."""

from typing import Final

import pytest

from virtual_time import VIRTUAL_LOOPS

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
