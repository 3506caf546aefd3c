"""Any object becomes one that a model can be asked about, or be asked to change."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, overload

import motet
from motet import MObjectProtocol as MifiedProtocol

__all__ = ["MifiedProtocol", "mify"]

T = TypeVar("T")


@overload
def mify(obj: T, **way: Any) -> T: ...
@overload
def mify(obj: None = None, **way: Any) -> Callable[[T], T]: ...
def mify(obj: Any = None, **way: Any) -> Any:
    """Make an object, or every object of a class, one that a model can be asked about.

    See `motet.mify`, which says what *way* may hold.

    Args:
        obj: the object or class; without it, a decorator is returned.
        way: the options.

    Raises:
        TypeError: it cannot be given methods, or there is no such option.
    """
    given = way.pop("obj_or_class", obj)
    stringify = way.get("stringify_func")
    if stringify is not None and _takes_nothing(stringify):
        # As mellea calls that of a single object; its author has the object anyway.
        way["stringify_func"] = lambda _: stringify()
    return motet.mify(given, **way)


def _takes_nothing(func: Callable[..., Any]) -> bool:
    try:
        return not inspect.signature(func).parameters
    except (TypeError, ValueError):
        return False
