"""The server that the tests here talk to, and how they tell what they saw."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from . import servers

Tell = Callable[[str, str], None]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.RealServer]:
    """The one that MOTET_REAL_SERVERS names: a function of `servers`."""
    serve = getattr(servers, os.environ["MOTET_REAL_SERVERS"])
    with serve(tmp_path_factory.mktemp("model")) as server:
        yield server


@pytest.fixture
def tell(anyio_backend: Any) -> Tell:
    """Print a figure, with the loop it belongs to."""
    name, options = anyio_backend
    loop = "uvloop" if options.get("use_uvloop") else name

    def print_it(what: str, figure: str) -> None:
        print(f"\n  {what}, {loop}: {figure}", end="")

    return print_it
