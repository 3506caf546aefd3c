"""Compaction: which entries of a conversation go on being said.

A compactor takes a context and returns a shorter one; it changes nothing. What runs
inside `ChatContext.add` is an `InlineCompactor`: it neither waits nor talks to a model,
and what it decides may depend on nothing but the entries.

Answers that are still on their way are never dropped and never waited for: a window
ends before the oldest of them, and moves on with the next entry that is added, or the
next prompt that is made, after they have arrived.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio.lowlevel

from .._thunk.thunk import ModelOutputThunk
from .context import Context, is_pending, whole_number
from .message import Message

if TYPE_CHECKING:
    from ..backends.base import Backend

C = TypeVar("C", bound=Context)

PinPredicate = Callable[[Sequence[Any]], int]
"""Is given the entries, oldest first, and returns how many of the first to keep for good."""

# Of a server that never reports usage, a long conversation must not be searched each time.
_USAGE_LOOK_BACK: Final = 64  # entries


def pin_nothing(entries: Sequence[Any]) -> int:
    """Pin no entry."""
    return 0


def pin_system(entries: Sequence[Any]) -> int:
    """Pin the system messages at the beginning."""
    return next(
        (index for index, entry in enumerate(entries) if not _is_from(entry, "system")),
        len(entries),
    )


def pin_system_and_initial_user(entries: Sequence[Any]) -> int:
    """Pin the system messages at the beginning and the user message that follows them."""
    system = pin_system(entries)
    return system + (system < len(entries) and _is_from(entries[system], "user"))


def _is_from(entry: Any, role: str) -> bool:
    return isinstance(entry, Message) and entry.role == role


class Compactor(ABC):
    """Makes a conversation shorter; the base of all compactors."""

    @abstractmethod
    def compact(self, ctx: C, *, backend: Backend | None = None) -> C:
        """Return a shorter context, or *ctx* itself if there is nothing to do.

        Make the new one with `Context.with_entries`, so that it can be merged.

        Args:
            ctx: the conversation; it stays as it is.
            backend: a model to use, for compactors that need one.
        """

    async def acompact(self, ctx: C, *, backend: Backend | None = None) -> C:
        """Do what `compact` does, from async code. Always a checkpoint.

        A turn that is added to a session meanwhile is no part of the result; keep it with
        ``session.ctx = (await compactor.acompact(session.ctx)).merge(session.ctx)``.
        """
        await anyio.lowlevel.checkpoint()
        return self.compact(ctx, backend=backend)


class InlineCompactor(Compactor):
    """A compactor that `ChatContext.add` may run: quick, and without a model.

    It runs whenever an entry is added and a prompt is made. A result that lacks an answer
    which is still on its way is not used; the compactor is asked again the next time.
    """


class WindowCompactor(InlineCompactor):
    """Keeps the beginning that is pinned, and the newest entries.

    Args:
        size: how many entries to keep beside the pinned ones; 0 keeps only those.
        pin_predicate: says how many entries at the beginning are pinned.

    Raises:
        TypeError, ValueError: *size* is not a whole number from 0, or *pin_predicate* cannot be
            called.
    """

    def __init__(self, *, size: int, pin_predicate: PinPredicate = pin_system) -> None:
        self.size: Final = whole_number("the size of a WindowCompactor", size, at_least=0)
        self.pin_predicate: Final = check_pin_predicate(pin_predicate)

    def compact(self, ctx: C, *, backend: Backend | None = None) -> C:
        """Return *ctx* without what is older than the window, or *ctx* itself."""
        if ctx.is_held_back():
            return ctx
        entries = ctx.entries()
        pinned = pinned_count(self.pin_predicate, [entry.data for entry in entries])
        end = max(pinned, len(entries) - self.size)
        held = next((each for each in range(pinned, end) if is_pending(entries[each].data)), None)
        if held is not None:
            end = held
        # An answer that is on its way is one turn with what it answers.
        if (
            pinned < end < len(entries)
            and is_pending(entries[end].data)
            and entries[end].answers is entries[end - 1]
        ):
            end -= 1
        compacted = ctx
        if end > pinned:
            compacted = ctx.with_entries([*entries[:pinned], *entries[end:]])
        if held is not None:
            compacted.hold_back_for(entries[held].data)
        return compacted

    def __repr__(self) -> str:
        return f"WindowCompactor(size={self.size})"


class ThresholdCompactor(InlineCompactor):
    """Compacts with another compactor once the conversation has grown too large.

    What counts is the usage that the server reported with the newest answer that has one,
    among the last 64 entries: prompt and completion together.

    Args:
        inner: what compacts. For a `ChatContext` it must be an `InlineCompactor` itself.
        threshold: the number of tokens above which it does; 0 or less for never.

    Raises:
        TypeError: *inner* is no compactor, or *threshold* no whole number.
    """

    def __init__(self, inner: Compactor, *, threshold: int) -> None:
        if not isinstance(inner, Compactor):
            raise TypeError(f"inner should be a Compactor, not {type(inner).__name__}")
        if not isinstance(threshold, int) or isinstance(threshold, bool):
            raise TypeError(f"threshold should be a whole number of tokens, not {threshold!r}")
        self.inner: Final = inner
        self.threshold: Final = threshold

    def compact(self, ctx: C, *, backend: Backend | None = None) -> C:
        """Return what the inner compactor makes of *ctx*, or *ctx* itself below the threshold."""
        return self.inner.compact(ctx, backend=backend) if self._exceeded(ctx) else ctx

    async def acompact(self, ctx: C, *, backend: Backend | None = None) -> C:
        """Do what `compact` does, from async code. Always a checkpoint."""
        await anyio.lowlevel.checkpoint()
        return await self.inner.acompact(ctx, backend=backend) if self._exceeded(ctx) else ctx

    def _exceeded(self, ctx: Context) -> bool:
        if self.threshold <= 0:
            return False
        for entry in reversed(ctx.as_list(_USAGE_LOOK_BACK)):
            if isinstance(entry, ModelOutputThunk) and entry.generation.usage:
                return _total(entry.generation.usage) > self.threshold
        return False

    def __repr__(self) -> str:
        return f"ThresholdCompactor({self.inner!r}, threshold={self.threshold})"


def is_inline(compactor: object) -> bool:
    """Whether *compactor* neither waits nor talks to a model."""
    if isinstance(compactor, ThresholdCompactor):
        return is_inline(compactor.inner)
    return isinstance(compactor, InlineCompactor)


def check_pin_predicate(pin_predicate: object) -> PinPredicate:
    """Return *pin_predicate*.

    Raises:
        TypeError: it cannot be called.
    """
    if not callable(pin_predicate):
        raise TypeError(
            "pin_predicate should be a function of the entries that returns how many to pin, "
            f"not {type(pin_predicate).__name__}"
        )
    return pin_predicate


def pinned_count(pin_predicate: PinPredicate, entries: Sequence[Any]) -> int:
    """Return how many entries at the beginning are pinned, at most all of them."""
    return max(0, min(pin_predicate(entries), len(entries)))


def _total(usage: dict[str, Any]) -> int:
    total = usage.get("total_tokens")
    if total is None:
        total = (usage.get("prompt_tokens") or 0) + (usage.get("completion_tokens") or 0)
    return int(total)
