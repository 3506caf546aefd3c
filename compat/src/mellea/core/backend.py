"""`Backend`: what talks to a model, as programs written for mellea derive from it.

A backend of such a program says with `_generate_from_context` how a reply comes about, and
returns a thunk and the context. Whatever motet does around a generation (waiting for
inputs, laziness, cancellation, logs) is done around that, too.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import pydantic

import motet
from motet import CBlock, Component, Context, ModelOutputThunk

from .thunk import begin_if_fed

if TYPE_CHECKING:
    from motet import ChatMessage, Reply, Request

__all__ = ["Backend", "BaseModelSubclass", "generate_walk"]

BaseModelSubclass = TypeVar("BaseModelSubclass", bound=pydantic.BaseModel)


class Backend(motet.Backend):
    """Talks to a model; the base of all backends of this path.

    A subclass overrides `_generate_from_context`, and `_generate_from_raw` if its model can
    continue texts as they are. It need not call ``super().__init__()``; ``_model_id`` and
    ``_provider`` say what it talks to.
    """

    _provider: str = "unknown"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Programs call this with nothing, or not at all; what motet looks for is found by
        # `__getattr__`.
        pass

    def __getattr__(self, name: str) -> Any:
        match name:
            case "model_id":
                return vars(self).get("_model_id")
            case "_model_id":
                return vars(self).get("model_id")
            case "formatter":
                from ..formatters.template_formatter import TemplateFormatter

                self.__dict__["formatter"] = TemplateFormatter(str(self.model_id or ""))
                return self.__dict__["formatter"]
            case "model_options":
                return {}
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @abc.abstractmethod
    async def _generate_from_context(
        self,
        action: Any,
        ctx: Context,
        *,
        format: Any = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
    ) -> tuple[ModelOutputThunk[Any], Context]:
        """Start a generation; return its thunk, computed or not, and the context with both."""

    async def _generate_from_raw(
        self,
        actions: Sequence[Any],
        ctx: Context,
        *,
        format: Any = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
    ) -> tuple[list[ModelOutputThunk[Any]], dict[str, Any] | None]:
        """Have texts continued as they are; return the computed thunks, and what they cost."""
        raise NotImplementedError(f"{type(self).__name__} cannot continue a text as it is")

    async def generate_from_context(
        self,
        action: Any,
        ctx: Any,
        *,
        format: Any = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
    ) -> tuple[ModelOutputThunk[Any], Any]:
        """Start a generation; return its thunk and the context with both added."""
        await self.do_generate_walk(action)
        thunk, context = await self._generate_from_context(
            action, ctx, format=format, model_options=model_options, tool_calls=tool_calls
        )
        if thunk.is_computed():
            _read(thunk, action)
        begin_if_fed(thunk)
        return thunk, context

    async def generate_from_raw(
        self,
        actions: Sequence[Any],
        ctx: Context | None = None,
        *,
        format: Any = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
    ) -> list[ModelOutputThunk[Any]]:
        """Have texts continued as they are; return the replies, computed, in order."""
        await self.do_generate_walks(list(actions))
        thunks, _ = await self._generate_from_raw(
            actions,
            motet.SimpleContext() if ctx is None else ctx,
            format=format,
            model_options=model_options,
            tool_calls=tool_calls,
        )
        return thunks

    async def do_generate_walk(self, action: Any) -> None:
        """Wait for the pending replies that an action consists of."""
        await self.do_generate_walks([action])

    async def do_generate_walks(self, actions: Sequence[Any]) -> None:
        """Wait for the pending replies that actions consist of, all at the same time."""
        await motet.wait_for_all_mots(
            [each for action in actions for each in generate_walk(action)]
        )

    def begin(self, action: Any, ctx: Context, **options: Any) -> ModelOutputThunk[Any]:
        """Start a generation for a session; see `motet.Backend.begin`."""
        return _OneCall(self, action, ctx, **options).thunk

    async def reply(self, request: Request, reply: Reply) -> None:
        """Never called: `begin` makes replies of what `_generate_from_context` returns."""
        raise NotImplementedError


class _OneCall(motet.Backend):
    """Makes a reply of what a backend's `_generate_from_context` returns, once."""

    def __init__(
        self,
        backend: Backend,
        action: Any,
        ctx: Context,
        *,
        format: Any = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
        **life: Any,
    ) -> None:
        super().__init__(str(backend.model_id or "unknown"), formatter=backend.formatter)
        self._backend = backend
        self._call = (action, ctx)
        self._options = {
            "format": format,
            "model_options": None if model_options is None else dict(model_options),
            "tool_calls": tool_calls,
        }
        self.provider = backend._provider  # type: ignore[misc]  # one backend for one call
        self.thunk: ModelOutputThunk[Any] = self.begin(
            action, ctx, model_options=model_options, **life
        )

    def normalised(self, model_options: Mapping[str, Any] | None) -> dict[str, Any]:
        return dict(model_options or {})

    def to_messages(self, entries: Sequence[Any]) -> Sequence[ChatMessage]:
        return ()  # the backend puts everything into words itself

    async def reply(self, request: Request, reply: Reply) -> None:
        action, ctx = self._call
        theirs, _ = await self._backend._generate_from_context(action, ctx, **self._options)
        async with theirs:
            if theirs.is_computed():
                reply.feed(theirs.value or "")
            else:
                async for delta in theirs:
                    reply.feed(delta)
                await theirs
        motet.show_facts(theirs, self.thunk)
        self.thunk.generation.model = theirs.generation.model or self.model_id
        self.thunk.generation.provider = theirs.generation.provider or self._backend._provider


class LookAlike(Backend):
    """Stands in for something that answers as a backend does and is none, such as a mock.

    Attributes:
        inner: what it stands in for.
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self._model_id = getattr(inner, "model_id", None)
        self._provider = str(getattr(inner, "_provider", type(inner).__name__))

    async def _generate_from_context(
        self, action: Any, ctx: Context, **options: Any
    ) -> tuple[ModelOutputThunk[Any], Context]:
        thunk, context = await self.inner.generate_from_context(action, ctx, **options)
        return thunk, context

    async def _generate_from_raw(
        self, actions: Sequence[Any], ctx: Context, **options: Any
    ) -> tuple[list[ModelOutputThunk[Any]], dict[str, Any] | None]:
        return await self.inner.generate_from_raw(actions, ctx, **options), None


def as_backend(backend: Any) -> Any:
    """Return a backend, or one that stands in for what answers as a backend does."""
    if not isinstance(backend, motet.Backend) and hasattr(backend, "generate_from_context"):
        return LookAlike(backend)
    return backend


def _read(thunk: ModelOutputThunk[Any], action: Any) -> None:
    if thunk.parsed_repr is None:
        is_component = isinstance(action, Component)
        thunk.parsed_repr = action.parse(thunk) if is_component else thunk.value


def generate_walk(c: Any) -> list[ModelOutputThunk[Any]]:
    """Return the pending replies that something to be said consists of, depth first.

    Raises:
        ValueError: a part is neither a block, a component nor a reply.
    """
    return list(_walk(c))


def _walk(c: Any) -> Iterable[ModelOutputThunk[Any]]:
    match c:
        case ModelOutputThunk():
            if not c.is_computed():
                yield c
        case CBlock():
            pass
        case Component():
            for part in c.parts():
                yield from _walk(part)
        case _:
            raise ValueError(
                f"{str(c)[:10]!r} of type {type(c)} is neither a block, a component nor a reply"
            )
