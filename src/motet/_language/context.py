"""Contexts: what was said before, as an immutable chain of entries.

Adding returns a new context and leaves the old one as it was, so a conversation can
fork by simply keeping both. An entry is what was said or the thunk of the answer; a
turn whose answer failed or was cancelled is passed over when the chain is read.
"""

from collections.abc import Iterator
from typing import Any, ClassVar, Self, TypeVar

import attrs

from .._thunk.thunk import ModelOutputThunk

ContextT = TypeVar("ContextT", bound="Context")


@attrs.frozen
class ContextTurn:
    """The last thing said and the answer to it, either of which may be missing."""

    model_input: Any
    output: ModelOutputThunk[Any] | None


class Context:
    """A chain of entries; the base of the contexts that sessions use."""

    is_chat_context: ClassVar[bool] = False

    def __init__(self) -> None:
        self._previous: Self | None = None
        self._data: Any = None
        self._depth = 0

    @property
    def is_root_node(self) -> bool:
        """Whether nothing has been added."""
        return self._previous is None

    @property
    def previous_node(self) -> Self | None:
        """The context before the last entry was added."""
        return self._previous

    @property
    def node_data(self) -> Any:
        """The last entry, None in an empty context."""
        return self._data

    def add(self, entry: Any) -> Self:
        """Return this context with one more entry."""
        return self.from_previous(self, entry)

    @classmethod
    def from_previous(cls, previous: "Context", data: Any) -> Self:
        """Return *previous* with one more entry.

        Raises:
            TypeError: *previous* is no context, or there is no entry.
        """
        if not isinstance(previous, Context):
            raise TypeError(f"expected a Context, not {type(previous).__name__}")
        if data is None:
            raise TypeError("None cannot be an entry of a context")
        node = previous.new_instance()
        node._previous, node._data, node._depth = previous, data, previous._depth + 1
        return node  # type: ignore[return-value]  # new_instance is of the class of previous

    def new_instance(self) -> Self:
        """Return an empty context with the same settings."""
        return type(self)()

    @classmethod
    def reset_to_new(cls) -> Self:
        """Return an empty context with default settings."""
        return cls()

    def view_for_generation(self) -> list[Any]:
        """Return the entries that go into the next prompt, oldest first."""
        raise NotImplementedError(f"{type(self).__name__} does not say what goes into a prompt")

    def actions_for_available_tools(self) -> list[Any]:
        """Return the entries whose tools the next call may use."""
        return self.view_for_generation()

    def as_list(self, last_n_components: int | None = None) -> list[Any]:
        """Return the entries, oldest first, without the turns that failed.

        Args:
            last_n_components: how many at most, counted from the end; None for all.
        """
        entries: list[Any] = []
        for entry in self._newest_first():
            if last_n_components is not None and len(entries) >= last_n_components:
                break
            entries.append(entry)
        entries.reverse()
        return entries

    def _newest_first(self) -> Iterator[Any]:
        node: Context | None = self
        while node is not None and node._previous is not None:
            entry = node._data
            node = node._previous
            if isinstance(entry, ModelOutputThunk) and entry.is_lost():
                # The turn is both: the answer that failed and what it was to answer.
                if not isinstance(node._data, ModelOutputThunk) and node._previous is not None:
                    node = node._previous
                continue
            yield entry

    def last_output(self, check_last_n_components: int = 3) -> ModelOutputThunk[Any] | None:
        """Return the newest answer among the last entries, or None."""
        for entry in reversed(self.as_list(check_last_n_components)):
            if isinstance(entry, ModelOutputThunk):
                return entry
        return None

    def last_turn(self) -> ContextTurn | None:
        """Return the last turn, or None in an empty context."""
        match self.as_list(2):
            case []:
                return None
            case [*before, ModelOutputThunk() as output]:
                return ContextTurn(before[0] if before else None, output)
            case entries:
                return ContextTurn(entries[-1], None)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} with {len(self.as_list())} entries>"


class SimpleContext(Context):
    """A context in which every call stands alone: nothing that was said before is sent.

    What was added can still be looked at, the newest *keep* entries at least; older ones
    are let go, so that a long-lived session does not grow.

    Args:
        keep: how many entries to keep.
    """

    def __init__(self, *, keep: int = 1000) -> None:
        super().__init__()
        if keep < 1:
            raise ValueError(f"keep should be at least 1, not {keep}")
        self.keep = keep

    def new_instance(self) -> Self:
        """Return an empty context that keeps as many entries."""
        return type(self)(keep=self.keep)

    def add(self, entry: Any) -> Self:
        """Return this context with one more entry."""
        node = super().add(entry)
        # The chain is immutable, so forgetting means copying what is kept. At twice the
        # number this happens so rarely that an entry costs one copy in its life.
        return node._trimmed() if node._depth >= 2 * self.keep else node

    def _trimmed(self) -> Self:
        entries: list[Any] = []
        node: Context = self
        while node._previous is not None and len(entries) < self.keep:
            entries.append(node._data)
            node = node._previous
        trimmed = self.new_instance()
        for entry in reversed(entries):
            trimmed = self.from_previous(trimmed, entry)
        return trimmed

    def as_list(self, last_n_components: int | None = None) -> list[Any]:
        """Return the newest entries, oldest first, without the turns that failed."""
        most = self.keep if last_n_components is None else min(self.keep, last_n_components)
        return super().as_list(most)

    def view_for_generation(self) -> list[Any]:
        """Return nothing: every call stands alone."""
        return []
