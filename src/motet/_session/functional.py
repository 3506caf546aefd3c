"""The calls of a session as functions of a context and a backend.

They return what the session's method returns, and the context with the turn added:
``answer, context = await ainstruct("...", context, backend)``. What they start belongs to the
running event loop, or to the session in whose call they are made. The names without *a*
wait on the portal's event loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from .._language.component import Component
from .._language.context import Context, ContextT
from .._runtime.host import current_host
from .._runtime.owner import current_owner
from .blocking import run, waiting
from .session import MelleaSession

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Unpack

    from .._language.message import Message
    from .._language.requirement import Requirement, ValidationResult
    from .._language.schema import Format
    from .._programs.sampling.result import SamplingResult
    from .._thunk.thunk import ComputedModelOutputThunk, ModelOutputThunk
    from .._values.metadata import GenerateLog
    from ..backends.base import Backend
    from .calls import ActOptions, CallOptions, ChatOptions, InstructOptions, ToolOptions

S = TypeVar("S")


def _session(context: ContextT, backend: Backend) -> MelleaSession:
    """Return a session for one call, owned by whatever owns the caller.

    Raises:
        TypeError: *context* is no context, or *backend* no backend.
    """
    if not isinstance(context, Context):
        raise TypeError(
            f"context should be a Context, not {type(context).__name__}; "
            "the arguments end with the context and the backend, in this order"
        )
    session = MelleaSession(backend, context)
    host = current_host()
    owner = current_owner(host)
    if owner is not None:
        session._owners[host] = owner
    return session


@overload
async def ainstruct(
    description: str,
    context: ContextT,
    backend: Backend,
    *,
    return_sampling_results: Literal[True],
    await_result: bool = ...,
    **options: Unpack[InstructOptions],
) -> SamplingResult[str]: ...
@overload
async def ainstruct(
    description: str,
    context: ContextT,
    backend: Backend,
    *,
    await_result: Literal[True],
    return_sampling_results: Literal[False] = ...,
    **options: Unpack[InstructOptions],
) -> tuple[ComputedModelOutputThunk[str], ContextT]: ...
@overload
async def ainstruct(
    description: str,
    context: ContextT,
    backend: Backend,
    *,
    return_sampling_results: Literal[False] = ...,
    await_result: Literal[False] = ...,
    **options: Unpack[InstructOptions],
) -> tuple[ModelOutputThunk[str], ContextT]: ...
async def ainstruct(description: str, context: ContextT, backend: Backend, **options: Any) -> Any:
    """Give the model a task; see `MelleaSession.ainstruct`."""
    session = _session(context, backend)
    answer = await session.ainstruct(description, **options)
    return answer if options.get("return_sampling_results") else (answer, session.ctx)


@overload
async def aact(
    action: Component[S],
    context: ContextT,
    backend: Backend,
    *,
    return_sampling_results: Literal[True],
    await_result: bool = ...,
    **options: Unpack[ActOptions],
) -> SamplingResult[S]: ...
@overload
async def aact(
    action: Component[S],
    context: ContextT,
    backend: Backend,
    *,
    await_result: Literal[True],
    return_sampling_results: Literal[False] = ...,
    **options: Unpack[ActOptions],
) -> tuple[ComputedModelOutputThunk[S], ContextT]: ...
@overload
async def aact(
    action: Component[S],
    context: ContextT,
    backend: Backend,
    *,
    return_sampling_results: Literal[False] = ...,
    await_result: Literal[False] = ...,
    **options: Unpack[ActOptions],
) -> tuple[ModelOutputThunk[S], ContextT]: ...
async def aact(action: Component[Any], context: ContextT, backend: Backend, **options: Any) -> Any:
    """Say a component to the model; see `MelleaSession.aact`."""
    session = _session(context, backend)
    answer = await session.aact(action, **options)
    return answer if options.get("return_sampling_results") else (answer, session.ctx)


async def achat(
    content: str,
    context: ContextT,
    backend: Backend,
    *,
    role: str = "user",
    **options: Unpack[ChatOptions],
) -> tuple[Message, ContextT]:
    """Say something to the model and wait for its answer; see `MelleaSession.achat`."""
    session = _session(context, backend)
    answer = await session.achat(content, role, **options)
    return answer, session.ctx  # type: ignore[return-value]  # of the class it was made from


async def avalidate(
    reqs: Requirement | str | Sequence[Requirement | str],
    context: Context,
    backend: Backend,
    *,
    output: Any = None,
    format: Format = None,
    model_options: Mapping[str, Any] | None = None,
    generate_logs: list[GenerateLog | None] | None = None,
    input: Any = None,  # noqa: A002 - the documented name
) -> list[ValidationResult]:
    """Check an output by requirements; see `MelleaSession.avalidate`."""
    return await _session(context, backend).avalidate(
        reqs,
        output=output,
        format=format,
        model_options=model_options,
        generate_logs=generate_logs,
        input=input,
    )


@overload
async def aquery(
    obj: Any,
    query: str,
    context: ContextT,
    backend: Backend,
    *,
    await_result: Literal[True],
    **options: Unpack[ToolOptions],
) -> tuple[ComputedModelOutputThunk[str], ContextT]: ...
@overload
async def aquery(
    obj: Any,
    query: str,
    context: ContextT,
    backend: Backend,
    *,
    await_result: Literal[False] = ...,
    **options: Unpack[ToolOptions],
) -> tuple[ModelOutputThunk[str], ContextT]: ...
async def aquery(obj: Any, query: str, context: ContextT, backend: Backend, **options: Any) -> Any:
    """Ask about an object; see `MelleaSession.aquery`."""
    session = _session(context, backend)
    return await session.aquery(obj, query, **options), session.ctx


async def atransform(
    obj: Any,
    transformation: str,
    context: ContextT,
    backend: Backend,
    **options: Unpack[CallOptions],
) -> tuple[Any, ContextT]:
    """Have an object changed; see `MelleaSession.atransform`."""
    session = _session(context, backend)
    result = await session.atransform(obj, transformation, **options)
    return result, session.ctx  # type: ignore[return-value]  # of the class it was made from


@overload
def instruct(
    description: str,
    context: ContextT,
    backend: Backend,
    *,
    return_sampling_results: Literal[True],
    **options: Unpack[InstructOptions],
) -> SamplingResult[str]: ...
@overload
def instruct(
    description: str,
    context: ContextT,
    backend: Backend,
    *,
    return_sampling_results: Literal[False] = ...,
    **options: Unpack[InstructOptions],
) -> tuple[ComputedModelOutputThunk[str], ContextT]: ...
def instruct(description: str, context: ContextT, backend: Backend, **options: Any) -> Any:
    """Give the model a task and wait for its answer; see `MelleaSession.ainstruct`."""
    return run(ainstruct, description, context, backend, **waiting(options))


@overload
def act(
    action: Component[S],
    context: ContextT,
    backend: Backend,
    *,
    return_sampling_results: Literal[True],
    **options: Unpack[ActOptions],
) -> SamplingResult[S]: ...
@overload
def act(
    action: Component[S],
    context: ContextT,
    backend: Backend,
    *,
    return_sampling_results: Literal[False] = ...,
    **options: Unpack[ActOptions],
) -> tuple[ComputedModelOutputThunk[S], ContextT]: ...
def act(action: Component[Any], context: ContextT, backend: Backend, **options: Any) -> Any:
    """Say a component to the model and wait for the answer; see `MelleaSession.aact`."""
    return run(aact, action, context, backend, **waiting(options))


def chat(
    content: str,
    context: ContextT,
    backend: Backend,
    *,
    role: str = "user",
    **options: Unpack[ChatOptions],
) -> tuple[Message, ContextT]:
    """Say something to the model and wait for its answer; see `MelleaSession.achat`."""
    answer: tuple[Message, ContextT] = run(achat, content, context, backend, role=role, **options)
    return answer


def validate(
    reqs: Requirement | str | Sequence[Requirement | str],
    context: Context,
    backend: Backend,
    *,
    output: Any = None,
    format: Format = None,
    model_options: Mapping[str, Any] | None = None,
    generate_logs: list[GenerateLog | None] | None = None,
    input: Any = None,  # noqa: A002 - the documented name
) -> list[ValidationResult]:
    """Check an output by requirements; see `MelleaSession.avalidate`."""
    results: list[ValidationResult] = run(
        avalidate,
        reqs,
        context,
        backend,
        output=output,
        format=format,
        model_options=model_options,
        generate_logs=generate_logs,
        input=input,
    )
    return results


def query(
    obj: Any,
    query: str,
    context: ContextT,
    backend: Backend,
    **options: Unpack[ToolOptions],
) -> tuple[ComputedModelOutputThunk[str], ContextT]:
    """Ask about an object and wait for the answer; see `MelleaSession.aquery`."""
    answer: tuple[ComputedModelOutputThunk[str], ContextT] = run(
        aquery, obj, query, context, backend, **waiting(options)
    )
    return answer


def transform(
    obj: Any,
    transformation: str,
    context: ContextT,
    backend: Backend,
    **options: Unpack[CallOptions],
) -> tuple[Any, ContextT]:
    """Have an object changed; see `MelleaSession.atransform`."""
    result: tuple[Any, ContextT] = run(atransform, obj, transformation, context, backend, **options)
    return result
