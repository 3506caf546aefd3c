"""`MelleaTool`: a function that a model may ask to be called."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Generic, ParamSpec, TypeVar, overload

from ..._runtime.portal import default_portal
from ..signatures import as_call, is_async, name_of
from .docstring import read_docstring
from .parameters import Parameters

P = ParamSpec("P")
R = TypeVar("R")


class MelleaTool(Generic[P, R]):
    """A function that a model may ask to be called.

    Made by `tool` or `from_callable`, which tell the model of the function what its signature
    and its docstring say; the constructor is for a description that exists already. Calling
    the tool is calling the function.

    Args:
        name: what the model calls it.
        tool_call: the function; an ``async`` one, too.
        as_json_tool: the description for the model, as servers want it; one made from the
            function without it.

    Attributes:
        name: as given.
        func: the function.

    Raises:
        TypeError: *tool_call* cannot be called.
    """

    def __init__(
        self,
        name: str,
        tool_call: Callable[P, R],
        as_json_tool: Mapping[str, Any] | None = None,
    ) -> None:
        if not callable(tool_call):
            raise TypeError(f"a tool should be a function, not {type(tool_call).__name__}")
        self.name: Final = name
        self.func: Final = tool_call
        self._json = None if as_json_tool is None else dict(as_json_tool)
        self._parameters: Parameters | None = None
        self.__name__ = name
        self.__doc__ = inspect.getdoc(tool_call)

    @classmethod
    def from_callable(cls, func: Callable[P, R], name: str | None = None) -> MelleaTool[P, R]:
        """Return a function as a tool.

        The types come from its annotations, the texts from its docstring: what stands before
        the first section, and under ``Args:``. A parameter with a default, or one that may be
        None, need not be given by the model.

        Args:
            func: the function, a bound method, or anything that can be called.
            name: what the model calls it; the name of the function without it.
        """
        if not callable(func):
            raise TypeError(f"a tool should be a function, not {type(func).__name__}")
        return cls(name or name_of(func), func)

    @property
    def is_async(self) -> bool:
        """Whether the function is an ``async`` one."""
        return is_async(self.func)

    @property
    def as_json_tool(self) -> dict[str, Any]:
        """The description for the model, as the servers' protocols want it.

        Raises:
            TypeError: a parameter is of a type that cannot be described to a model.
        """
        if self._json is None:
            described = read_docstring(self.__doc__)
            self._json = {
                "type": "function",
                "function": {
                    "name": self.name,
                    "description": described.description,
                    "parameters": self._ensure_parameters().schema,
                },
            }
        return self._json

    def read_arguments(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a model gave as arguments with the types of the parameters.

        It is taken as it can be meant: ``"3"`` for 3 and 3 for ``"3"``, a mapping for a
        dataclass. Arguments that the function does not know are kept.

        Raises:
            UnfitArguments: one is missing, or cannot be read as what it should be.
            TypeError: the parameters cannot be described.
        """
        return self._ensure_parameters().read(arguments)

    def run(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the function and return what it returns, that of an ``async`` one awaited.

        An ``async`` function runs on an event loop of its own, in another thread, and blocks
        this one; in async code use `motet.arun_tool`.

        Raises:
            Exception: whatever the function raises.
        """
        result = self.call(*args, **kwargs)
        if not inspect.isawaitable(result):
            return result

        async def awaited(awaitable: Awaitable[Any]) -> Any:
            return await awaitable

        return default_portal().call(awaited, result)

    def call(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the function, also by names that it has for itself, and return what it returns."""
        if not args:
            args, kwargs = as_call(self.func, kwargs)
        return self.func(*args, **kwargs)

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.func(*args, **kwargs)

    def _ensure_parameters(self) -> Parameters:
        if self._parameters is None:
            self._parameters = Parameters(self.func, read_docstring(self.__doc__))
        return self._parameters

    def __repr__(self) -> str:
        return f"<MelleaTool {self.name}>"


@overload
def tool(func: Callable[P, R], /) -> MelleaTool[P, R]: ...
@overload
def tool(
    func: None = None, /, *, name: str | None = None
) -> Callable[[Callable[P, R]], MelleaTool[P, R]]: ...
def tool(
    func: Callable[P, R] | None = None, /, *, name: str | None = None
) -> MelleaTool[P, R] | Callable[[Callable[P, R]], MelleaTool[P, R]]:
    """Make a function a tool, as ``@tool`` or ``@tool(name="...")``.

    Args:
        func: the function.
        name: what the model calls it; the name of the function without it.
    """
    if func is not None:
        return MelleaTool.from_callable(func, name)

    def decorate(func: Callable[P, R]) -> MelleaTool[P, R]:
        return MelleaTool.from_callable(func, name)

    return decorate
