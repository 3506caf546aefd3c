"""Sessions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from motet import Context, ModelIdentifier
from motet import MelleaSession as MelleaSession
from motet import get_session as get_session
from motet.model_ids import IBM_GRANITE_4_1_3B

from ..core.utils import MelleaLogger
from .start_backend import backend_name_to_class as backend_name_to_class
from .start_backend import made_context, start_backend

__all__ = ["MelleaSession", "backend_name_to_class", "get_session", "start_session"]


def start_session(
    backend_name: str = "ollama",
    model_id: str | ModelIdentifier = IBM_GRANITE_4_1_3B,
    ctx: Context | None = None,
    *,
    context_type: Literal["simple", "chat"] | None = None,
    model_options: Mapping[str, Any] | None = None,
    plugins: Any = None,
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
    return MelleaSession(backend, context)


def _name_of(model_id: str | ModelIdentifier, backend_name: str) -> str:
    if not isinstance(model_id, ModelIdentifier):
        return model_id
    own = model_id.ollama_name if backend_name == "ollama" else model_id.openai_name
    return own or model_id.hf_model_name or str(model_id)
