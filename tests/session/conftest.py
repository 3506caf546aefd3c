"""A simulated server in a thread of its own, which serves loops that a sync call has blocked."""

import gc
from collections.abc import Iterator

import pytest

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
    # On Trio, because asyncio in debug mode takes ten times as long.
    with serve_in_thread(loop="trio") as server:
        yield server


@pytest.fixture
def server(shared_server: ModelServer) -> Iterator[ModelServer]:
    """A simulated server, which has seen nothing yet and serves nobody in the end."""
    shared_server.reset()
    yield shared_server
    shared_server.block_until_idle()
