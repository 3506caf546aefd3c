"""From names to a session: which backend, which model, which context."""

import importlib
import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Literal, NoReturn

from .._language.chat_context import ChatContext
from .._language.context import Context, SimpleContext
from .._thunk.generation import DEFAULT_LINGER
from .._values.model_ids import IBM_GRANITE_4_1_3B, ModelIdentifier
from ..backends.base import Backend
from .session import MelleaSession

_log: Final = logging.getLogger("motet")

# Imported when a session asks for one: each knows a protocol that most programs do not speak.
_BACKENDS: Final[Mapping[str, tuple[str, str]]] = {
    "ollama": ("..backends.ollama", "OllamaModelBackend"),
    "openai": ("..backends.openai", "OpenAIBackend"),
}
# Known to programs written for mellea, and not offered here.
_NOT_OFFERED: Final = ("hf", "huggingface", "watsonx", "litellm")
_CONTEXTS: Final[Mapping[str, type[Context]]] = {"simple": SimpleContext, "chat": ChatContext}


def start_session(
    backend_name: str | Backend = "ollama",
    model_id: str | ModelIdentifier = IBM_GRANITE_4_1_3B,
    ctx: Context | None = None,
    *,
    context_type: Literal["simple", "chat"] | None = None,
    model_options: Mapping[str, Any] | None = None,
    plugins: object = None,
    linger: float = DEFAULT_LINGER,
    **backend_kwargs: Any,
) -> MelleaSession:
    """Return a session. Nothing is opened, sent or awaited, and no thread is started.

    What the session starts ends with the event loop it was started on; `open_session`
    ends it with a block.

    Args:
        backend_name: which kind of server, ``"ollama"`` or ``"openai"``; or a backend that is used as it is.
        model_id: which model, as the server calls it.
        ctx: what was said before; an empty `SimpleContext` without it.
        context_type: the kind of an empty context, instead of *ctx*.
        model_options: options for every call, see `ModelOption`.
        plugins: not supported; anything but nothing is refused.
        linger: for how long a generation goes on after the last one who waited for it has
            gone, in seconds; 0 stops it at once, ``math.inf`` never.
        backend_kwargs: for the backend, such as ``base_url``.

    Raises:
        ValueError: there is no such backend or context, or both contexts are given.
        TypeError: the backend does not know one of *backend_kwargs*.
        ImportError: *plugins* were given.
    """
    if plugins:
        raise ImportError("plugins are not supported by motet; start the session without them")
    return MelleaSession(
        _backend(backend_name, model_id, model_options, backend_kwargs),
        _context(ctx, context_type),
        linger=linger,
    )


class open_session:  # noqa: N801 - reads as the function it is used as
    """A session for the length of a block: ``async with open_session() as m:``.

    When the block is left, by its end, an error or a cancellation, every request of the
    session has been closed and every task of it has unwound. The arguments and errors
    are those of `start_session`.
    """

    # No task group and no cancel scope is open while the block runs: what the session
    # starts are tasks of the event loop, so the block may be left from another task.

    def __init__(
        self,
        backend_name: str | Backend = "ollama",
        model_id: str | ModelIdentifier = IBM_GRANITE_4_1_3B,
        ctx: Context | None = None,
        *,
        context_type: Literal["simple", "chat"] | None = None,
        model_options: Mapping[str, Any] | None = None,
        plugins: object = None,
        linger: float = DEFAULT_LINGER,
        **backend_kwargs: Any,
    ) -> None:
        self._session = start_session(
            backend_name,
            model_id,
            ctx,
            context_type=context_type,
            model_options=model_options,
            plugins=plugins,
            linger=linger,
            **backend_kwargs,
        )

    async def __aenter__(self) -> MelleaSession:
        return await self._session.__aenter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._session.__aexit__(exc_type, exc, traceback)

    def __enter__(self) -> NoReturn:
        raise TypeError(
            "open_session() is for `async with`; without await, use `with start_session() as m:`"
        )

    def __exit__(self, *_: object) -> None:
        """Never reached; there for the message of `__enter__`."""


def _backend(
    name: str | Backend,
    model_id: str | ModelIdentifier,
    model_options: Mapping[str, Any] | None,
    kwargs: Mapping[str, Any],
) -> Backend:
    if isinstance(name, Backend):
        if kwargs or model_options:
            extra = ", ".join([*kwargs, *(["model_options"] if model_options else [])])
            raise TypeError(f"{extra}: give these to the backend, which exists already")
        return name
    place = _BACKENDS.get(name) if isinstance(name, str) else None
    if place is None:
        offered = ", ".join(f"`{each}`" for each in _BACKENDS)
        if name in _NOT_OFFERED:
            raise ValueError(f"motet has no backend for {name!r}; it has {offered}")
        raise ValueError(f"there is no backend {name!r}; valid names are {offered}")
    if not isinstance(model_id, str | ModelIdentifier):
        raise TypeError(
            f"model_id should be a string or a ModelIdentifier, not {type(model_id).__name__}"
        )
    module, class_name = place
    cls: type[Backend] = getattr(importlib.import_module(module, __package__), class_name)
    try:
        return cls(model_id, model_options=model_options, **kwargs)  # type: ignore[arg-type]
    except TypeError as exc:
        if "unexpected keyword argument" in str(exc):
            unknown = str(exc).rpartition("argument ")[2]
            raise TypeError(
                f"neither start_session nor {cls.__name__} knows the option {unknown}"
            ) from exc
        raise


def _context(ctx: Context | None, kind: str | None) -> Context:
    if ctx is not None and kind is not None:
        raise ValueError("Cannot specify both 'ctx' and 'context_type'.")
    if kind is None:
        return SimpleContext() if ctx is None else ctx
    if kind not in _CONTEXTS:
        raise ValueError(f"context_type should be one of {', '.join(_CONTEXTS)}, not {kind!r}")
    return _CONTEXTS[kind]()
