"""A simulated server for all the laws, and what makes looking for leaks quick."""

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from loops import REAL_LOOPS
from motet.testing import ModelServer, serve_in_thread


@pytest.fixture(scope="module", autouse=True)
def young_heap() -> Iterator[None]:
    """Have the garbage collector, and whoever asks it, look at nothing older than the module."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="package")
def shared_server() -> Iterator[ModelServer]:
    # In a thread, because it must notice hang-ups whatever the client's loop does; on Trio,
    # because asyncio in debug mode takes ten times as long.
    with serve_in_thread(loop="trio") as server:
        yield server


@pytest.fixture
def server(shared_server: ModelServer) -> Iterator[ModelServer]:
    """A simulated server, which has seen nothing yet and serves nobody in the end."""
    shared_server.reset()
    yield shared_server
    shared_server.block_until_idle()


@pytest.fixture(params=REAL_LOOPS)
def real_loop(request: pytest.FixtureRequest) -> Callable[[], tuple[str, dict[str, Any]]]:
    """A loop for tests that start their own."""
    return lambda: REAL_LOOPS[request.param]
