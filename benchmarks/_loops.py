"""Running one async function on a named event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, TypeVarTuple

import anyio

Result = TypeVar("Result")
Args = TypeVarTuple("Args")

_BACKENDS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "asyncio": ("asyncio", {"use_uvloop": False}),
    "uvloop": ("asyncio", {"use_uvloop": True}),
    "trio": ("trio", {}),
}


def run(loop: str, fn: Callable[[*Args], Awaitable[Result]], *args: *Args) -> Result:
    """Run *fn* on the event loop named `asyncio`, `uvloop` or `trio`; return its result."""
    backend, options = _BACKENDS[loop]
    return anyio.run(fn, *args, backend=backend, backend_options=options)
