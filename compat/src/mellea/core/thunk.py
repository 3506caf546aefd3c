"""The thunk of the mellea path: `str()` waits, and programs may feed it by a queue.

`ModelOutputThunk` is motet's thunk with other answers to a few questions, and no state of its own: a thunk
that motet made becomes one by changing its class, as it becomes a
`ComputedModelOutputThunk`, so the object that a program holds is the one that stands in the
session's context. Whatever thunk it is, ``isinstance(thunk, ModelOutputThunk)`` is true.
"""

from collections.abc import AsyncIterator, Generator
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio

import motet
from motet import ComputedModelOutputThunk as ComputedModelOutputThunk

from .. import _implicit
from .feed import Call, Feed, call_of, fed, feed_of

S = TypeVar("S")


class _AnyThunk(type):
    """The class of `ModelOutputThunk`, for which every thunk of motet is an instance."""

    def __instancecheck__(cls, instance: object) -> bool:
        if cls is WaitingThunk:
            return isinstance(instance, motet.ModelOutputThunk)
        return super().__instancecheck__(instance)


class WaitingThunk(motet.ModelOutputThunk[S], metaclass=_AnyThunk):
    """The output of a model, which may still be on its way; `str` of it waits in place.

    See `motet.ModelOutputThunk`. Waiting in place needs a task that has called an async
    method of a session before; elsewhere `str` of a pending thunk raises a `RuntimeError`.
    """

    __slots__ = ()

    def __str__(self) -> str:
        """Return the text, waiting for it in place where that is possible.

        Raises:
            PendingReplyError: it is not complete, and this task cannot wait in place.
            BackendError, GenerationCancelled, DependencyError: as `avalue`.
        """
        begin_if_fed(self)
        if _pending(self) and _implicit.can_wait():
            return _implicit.wait(self.avalue())
        return super().__str__()

    # Fed by a queue: see `feed`.

    @property
    def _gen(self) -> Feed:
        return feed_of(self)

    @property
    def _call(self) -> Call:
        return call_of(self)

    @property
    def _underlying_value(self) -> str | None:
        feed = fed(self)
        return self.value_now if feed is None or feed.text is None else feed.text

    @_underlying_value.setter
    def _underlying_value(self, text: str | None) -> None:
        feed_of(self).text = text

    @property
    def _generate_log(self) -> motet.GenerateLog | None:
        return self.generate_log

    @_generate_log.setter
    def _generate_log(self, log: motet.GenerateLog | None) -> None:
        self.generate_log = log

    @property
    def _meta(self) -> dict[str, Any]:
        return self.meta

    @_meta.setter
    def _meta(self, meta: dict[str, Any] | None) -> None:
        self.meta = meta or {}

    @property
    def _error(self) -> Exception | None:
        return self.error

    @_error.setter
    def _error(self, error: Exception | None) -> None:
        self.error = error

    @property
    def _computed(self) -> bool:
        return self.is_computed()

    @property
    def _cancelled(self) -> bool:
        return self.cancelled

    @property
    def value_now(self) -> str | None:
        """The text once a consumer has learned the end, else None. Never waits."""
        return motet.ModelOutputThunk.value.fget(self)  # type: ignore[attr-defined,no-any-return]

    async def avalue(self) -> str:
        """Wait for the end of the reply and return its whole text; see `motet.ModelOutputThunk`."""
        begin_if_fed(self)
        return await super().avalue()

    def __await__(self) -> Generator[Any, Any, str]:
        return self.avalue().__await__()

    async def astream(self) -> str:
        """Return the text that arrived since the last call; see `motet.ModelOutputThunk`."""
        begin_if_fed(self)
        return await super().astream()

    def __aiter__(self) -> AsyncIterator[str]:
        """Iterate over the deltas as they arrive; see `motet.ModelOutputThunk`."""
        begin_if_fed(self)
        return super().__aiter__()

    async def cancel_generation(
        self, reason: str | BaseException | None = None, *, error: BaseException | None = None
    ) -> None:
        """Stop the request; see `motet.ModelOutputThunk`. Of a blank nothing will come, then."""
        begin_if_fed(self)
        if self.is_blank():
            _ = motet.fill_thunk(self, lambda _: anyio.sleep_forever())
        try:
            await super().cancel_generation(reason, error=error)
        finally:
            if (feed := fed(self)) is not None and self.cancelled:
                await feed.stop_tasks()


class ExplicitThunk(WaitingThunk[S]):
    """A thunk of a session that has ``implicit_wait=False``."""

    __slots__ = ()

    def __str__(self) -> str:
        """Return the text, or say why it is not there."""
        return motet.ModelOutputThunk.__str__(self)


class DefaultThunk(WaitingThunk[S]):
    """A thunk of a call with the default strategy, which is pending although its twin is not.

    Programs read its attributes right after the call, so these wait like `str`.
    """

    __slots__ = ()

    @property
    def value(self) -> str | None:
        """The text; waits for it in place if it has to.

        Raises:
            PendingReplyError, BackendError, GenerationCancelled, DependencyError: as `str`.
        """
        now = self.value_now
        return str(self) if now is None and _pending(self) else now

    @value.setter
    def value(self, value: str | None) -> None:
        motet.ModelOutputThunk.value.fset(self, value)  # type: ignore[attr-defined]


def _waiting(name: str) -> property:
    """Return a property in place of an attribute that is set when the reply ends.

    Unlike `value` it is None where nothing can wait: the reply's own task reads it, too.
    """
    slot: Any = getattr(motet.ModelOutputThunk, name)

    def read(thunk: DefaultThunk[Any]) -> Any:
        now = slot.__get__(thunk)
        if now is None and _pending(thunk) and _implicit.can_wait():
            _implicit.wait(thunk.avalue())
            now = slot.__get__(thunk)
        return now

    return property(read, slot.__set__, doc=f"As of `motet.ModelOutputThunk`; `{name}` waits.")


for _name in ("parsed_repr", "tool_calls", "generate_log", "sampling_result"):
    setattr(DefaultThunk, _name, _waiting(_name))

if TYPE_CHECKING:
    # To a type checker it is motet's, of which computed ones are a kind.
    from motet import ModelOutputThunk as ModelOutputThunk
else:
    ModelOutputThunk = WaitingThunk
    WaitingThunk.__name__ = WaitingThunk.__qualname__ = "ModelOutputThunk"

_CLASSES: Final = (motet.ModelOutputThunk, WaitingThunk)


def become(
    thunk: motet.ModelOutputThunk[S], cls: type[Any] = WaitingThunk
) -> motet.ModelOutputThunk[S]:
    """Have a thunk that motet made be one of the mellea path; the same object.

    One that is computed, or is of another class already, stays what it is.
    """
    if type(thunk) in _CLASSES and not thunk.is_computed():
        thunk.__class__ = cls
    return thunk


def begin_if_fed(thunk: motet.ModelOutputThunk[Any]) -> None:
    """Start to drain the queue on a thunk, if it has one. Not a checkpoint."""
    feed = fed(thunk)
    if feed is not None:
        feed.begin(thunk)


def _pending(thunk: motet.ModelOutputThunk[Any]) -> bool:
    return not thunk.is_settled() and not thunk.is_computed() and not thunk.is_blank()
