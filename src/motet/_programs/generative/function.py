"""What a generative function is called with and what it returns, as its author wrote it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypedDict

from ..._language.records import readable
from ..._language.signatures import name_of, resolved_signature

if TYPE_CHECKING:
    from pydantic import BaseModel


class FunctionDict(TypedDict):
    """A function in words."""

    name: str
    signature: str
    docstring: str


class Function:
    """A function that a model imitates. Its body is never run.

    What its annotations mean is looked up when it is first needed, so they may name what
    is defined further down in its module.
    """

    def __init__(self, func: Callable[..., Any]) -> None:
        self.func: Final = func
        self.name: Final = name_of(func)

    @functools.cached_property
    def signature(self) -> inspect.Signature:
        """The signature, with types in place of text."""
        return resolved_signature(self.func)

    @functools.cached_property
    def described(self) -> FunctionDict:
        """The function in words."""
        return FunctionDict(
            name=self.name,
            signature=str(self.signature),
            docstring=inspect.cleandoc(self.func.__doc__ or ""),
        )

    @functools.cached_property
    def response(self) -> type[BaseModel]:
        """What the model's answer must conform to: see `create_response_format`."""
        from pydantic import Field, create_model
        from pydantic.errors import PydanticUserError

        returned = self.signature.return_annotation
        annotation = Any if returned is inspect.Signature.empty else readable(returned)
        words = "".join(word.capitalize() for word in self.name.split("_"))
        try:
            return create_model(
                f"{words}Response",
                result=(annotation, Field(description=f"Result of {self.name}")),
            )
        except PydanticUserError as exc:
            reason = str(exc).splitlines()[0]
            raise TypeError(
                f"what {self.name}() returns cannot be described to a model: {reason}; use types "
                "that JSON has, dataclasses, attrs classes or pydantic models"
            ) from exc

    def bind(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the arguments of a call by name, defaults included.

        Raises:
            TypeError: the function does not take these; says which is missing or unknown.
        """
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as exc:
            raise TypeError(f"{self.name}{self.signature} cannot be called so: {exc}") from None
        bound.apply_defaults()
        arguments: dict[str, Any] = {}
        for name, value in bound.arguments.items():
            if self.signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
                arguments |= value
            elif self.signature.parameters[name].kind is not inspect.Parameter.VAR_POSITIONAL:
                arguments[name] = value
        return arguments


def describe_function(func: Callable[..., Any]) -> FunctionDict:
    """Return the name, the signature and the docstring of a function."""
    return Function(func).described


def create_response_format(func: Callable[..., Any]) -> type[BaseModel]:
    """Return a pydantic model with one field, ``result``, of the type that *func* returns.

    Raises:
        TypeError: the type cannot be described to a model.
    """
    return Function(func).response


def bind_function_arguments(func: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Return the arguments of a call of *func* by name, defaults included.

    Raises:
        TypeError: the function does not take these.
    """
    return Function(func).bind(*args, **kwargs)
