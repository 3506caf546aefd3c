"""Caches for backends that programs write."""

import pytest

from mellea.backends.cache import Cache, SimpleLRUCache


def test_what_was_not_asked_for_the_longest_goes_first() -> None:
    gone: list[int] = []
    cache = SimpleLRUCache(2, on_evict=gone.append)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert (gone, list(cache.cache), cache.get("b")) == ([2], ["a", "c"], None)
    cache.put("a", 4)
    assert (gone, cache.get("a"), cache.current_size()) == ([2], 4, 2)


def test_a_cache_without_room_keeps_nothing() -> None:
    gone: list[int] = []
    cache = SimpleLRUCache(0, gone.append)
    cache.put("a", 1)
    assert (cache.current_size(), gone) == (0, [])


def test_a_cache_of_ones_own_says_how() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Cache()  # type: ignore[abstract]
