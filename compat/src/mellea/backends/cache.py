"""Caches for backends that programs write. The backends of motet need none."""

import abc
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

__all__ = ["Cache", "SimpleLRUCache"]


class Cache(abc.ABC):
    """Keeps values under keys, and may forget them."""

    @abc.abstractmethod
    def put(self, key: str | int, value: Any) -> None:
        """Keep *value* under *key*, in place of what stood there."""

    @abc.abstractmethod
    def get(self, key: str | int) -> Any | None:
        """Return the value under *key*, or None."""

    @abc.abstractmethod
    def current_size(self) -> int:
        """Return how many values there are."""


class SimpleLRUCache(Cache):
    """Forgets the value that was not asked for the longest.

    Args:
        capacity: how many values it keeps; 0 for none.
        on_evict: is given every value that is forgotten to make room.

    Attributes:
        cache: the values, the one to be forgotten next first.
    """

    def __init__(self, capacity: int, on_evict: Callable[[Any], None] | None = None) -> None:
        self.capacity = capacity
        self.cache: OrderedDict[str | int, Any] = OrderedDict()
        self.on_evict = on_evict

    def current_size(self) -> int:
        """Return how many values there are."""
        return len(self.cache)

    def get(self, key: str | int) -> Any | None:
        """Return the value under *key*, or None; it is now the last to be forgotten."""
        if key not in self.cache:
            return None
        self.cache.move_to_end(key)
        return self.cache[key]

    def put(self, key: str | int, value: Any) -> None:
        """Keep *value* under *key*, and forget another value if there is no room."""
        if self.capacity <= 0:
            return
        self.cache[key] = value
        self.cache.move_to_end(key)
        while len(self.cache) > self.capacity:
            _, evicted = self.cache.popitem(last=False)
            if self.on_evict is not None:
                self.on_evict(evicted)
