"""Running the programs of the documentation in this process, on the loop that a test wants."""

import functools
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final

import anyio
import pytest

LOOPS: Final = ("asyncio", "trio")


@contextmanager
def loop_for_programs(loop: str, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Have `anyio.run` use *loop* where the program does not choose one."""
    run: Callable[..., Any] = anyio.run
    with monkeypatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("error")
        patch.setattr(anyio, "run", functools.partial(run, backend=loop))
        yield
