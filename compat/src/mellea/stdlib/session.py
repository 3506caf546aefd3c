"""Sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, overload

import motet
from motet import Context, ModelIdentifier
from motet import get_session as get_session
from motet.model_ids import IBM_GRANITE_4_1_3B

from .. import _async_calls, _implicit
from ..core.backend import as_backend
from ..core.thunk import DefaultThunk, ExplicitThunk, WaitingThunk, become
from ..core.utils import MelleaLogger
from .start_backend import backend_name_to_class as backend_name_to_class
from .start_backend import made_context, start_backend
from .start_backend import made_context as _resolve_context  # noqa: F401 - programs use it

if TYPE_CHECKING:
    import pydantic

    from motet import (
        CBlock,
        Component,
        ComputedModelOutputThunk,
        Message,
        ModelOutputThunk,
        Requirement,
        SamplingResult,
        SamplingStrategy,
    )

__all__ = ["MelleaSession", "backend_name_to_class", "get_session", "start_session"]

S = TypeVar("S")

LINGER: Final = 0.25
"""For how long a reply goes on after the last one who waited has gone, in seconds."""


class MelleaSession(motet.MelleaSession):
    """Talks to one model and remembers what was said; see `motet.MelleaSession`.

    ``str(reply)`` of a reply that is on its way waits in place. A call with a strategy of the
    caller's is complete when it returns; one with the default strategy is not, and the
    attributes of its thunk wait when they are looked at.

    Args:
        backend: talks to the model server; what is no `Backend` and answers as one gets one that
            stands in for it.
        ctx: what was said before; an empty `SimpleContext` without it.
        session_id: a name for logs; a new UUID without it.
        implicit_wait: whether ``str(reply)`` waits; false has it raise, as motet's does.
        linger: for how long a generation goes on after the last one who waited for it has
            gone, in seconds.

    Attributes:
        implicit_wait: as given.
    """

    def __init__(
        self,
        backend: motet.Backend,
        ctx: Context | None = None,
        *,
        session_id: str | None = None,
        implicit_wait: bool = True,
        linger: float = LINGER,
    ) -> None:
        super().__init__(as_backend(backend), ctx, session_id=session_id, linger=linger)
        self.implicit_wait = implicit_wait
        if implicit_wait and _implicit.allowed():
            _implicit.bestow()

    def clone(self) -> MelleaSession:
        """Return a session with the same backend and context and a name of its own."""
        return MelleaSession(
            self.backend, self.ctx, implicit_wait=self.implicit_wait, linger=self.linger
        )

    __copy__ = clone

    # What motet's says of a thunk that may be pending is said of fewer calls here: one with a
    # strategy is complete when it returns.
    @overload  # type: ignore[override]
    async def ainstruct(
        self,
        description: str,
        *,
        images: list[Any] | None = None,
        requirements: Sequence[Requirement | str] | None = None,
        icl_examples: Sequence[str | CBlock | ModelOutputThunk[Any]] | None = None,
        grounding_context: Mapping[str, Any] | None = None,
        user_variables: Mapping[str, Any] | None = None,
        prefix: str | None = None,
        output_prefix: str | None = None,
        strategy: SamplingStrategy | None = ...,
        return_sampling_results: Literal[True],
        format: type[pydantic.BaseModel] | Mapping[str, Any] | None = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
        await_result: bool = ...,
    ) -> SamplingResult[str]: ...
    @overload
    async def ainstruct(
        self,
        description: str,
        *,
        images: list[Any] | None = None,
        requirements: Sequence[Requirement | str] | None = None,
        icl_examples: Sequence[str | CBlock | ModelOutputThunk[Any]] | None = None,
        grounding_context: Mapping[str, Any] | None = None,
        user_variables: Mapping[str, Any] | None = None,
        prefix: str | None = None,
        output_prefix: str | None = None,
        strategy: SamplingStrategy | None = ...,
        return_sampling_results: Literal[False] = ...,
        format: type[pydantic.BaseModel] | Mapping[str, Any] | None = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
        await_result: Literal[True],
    ) -> ComputedModelOutputThunk[str]: ...
    @overload
    async def ainstruct(
        self,
        description: str,
        *,
        images: list[Any] | None = None,
        requirements: Sequence[Requirement | str] | None = None,
        icl_examples: Sequence[str | CBlock | ModelOutputThunk[Any]] | None = None,
        grounding_context: Mapping[str, Any] | None = None,
        user_variables: Mapping[str, Any] | None = None,
        prefix: str | None = None,
        output_prefix: str | None = None,
        strategy: SamplingStrategy,
        return_sampling_results: Literal[False] = ...,
        format: type[pydantic.BaseModel] | Mapping[str, Any] | None = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
        await_result: bool = ...,
    ) -> ComputedModelOutputThunk[str]: ...
    @overload
    async def ainstruct(
        self,
        description: str,
        *,
        images: list[Any] | None = None,
        requirements: Sequence[Requirement | str] | None = None,
        icl_examples: Sequence[str | CBlock | ModelOutputThunk[Any]] | None = None,
        grounding_context: Mapping[str, Any] | None = None,
        user_variables: Mapping[str, Any] | None = None,
        prefix: str | None = None,
        output_prefix: str | None = None,
        strategy: None = ...,
        return_sampling_results: Literal[False] = ...,
        format: type[pydantic.BaseModel] | Mapping[str, Any] | None = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
        await_result: Literal[False] = ...,
    ) -> ModelOutputThunk[str]: ...
    @_implicit.with_portal
    async def ainstruct(self, description: str, **options: Any) -> Any:
        """Give the model a task; see `motet.MelleaSession.ainstruct`."""
        _async_calls.warn_of(self.ctx)
        answer: Any = await super().ainstruct(description, **waiting(options))
        return self._theirs(answer, default="strategy" not in options)

    @overload  # type: ignore[override]
    async def aact(
        self,
        action: Component[S],
        *,
        requirements: Sequence[Requirement | str] | None = None,
        strategy: SamplingStrategy | None = ...,
        return_sampling_results: Literal[True],
        format: type[pydantic.BaseModel] | Mapping[str, Any] | None = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
        await_result: bool = ...,
    ) -> SamplingResult[S]: ...
    @overload
    async def aact(
        self,
        action: Component[S],
        *,
        requirements: Sequence[Requirement | str] | None = None,
        strategy: SamplingStrategy | None = ...,
        return_sampling_results: Literal[False] = ...,
        format: type[pydantic.BaseModel] | Mapping[str, Any] | None = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
        await_result: Literal[True],
    ) -> ComputedModelOutputThunk[S]: ...
    @overload
    async def aact(
        self,
        action: Component[S],
        *,
        requirements: Sequence[Requirement | str] | None = None,
        strategy: SamplingStrategy,
        return_sampling_results: Literal[False] = ...,
        format: type[pydantic.BaseModel] | Mapping[str, Any] | None = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
        await_result: bool = ...,
    ) -> ComputedModelOutputThunk[S]: ...
    @overload
    async def aact(
        self,
        action: Component[S],
        *,
        requirements: Sequence[Requirement | str] | None = None,
        strategy: None = ...,
        return_sampling_results: Literal[False] = ...,
        format: type[pydantic.BaseModel] | Mapping[str, Any] | None = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
        await_result: Literal[False] = ...,
    ) -> ModelOutputThunk[S]: ...
    @_implicit.with_portal
    async def aact(self, action: Component[Any], **options: Any) -> Any:
        """Say a component to the model; see `motet.MelleaSession.aact`."""
        _async_calls.warn_of(self.ctx)
        answer: Any = await super().aact(action, **waiting(options))
        return self._theirs(answer, default="strategy" not in options)

    @_implicit.with_portal
    async def achat(self, content: str, role: str = "user", **options: Any) -> Message:
        """Say something to the model and wait for its answer; see `motet.MelleaSession.achat`."""
        _async_calls.warn_of(self.ctx)
        return await super().achat(content, role, **options)

    @overload
    async def aquery(
        self,
        obj: Any,
        query: str,
        *,
        format: type[pydantic.BaseModel] | Mapping[str, Any] | None = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
        await_result: Literal[True],
    ) -> ComputedModelOutputThunk[Any]: ...
    @overload
    async def aquery(
        self,
        obj: Any,
        query: str,
        *,
        format: type[pydantic.BaseModel] | Mapping[str, Any] | None = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
        await_result: Literal[False] = ...,
    ) -> ModelOutputThunk[Any]: ...
    @_implicit.with_portal
    async def aquery(self, obj: Any, query: str, **options: Any) -> Any:
        """Ask about an object; see `motet.MelleaSession.aquery`."""
        _async_calls.warn_of(self.ctx)
        return self._theirs(await super().aquery(obj, query, **options), default=False)

    if TYPE_CHECKING:
        # What an object reads an answer as is for its class to say.
        def query(
            self,
            obj: Any,
            query: str,
            *,
            format: type[pydantic.BaseModel] | Mapping[str, Any] | None = None,
            model_options: Mapping[str, Any] | None = None,
            tool_calls: bool = False,
        ) -> ComputedModelOutputThunk[Any]:
            """Ask about an object; see `motet.MelleaSession.query`."""

    @_implicit.with_portal
    async def atransform(self, obj: Any, transformation: str, **options: Any) -> Any:
        """Have an object changed; see `motet.MelleaSession.atransform`."""
        _async_calls.warn_of(self.ctx)
        return await super().atransform(obj, transformation, **options)

    def _theirs(self, answer: Any, *, default: bool) -> Any:
        """Return an answer of motet's as one of this path; the same object."""
        if not isinstance(answer, motet.ModelOutputThunk):
            return answer
        if not (self.implicit_wait and _implicit.allowed()):
            return become(answer, ExplicitThunk)
        return become(answer, DefaultThunk if default else WaitingThunk)


# One by one they would repeat the types of motet's, which stay.
for _name in ("instruct", "act", "chat", "query", "transform"):
    setattr(MelleaSession, _name, _async_calls.blocking(getattr(motet.MelleaSession, _name)))


def waiting(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a call, which is waited for if it has a strategy of the caller's."""
    if options.get("strategy") is None or options.get("return_sampling_results"):
        return options
    return {**options, "await_result": True}


def start_session(
    backend_name: str = "ollama",
    model_id: str | ModelIdentifier = IBM_GRANITE_4_1_3B,
    ctx: Context | None = None,
    *,
    context_type: Literal["simple", "chat"] | None = None,
    model_options: Mapping[str, Any] | None = None,
    plugins: Any = None,
    implicit_wait: bool = True,
    linger: float = LINGER,
    **backend_kwargs: Any,
) -> MelleaSession:
    """Return a session; see `motet.start_session`. Nothing is opened, sent or awaited.

    Args:
        backend_name: which kind of server, ``"ollama"`` or ``"openai"``.
        model_id: which model, as the server calls it, or an identifier.
        ctx: what was said before; an empty `SimpleContext` without it.
        context_type: the kind of an empty context, instead of *ctx*.
        model_options: options for every call.
        plugins: left out; anything but nothing is refused.
        implicit_wait: whether ``str(reply)`` waits for a reply that is on its way.
        linger: for how long a generation goes on after the last one who waited for it has
            gone, in seconds.
        backend_kwargs: for the backend, such as ``base_url``.

    Raises:
        ValueError: both contexts are given, or there is no such kind of context.
        ImportError: the backend is left out, or *plugins* were given.
        Exception: there is no such backend.
    """
    if plugins:
        raise ImportError("plugins are left out: motet has none; start the session without them")
    context, backend = start_backend(
        backend_name,
        _name_of(model_id, backend_name),
        made_context(ctx, context_type),
        model_options=model_options,
        **backend_kwargs,
    )
    MelleaLogger.get_logger().info(
        "Starting Mellea session: backend=%s, model=%s, context=%s%s",
        backend_name,
        backend.model_id,
        type(context).__name__,
        f", model_options={dict(model_options)}" if model_options else "",
    )
    return MelleaSession(backend, context, implicit_wait=implicit_wait, linger=linger)


def _name_of(model_id: str | ModelIdentifier, backend_name: str) -> str:
    if not isinstance(model_id, ModelIdentifier):
        return model_id
    own = model_id.ollama_name if backend_name == "ollama" else model_id.openai_name
    return own or model_id.hf_model_name or str(model_id)
