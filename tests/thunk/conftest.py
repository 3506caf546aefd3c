"""What makes looking for leaks quick."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def young_heap() -> Iterator[None]:
    """Have the garbage collector, and whoever asks it, look at nothing older than the module."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
