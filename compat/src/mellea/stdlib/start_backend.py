"""From names to a backend and a context."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, overload

from motet import ChatContext, Context, ModelIdentifier, SimpleContext
from motet.model_ids import IBM_GRANITE_4_1_3B

from ..backends.ollama import OllamaModelBackend

if TYPE_CHECKING:
    from ..backends.openai import OpenAIBackend
    from ..core.backend import Backend

__all__ = ["backend_name_to_class", "start_backend"]

ContextT = TypeVar("ContextT", bound=Context)

_EXTRAS: Final = ("hf", "huggingface", "watsonx", "litellm")


def backend_name_to_class(name: str) -> type[Backend] | None:
    """Return the class of backends of that name; None if there is none.

    Raises:
        ImportError: there is one in mellea, and not here.
    """
    if name in _EXTRAS:
        raise ImportError(
            f"the '{name}' backend is left out: motet talks to Ollama, and with 'openai' and "
            "base_url= to every server that speaks OpenAI's protocol"
        )
    if name == "openai":
        from ..backends.openai import OpenAIBackend

        return OpenAIBackend
    return OllamaModelBackend if name == "ollama" else None


@overload
def start_backend(
    backend_name: Literal["openai"],
    model_id: str | ModelIdentifier = ...,
    ctx: None = None,
    *,
    context_type: Literal["chat"],
    model_options: Mapping[str, Any] | None = None,
    **backend_kwargs: Any,
) -> tuple[ChatContext, OpenAIBackend]: ...
@overload
def start_backend(
    backend_name: Literal["openai"],
    model_id: str | ModelIdentifier = ...,
    ctx: None = None,
    *,
    context_type: Literal["simple"] | None = None,
    model_options: Mapping[str, Any] | None = None,
    **backend_kwargs: Any,
) -> tuple[SimpleContext, OpenAIBackend]: ...
@overload
def start_backend(
    backend_name: Literal["openai"],
    model_id: str | ModelIdentifier = ...,
    *,
    ctx: ContextT,
    model_options: Mapping[str, Any] | None = None,
    **backend_kwargs: Any,
) -> tuple[ContextT, OpenAIBackend]: ...
@overload
def start_backend(
    backend_name: Literal["ollama"] = ...,
    model_id: str | ModelIdentifier = ...,
    ctx: None = None,
    *,
    context_type: Literal["chat"],
    model_options: Mapping[str, Any] | None = None,
    **backend_kwargs: Any,
) -> tuple[ChatContext, OllamaModelBackend]: ...
@overload
def start_backend(
    backend_name: Literal["ollama"] = ...,
    model_id: str | ModelIdentifier = ...,
    ctx: None = None,
    *,
    context_type: Literal["simple"] | None = None,
    model_options: Mapping[str, Any] | None = None,
    **backend_kwargs: Any,
) -> tuple[SimpleContext, OllamaModelBackend]: ...
@overload
def start_backend(
    backend_name: Literal["ollama"] = ...,
    model_id: str | ModelIdentifier = ...,
    *,
    ctx: ContextT,
    model_options: Mapping[str, Any] | None = None,
    **backend_kwargs: Any,
) -> tuple[ContextT, OllamaModelBackend]: ...
@overload
def start_backend(
    backend_name: str,
    model_id: str | ModelIdentifier = ...,
    ctx: Context | None = None,
    *,
    context_type: Literal["simple", "chat"] | None = None,
    model_options: Mapping[str, Any] | None = None,
    **backend_kwargs: Any,
) -> tuple[Context, Backend]: ...
def start_backend(
    backend_name: str = "ollama",
    model_id: str | ModelIdentifier = IBM_GRANITE_4_1_3B,
    ctx: Context | None = None,
    *,
    context_type: Literal["simple", "chat"] | None = None,
    model_options: Mapping[str, Any] | None = None,
    **backend_kwargs: Any,
) -> tuple[Context, Backend]:
    """Return a context and a backend. Nothing is opened, sent or awaited.

    Args:
        backend_name: which kind of server, ``"ollama"`` or ``"openai"``.
        model_id: which model, as the server calls it, or an identifier.
        ctx: what was said before; an empty `SimpleContext` without it.
        context_type: the kind of an empty context, instead of *ctx*.
        model_options: options for every call.
        backend_kwargs: for the backend, such as ``base_url``.

    Raises:
        ValueError: both contexts are given, or there is no such kind of context.
        ImportError: the backend is left out.
        Exception: there is no such backend.
    """
    context = made_context(ctx, context_type)
    cls: Any = backend_name_to_class(backend_name)
    if cls is None:
        raise UnknownBackend(
            f"Backend name {backend_name} unknown. Valid options are: `ollama`, `openai`."
        )
    return context, cls(model_id, model_options=model_options, **backend_kwargs)


class UnknownBackend(ValueError):
    """There is no backend of that name."""


def made_context(ctx: Context | None, context_type: str | None) -> Context:
    """Return the context that a call asks for.

    Raises:
        ValueError: it asks for two, or for one of no known kind.
    """
    if ctx is not None and context_type is not None:
        raise ValueError("Cannot specify both 'ctx' and 'context_type'.")
    match context_type:
        case None:
            return SimpleContext() if ctx is None else ctx
        case "simple":
            return SimpleContext()
        case "chat":
            return ChatContext()
        case _:
            raise ValueError(f"context_type should be 'simple' or 'chat', not {context_type!r}")
