"""Functions whose body is a model, and what they are made of."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypedDict, TypeVar, overload

import attrs
import pydantic

import motet
from motet import (
    CBlock,
    Component,
    ModelOutputThunk,
    PreconditionException,
    ReplyMismatch,
    Requirement,
    TemplateRepresentation,
)

from ... import _async_calls, _implicit

__all__ = [
    "ArgPreconditionRequirement",
    "Argument",
    "Arguments",
    "AsyncGenerativeStub",
    "ExtractedArgs",
    "Function",
    "FunctionResponse",
    "GenerativeStub",
    "PreconditionException",
    "SyncGenerativeStub",
    "bind_function_arguments",
    "create_response_format",
    "describe_function",
    "generative",
    "get_argument",
]

P = ParamSpec("P")
R = TypeVar("R")


class GenerativeStub(motet.GenerativeStub[P, R]):
    """A function whose body is a model; see `generative`."""

    def parts(self) -> list[Any]:
        """Return nothing: a stub has no arguments before it is called."""
        return []

    def format_for_llm(self) -> TemplateRepresentation:
        """Return the function as a template sees it, without arguments."""
        wrapped: Any = self
        return TemplateRepresentation(
            obj=self,
            args={
                "function": describe_function(inspect.unwrap(wrapped)),
                "arguments": None,
                "requirements": [],
                "repair": None,
            },
            template_order=["*", "GenerativeCall"],
        )

    def parse(self, computed: ModelOutputThunk[Any]) -> R:
        """Return the value that a reply stands for.

        Raises:
            motet.ComponentParseError: it is not of the type that the function returns.
        """
        return Component.parse(self, computed)

    def _parse(self, computed: ModelOutputThunk[Any]) -> R:
        reply: Any = self.response_format.model_validate_json(computed.value or "")
        result: R = reply.result
        return result


class SyncGenerativeStub(GenerativeStub[P, R], motet.SyncGenerativeStub[P, R]):
    """A generative function that blocks until its value is there.

    What `motet.ReplyMismatch` tells in motet is the ``pydantic.ValidationError`` here.
    """

    if not TYPE_CHECKING:

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            """Ask the model what the function returns; see `motet.SyncGenerativeStub`."""
            _wait_for(kwargs.values())
            try:
                return motet.SyncGenerativeStub.__call__(self, *args, **kwargs)
            except ReplyMismatch as exc:
                raise _unwrapped(exc) from exc


class AsyncGenerativeStub(GenerativeStub[P, R], motet.AsyncGenerativeStub[P, R]):
    """A generative function that is awaited.

    What `motet.ReplyMismatch` tells in motet is the ``pydantic.ValidationError`` here.
    """

    if not TYPE_CHECKING:

        def __call__(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
            """Return a coroutine that asks the model; see `motet.AsyncGenerativeStub`."""
            call = motet.AsyncGenerativeStub.__call__(self, *args, **kwargs)
            asked = next((kwargs[name] for name in ("m", "context") if kwargs.get(name)), None)
            if asked is None:
                asked = args[0]
            if _implicit.allowed() and getattr(asked, "implicit_wait", True):
                _implicit.bestow()
            return _warning(getattr(asked, "ctx", asked), call)


# A function that returns a coroutine fits both; type checkers take the first.
@overload
def generative(  # type: ignore[overload-overlap]
    func: Callable[P, Coroutine[Any, Any, R]],
) -> AsyncGenerativeStub[P, R]: ...
@overload
def generative(func: Callable[P, R]) -> SyncGenerativeStub[P, R]: ...
def generative(func: Callable[..., Any]) -> Any:
    """Make a function one whose body is a model; see `motet.generative`.

    Args:
        func: the function. An ``async def`` becomes one that is awaited.

    Raises:
        ValueError: a parameter has one of the names that calls need for themselves.
    """
    try:
        made = motet.generative(func)
    except ValueError as exc:
        raise ValueError(
            f"cannot create a generative stub with disallowed parameter names: {exc}"
        ) from exc
    kind = (
        AsyncGenerativeStub if isinstance(made, motet.AsyncGenerativeStub) else SyncGenerativeStub
    )
    return kind(func)


def _wait_for(values: Any) -> None:
    """Wait in place for the replies among the arguments; see `str` of a thunk."""
    for value in values:
        if isinstance(value, ModelOutputThunk) and not value.is_computed():
            str(value)


async def _warning(context: Any, call: Coroutine[Any, Any, Any]) -> Any:
    _async_calls.warn_of(context)
    try:
        return await call
    except ReplyMismatch as exc:
        raise _unwrapped(exc) from exc


def _unwrapped(mismatch: ReplyMismatch) -> BaseException:
    cause = mismatch.__cause__
    if not isinstance(cause, pydantic.ValidationError):
        return mismatch
    cause.add_note(str(mismatch))
    return cause


class FunctionResponse(pydantic.BaseModel, Generic[R]):
    """What a model's answer conforms to."""

    result: R = pydantic.Field(description="What the function returns")


def create_response_format(func: Callable[..., Any]) -> type[pydantic.BaseModel]:
    """Return a pydantic model with one field, ``result``, of the type that *func* returns."""
    made: motet.GenerativeStub[..., Any] = motet.generative(func)
    return made.response_format


class FunctionDict(TypedDict):
    """A function in words."""

    name: str
    signature: str
    docstring: str | None


def describe_function(func: Callable[..., Any]) -> FunctionDict:
    """Return the name, the signature and the docstring of a function."""
    return FunctionDict(
        name=func.__name__, signature=str(inspect.signature(func)), docstring=inspect.getdoc(func)
    )


class Function(Generic[P, R]):
    """A function and what a model is told of it."""

    def __init__(self, func: Callable[P, R]) -> None:
        self._func = func
        self._function_dict = describe_function(func)


class Argument:
    """One argument of a call, as a model is shown it."""

    def __init__(
        self, annotation: str | None = None, name: str | None = None, value: Any = None
    ) -> None:
        self._argument_dict = {"name": name, "annotation": annotation, "value": value}


class Arguments(CBlock):
    """The arguments of a call, one in a line."""

    def __init__(self, arguments: Sequence[Argument]) -> None:
        shown = [each._argument_dict for each in arguments]
        super().__init__(
            "\n".join(
                f"- {each['name']}: {each['value']}  (type: {each['annotation']})" for each in shown
            )
        )
        self._meta = {each._argument_dict["name"]: each for each in arguments}


def get_argument(func: Callable[..., Any], key: str, val: Any) -> Argument:
    """Return an argument of *func*; text is put in quotes."""
    parameter = inspect.signature(func).parameters.get(key)
    annotation = type(val) if parameter is None else parameter.annotation
    if annotation is inspect.Parameter.empty:
        annotation = type(val)
    return Argument(str(annotation), key, f'"{val}"' if annotation in (str, "str") else val)


def bind_function_arguments(
    func: Callable[P, R], *args: P.args, **kwargs: P.kwargs
) -> dict[str, Any]:
    """Return the arguments of a call by name, defaults included.

    Raises:
        TypeError: the function does not take these; says which is missing or unknown.
    """
    try:
        bound = inspect.signature(func).bind(*args, **kwargs)
    except TypeError as exc:
        name = getattr(func, "__name__", repr(func))
        kind = "is missing required parameter(s) of" if "missing" in str(exc) else "does not fit"
        raise TypeError(f"generative stub {kind} the original function {name!r}: {exc}") from exc
    bound.apply_defaults()
    return dict(bound.arguments)


class ArgPreconditionRequirement(Requirement):
    """A requirement on the arguments of a call. `generative` makes these itself.

    Args:
        req: the requirement on them.
    """

    def __init__(self, req: Requirement) -> None:
        super().__init__(
            req.description,
            req.validation_fn,
            output_to_bool=req.output_to_bool,
            check_only=req.check_only,
        )
        self.req = req

    def format_for_llm(self) -> TemplateRepresentation:
        """Return what the judge's template needs."""
        return TemplateRepresentation(
            obj=self,
            args={"description": self.description, "arguments": self._output},
            template_order=["*", "ArgPreconditionRequirement"],
        )


@attrs.define
class ExtractedArgs:
    """A call of a stub: what is for the stub, and what is for the function."""

    f_args: tuple[Any, ...] = ()
    f_kwargs: dict[str, Any] = attrs.field(factory=dict)
    m: motet.MelleaSession | None = None
    context: motet.Context | None = None
    backend: motet.Backend | None = None
    model_options: Mapping[str, Any] | None = None
    strategy: motet.SamplingStrategy | None = None
    precondition_requirements: Sequence[Requirement | str] | None = None
    requirements: Sequence[Requirement | str] | None = None
