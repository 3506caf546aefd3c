"""What every async call of the mellea path does beside what motet does: it warns.

The methods without await run the async ones in another thread, and are no async calls.
"""

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, ParamSpec, TypeVar

from motet import SimpleContext

from .core.utils import MelleaLogger

P = ParamSpec("P")
T = TypeVar("T")

# To the letter: the documents print it, and programs look for it.
STALE: Final = (
    "Not using a SimpleContext with asynchronous requests could cause unexpected results due to "
    "stale contexts. Ensure you await between requests."
)

_blocking: Final[ContextVar[bool]] = ContextVar("mellea blocking call", default=False)


def in_blocking_call() -> bool:
    """Whether the running code is the async half of a call without await."""
    return _blocking.get()


def blocking(method: Callable[P, T]) -> Callable[P, T]:
    """Make a method known as one without await, to the async method that it runs."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        token = _blocking.set(True)
        try:
            return method(*args, **kwargs)
        finally:
            _blocking.reset(token)

    return call


def warn_of(context: Any) -> None:
    """Warn of an async call whose context is not a `SimpleContext`."""
    if not isinstance(context, SimpleContext) and not in_blocking_call():
        MelleaLogger.get_logger().warning(STALE)
