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
from motet.functional import query as query
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
    # The types are motet's: what is added here changes none of them.
    from motet.functional import aact as aact
    from motet.functional import achat as achat
    from motet.functional import ainstruct as ainstruct
    from motet.functional import aquery as aquery
    from motet.functional import atransform as atransform
else:

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
