"""The calls of a session as functions of a context and a backend; see `motet.functional`.

As in a session of this path, replies wait for `str`, a call with a strategy of the caller's is
complete when it returns, and async calls warn of contexts that are not a `SimpleContext`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import motet
from motet import functional as _motet
from motet.functional import act as act
from motet.functional import avalidate as avalidate
from motet.functional import chat as chat
from motet.functional import instruct as instruct
from motet.functional import transform as transform
from motet.functional import validate as validate

from .. import _async_calls, _implicit
from ..core.thunk import DefaultThunk, WaitingThunk, become
from .session import waiting

__all__ = [
    "aact",
    "achat",
    "act",
    "ainstruct",
    "aquery",
    "atransform",
    "avalidate",
    "chat",
    "instruct",
    "query",
    "transform",
    "validate",
]

if TYPE_CHECKING:
    # Most types are motet's. A call with a strategy of its own is complete when it returns.
    from collections.abc import Mapping, Sequence
    from typing import Literal, TypeAlias, TypeVar, overload

    import pydantic

    from motet.functional import achat as achat
    from motet.functional import atransform as atransform

    S = TypeVar("S")
    ContextT = TypeVar("ContextT", bound=motet.Context)
    Format: TypeAlias = type[pydantic.BaseModel] | Mapping[str, Any] | None
    Text: TypeAlias = str | motet.CBlock | motet.ModelOutputThunk[Any]

    @overload
    async def ainstruct(
        description: str,
        context: ContextT,
        backend: motet.Backend,
        *,
        images: list[Any] | None = None,
        requirements: Sequence[motet.Requirement | str] | None = None,
        icl_examples: Sequence[Text] | None = None,
        grounding_context: Mapping[str, Any] | None = None,
        user_variables: Mapping[str, Any] | None = None,
        prefix: str | None = None,
        output_prefix: str | None = None,
        strategy: motet.SamplingStrategy | None = ...,
        return_sampling_results: Literal[True],
        format: Format = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
        await_result: bool = ...,
    ) -> motet.SamplingResult[str]: ...
    @overload
    async def ainstruct(
        description: str,
        context: ContextT,
        backend: motet.Backend,
        *,
        images: list[Any] | None = None,
        requirements: Sequence[motet.Requirement | str] | None = None,
        icl_examples: Sequence[Text] | None = None,
        grounding_context: Mapping[str, Any] | None = None,
        user_variables: Mapping[str, Any] | None = None,
        prefix: str | None = None,
        output_prefix: str | None = None,
        strategy: motet.SamplingStrategy | None = ...,
        return_sampling_results: Literal[False] = ...,
        format: Format = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
        await_result: Literal[True],
    ) -> tuple[motet.ComputedModelOutputThunk[str], ContextT]: ...
    @overload
    async def ainstruct(
        description: str,
        context: ContextT,
        backend: motet.Backend,
        *,
        images: list[Any] | None = None,
        requirements: Sequence[motet.Requirement | str] | None = None,
        icl_examples: Sequence[Text] | None = None,
        grounding_context: Mapping[str, Any] | None = None,
        user_variables: Mapping[str, Any] | None = None,
        prefix: str | None = None,
        output_prefix: str | None = None,
        strategy: motet.SamplingStrategy,
        return_sampling_results: Literal[False] = ...,
        format: Format = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
        await_result: bool = ...,
    ) -> tuple[motet.ComputedModelOutputThunk[str], ContextT]: ...
    @overload
    async def ainstruct(
        description: str,
        context: ContextT,
        backend: motet.Backend,
        *,
        images: list[Any] | None = None,
        requirements: Sequence[motet.Requirement | str] | None = None,
        icl_examples: Sequence[Text] | None = None,
        grounding_context: Mapping[str, Any] | None = None,
        user_variables: Mapping[str, Any] | None = None,
        prefix: str | None = None,
        output_prefix: str | None = None,
        strategy: None = ...,
        return_sampling_results: Literal[False] = ...,
        format: Format = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
        await_result: Literal[False] = ...,
    ) -> tuple[motet.ModelOutputThunk[str], ContextT]: ...
    async def ainstruct(*args: Any, **options: Any) -> Any:
        """Give the model a task; see `MelleaSession.ainstruct`."""

    @overload
    async def aact(
        action: motet.Component[S],
        context: ContextT,
        backend: motet.Backend,
        *,
        requirements: Sequence[motet.Requirement | str] | None = None,
        strategy: motet.SamplingStrategy | None = ...,
        return_sampling_results: Literal[True],
        format: Format = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
        await_result: bool = ...,
        silence_context_type_warning: bool = False,
    ) -> motet.SamplingResult[S]: ...
    @overload
    async def aact(
        action: motet.Component[S],
        context: ContextT,
        backend: motet.Backend,
        *,
        requirements: Sequence[motet.Requirement | str] | None = None,
        strategy: motet.SamplingStrategy | None = ...,
        return_sampling_results: Literal[False] = ...,
        format: Format = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
        await_result: Literal[True],
        silence_context_type_warning: bool = False,
    ) -> tuple[motet.ComputedModelOutputThunk[S], ContextT]: ...
    @overload
    async def aact(
        action: motet.Component[S],
        context: ContextT,
        backend: motet.Backend,
        *,
        requirements: Sequence[motet.Requirement | str] | None = None,
        strategy: motet.SamplingStrategy,
        return_sampling_results: Literal[False] = ...,
        format: Format = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
        await_result: bool = ...,
        silence_context_type_warning: bool = False,
    ) -> tuple[motet.ComputedModelOutputThunk[S], ContextT]: ...
    @overload
    async def aact(
        action: motet.Component[S],
        context: ContextT,
        backend: motet.Backend,
        *,
        requirements: Sequence[motet.Requirement | str] | None = None,
        strategy: None = ...,
        return_sampling_results: Literal[False] = ...,
        format: Format = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
        await_result: Literal[False] = ...,
        silence_context_type_warning: bool = False,
    ) -> tuple[motet.ModelOutputThunk[S], ContextT]: ...
    async def aact(*args: Any, **options: Any) -> Any:
        """Say a component to the model; see `MelleaSession.aact`."""

    @overload
    async def aquery(
        obj: Any,
        query: str,
        context: ContextT,
        backend: motet.Backend,
        *,
        format: Format = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
        await_result: Literal[True],
    ) -> tuple[motet.ComputedModelOutputThunk[Any], ContextT]: ...
    @overload
    async def aquery(
        obj: Any,
        query: str,
        context: ContextT,
        backend: motet.Backend,
        *,
        format: Format = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
        await_result: Literal[False] = ...,
    ) -> tuple[motet.ModelOutputThunk[Any], ContextT]: ...
    async def aquery(*args: Any, **options: Any) -> Any:
        """Ask about an object; see `MelleaSession.aquery`."""

    def query(
        obj: Any,
        query: str,
        context: ContextT,
        backend: motet.Backend,
        *,
        format: Format = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
    ) -> tuple[motet.ComputedModelOutputThunk[Any], ContextT]:
        """Ask about an object; see `MelleaSession.query`."""

else:
    from motet.functional import query as query

    @_implicit.function_with_portal
    async def ainstruct(description: str, context: Any, backend: Any, **options: Any) -> Any:
        """Give the model a task; see `MelleaSession.ainstruct`."""
        _async_calls.warn_of(context)
        answer = await _motet.ainstruct(description, context, backend, **waiting(options))
        return _theirs(answer, default="strategy" not in options)

    @_implicit.function_with_portal
    async def aact(
        action: Any,
        context: Any,
        backend: Any,
        *,
        silence_context_type_warning: bool = False,
        **options: Any,
    ) -> Any:
        """Say a component to the model; see `MelleaSession.aact`."""
        if not silence_context_type_warning:
            _async_calls.warn_of(context)
        answer = await _motet.aact(action, context, backend, **waiting(options))
        return _theirs(answer, default="strategy" not in options)

    @_implicit.function_with_portal
    async def achat(content: str, context: Any, backend: Any, **options: Any) -> Any:
        """Say something to the model and wait for its answer; see `MelleaSession.achat`."""
        _async_calls.warn_of(context)
        return await _motet.achat(content, context, backend, **options)

    @_implicit.function_with_portal
    async def aquery(obj: Any, query: str, context: Any, backend: Any, **options: Any) -> Any:
        """Ask about an object; see `MelleaSession.aquery`."""
        _async_calls.warn_of(context)
        answer = await _motet.aquery(obj, query, context, backend, **options)
        return _theirs(answer, default=False)

    @_implicit.function_with_portal
    async def atransform(
        obj: Any, transformation: str, context: Any, backend: Any, **options: Any
    ) -> Any:
        """Have an object changed; see `MelleaSession.atransform`."""
        _async_calls.warn_of(context)
        return await _motet.atransform(obj, transformation, context, backend, **options)


def _theirs(answer: Any, *, default: bool) -> Any:
    """Return an answer of motet's with its thunk as one of this path; the same object."""
    if isinstance(answer, tuple) and isinstance(answer[0], motet.ModelOutputThunk):
        _ = become(answer[0], DefaultThunk if default else WaitingThunk)
    return answer


def _parse_and_clean_image_args(images: list[Any] | None = None) -> list[Any] | None:
    """Return the images of a call as blocks; None for none. Programs use it."""
    return motet.Message("user", "", images=images).images
