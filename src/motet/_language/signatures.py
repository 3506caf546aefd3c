"""What a function takes and returns, with the types that its annotations mean.

Annotations may be text (``from __future__ import annotations`` makes all of them so);
here they are looked up where the function was written. Nothing else is known of them.
"""

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any


def name_of(func: Callable[..., Any]) -> str:
    """Return what a callable is called: a function's name, or that of its class."""
    func = _unwrapped(func)
    name = getattr(func, "__name__", None)
    return name if isinstance(name, str) else type(func).__name__


def resolved_signature(
    func: Callable[..., Any], *, parameters_only: bool = False
) -> inspect.Signature:
    """Return the signature of *func* with types in place of text.

    Args:
        func: the function.
        parameters_only: leave the annotation of the result as it is; it may name a class
            that is local to a function, and then nobody can tell what it means.

    Raises:
        TypeError: it has no signature, or an annotation names something unknown.
    """
    try:
        signature = inspect.signature(func)
    except ValueError as exc:
        raise TypeError(f"{name_of(func)}() does not tell its parameters: {exc}") from exc
    try:
        annotated = _annotated(func)
        if parameters_only and isinstance(annotated, FunctionType):
            annotated = _without_result(annotated)
        hints = typing.get_type_hints(annotated, include_extras=True)
    except NameError as exc:
        raise TypeError(
            f"an annotation of {name_of(func)}() names {exc.name!r}, which its module does not "
            "know when the function is used; define or import it at the top level of the module"
        ) from exc
    # `get_type_hints` makes None its type, which reads worse.
    hints = {name: None if hint is type(None) else hint for name, hint in hints.items()}
    parameters = [
        parameter.replace(annotation=hints.get(parameter.name, parameter.annotation))
        for parameter in signature.parameters.values()
    ]
    return signature.replace(
        parameters=parameters,
        return_annotation=hints.get("return", signature.return_annotation),
    )


def as_call(
    func: Callable[..., Any], arguments: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return arguments that are all named as a call of *func* takes them."""
    named = dict(arguments)
    try:
        parameters = inspect.signature(func).parameters.values()
    except ValueError:  # some builtin functions do not tell
        return (), named
    positional = tuple(
        named.pop(parameter.name)
        for parameter in parameters
        if parameter.kind is parameter.POSITIONAL_ONLY and parameter.name in named
    )
    return positional, named


def is_async(func: Callable[..., Any]) -> bool:
    """Tell whether calling *func* gives a coroutine, also through partials and ``__call__``."""
    func = _unwrapped(func)
    return inspect.iscoroutinefunction(func) or (
        not inspect.isroutine(func)
        and not inspect.isclass(func)
        and inspect.iscoroutinefunction(getattr(type(func), "__call__", None))  # noqa: B004
    )


def _unwrapped(func: Any) -> Any:
    while isinstance(func, functools.partial):
        func = func.func
    return func


def _annotated(func: Any) -> Any:
    """Return the function whose annotations are those of *func*."""
    func = inspect.unwrap(_unwrapped(func))
    if inspect.isclass(func):
        return func.__init__
    return func if inspect.isroutine(func) else type(func).__call__


def _without_result(func: FunctionType) -> FunctionType:
    twin = FunctionType(func.__code__, func.__globals__, func.__name__, None, func.__closure__)
    twin.__annotations__ = {
        name: hint for name, hint in func.__annotations__.items() if name != "return"
    }
    return twin
