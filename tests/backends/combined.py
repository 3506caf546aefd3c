"""One backend in each kind of combination."""

from collections.abc import Callable

from motet import Backend, BalancedBackend, FallbackBackend, HedgedBackend

COMBINED: dict[str, Callable[[Backend], Backend]] = {
    "fallback": lambda backend: FallbackBackend([backend]),
    "hedged": lambda backend: HedgedBackend([backend], delay=9),
    "balanced": lambda backend: BalancedBackend([backend]),
    "combined twice": lambda backend: FallbackBackend([HedgedBackend([backend], delay=9)]),
}
