"""Contexts: what was said before, as an immutable chain of entries.

Adding returns a new context and leaves the old one as it was, so a conversation forks
by simply keeping both; `Context.branch` and `Context.merge` are for doing it on purpose.
An entry is what was said or the thunk of the answer. A turn whose answer failed or was
cancelled is both of its entries, and is passed over whenever the chain is read.

This module knows nothing of prompts and never waits; what a prompt must wait for it
only names (`Context.awaited`).
"""

import itertools
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Final, Self, TypeVar

import attrs

from .._thunk.thunk import ModelOutputThunk
from .blocks import CBlock
from .component import is_component, pending_parts

ContextT = TypeVar("ContextT", bound="Context")

# A merge needs the fork points of now, not those of all time.
_FORKS_KEPT: Final = 64

# Grows along every chain, so of two nodes of one chain the greater was added later.
_places: Final = itertools.count(1)


@attrs.frozen
class ContextTurn:
    """The last thing said and the answer to it, either of which may be missing."""

    model_input: Any
    output: ModelOutputThunk[Any] | None


@attrs.define(eq=False, weakref_slot=False)
class Entry:
    """One entry, wherever it stands: chains that were rebuilt or merged share it.

    So the same object may be said twice in one conversation, and an entry is still told
    apart from its repetition.

    Attributes:
        data: what was said, or the thunk of the answer.
        answers: for an answer, the entry that it answers.
        cost: how much of a prompt it takes, once somebody has counted.
    """

    data: Any
    answers: "Entry | None" = None
    cost: int | None = None


class Context:
    """A chain of entries; the base of the contexts that sessions use.

    A subclass says what goes into a prompt (`view_for_generation`). Attributes that its
    constructor sets are settings: every context that comes of this one has them, too.
    """

    is_chat_context: ClassVar[bool] = False

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._previous: Context | None = None
        self._entry = Entry(None)
        self._depth = 0
        self._place = next(_places)  # shared with another chain only if the history is, too
        self._forks: tuple[int, ...] = ()  # the places that `branch` has named
        self._dropped = 0  # the newest place that a rebuilt chain has left out
        self._quiet = True  # nothing up to here is pending any more; once true, for ever
        self._holds_back: ModelOutputThunk[Any] | None = None

    @property
    def is_root_node(self) -> bool:
        """Whether nothing has been added."""
        return self._previous is None

    @property
    def previous_node(self) -> "Context | None":
        """The context before the last entry was added."""
        return self._previous

    @property
    def node_data(self) -> Any:
        """The last entry, None in an empty context."""
        return self._entry.data

    # Growing.

    def add(self, entry: Any) -> Self:
        """Return this context with one more entry.

        Raises:
            TypeError: *entry* is neither text, a block, a component nor a thunk.
        """
        return self.from_previous(self, entry)

    @classmethod
    def from_previous(cls, previous: "Context", data: Any) -> Self:
        """Return *previous* with one more entry.

        Raises:
            TypeError: *previous* is no context, or *data* is nothing that can be said.
        """
        if not isinstance(previous, Context):
            raise TypeError(f"previous should be a Context, not {type(previous).__name__}")
        if isinstance(previous, cls):
            return previous._with(data)
        node = cls()._with(data)  # another kind of context goes on from there
        node._previous, node._depth = previous, previous._depth + 1
        node._entry.answers = _answered(previous, data)
        node._forks, node._dropped = previous._forks, previous._dropped
        return node

    def _with(self, data: Any) -> Self:
        if not isinstance(data, CBlock | ModelOutputThunk | str) and not is_component(data):
            raise TypeError(
                "an entry of a context should be a string, a CBlock, a component or a "
                f"ModelOutputThunk, not {type(data).__name__}"
            )
        return self._grown(Entry(data, answers=_answered(self, data)), next(_places))

    def _grown(self, entry: Entry, place: int) -> Self:
        node = object.__new__(type(self))
        node.__dict__.update(self.__dict__)  # the settings, whatever a subclass has
        node._previous, node._entry = self, entry
        node._depth, node._place, node._quiet = self._depth + 1, place, False
        return node

    def new_instance(self) -> Self:
        """Return an empty context with the same settings."""
        empty = object.__new__(type(self))
        empty.__dict__.update(self.__dict__)
        empty._start()
        return empty

    @classmethod
    def reset_to_new(cls) -> Self:
        """Return an empty context with default settings."""
        return cls()

    def entries(self) -> list[Entry]:
        """Return the entries as `as_list` does, each with what tells it from its repetitions."""
        return list(self._newest_first())[::-1]

    def with_entries(self, entries: Iterable[Any]) -> Self:
        """Return this conversation with other entries in place of its own.

        For compaction. What is one of this context's entries stays that entry; what is not
        among them is new. `merge` goes on knowing both, and what was left out.

        Args:
            entries: what the context should consist of, oldest first: what was said, or
                records of `entries`, which is exact where the same object was said twice.

        Raises:
            TypeError: one of them is nothing that can be said.
        """
        nodes = self._nodes()
        position_of = {node._entry: index for index, node in enumerate(nodes)}
        positions_of: defaultdict[int, list[int]] = defaultdict(list)
        for index, node in enumerate(nodes):
            positions_of[id(node._entry.data)].append(index)

        rebuilt = self.new_instance()
        rebuilt._place = self._root()._place
        begin = 0
        kept: set[int] = set()
        position: int | None
        for said in entries:
            if isinstance(said, Entry):
                position, data = position_of.get(said), said.data
            else:
                positions, data = positions_of.get(id(said), ()), said
                index = bisect_left(positions, begin)
                position = positions[index] if index < len(positions) else None
            if position is None:
                rebuilt = rebuilt._with(data)
            else:
                begin = position + 1
                kept.add(position)
                rebuilt = rebuilt._grown(nodes[position]._entry, nodes[position]._place)
        left_out = (node._place for index, node in enumerate(nodes) if index not in kept)
        # Only the newest node may say so: the older ones are no descendants of those places.
        rebuilt._dropped = max(self._dropped, *left_out, 0)
        rebuilt._forks = self._forks
        return rebuilt

    def hold_back_for(self, pending: ModelOutputThunk[Any]) -> None:
        """Note that compaction has gone as far as it can until *pending* has arrived."""
        self._holds_back = pending

    def is_held_back(self) -> bool:
        """Whether a compaction would find nothing to drop before some reply has arrived."""
        return self._holds_back is not None and not self._holds_back.is_settled()

    # Forking on purpose.

    def branch(self) -> Self:
        """Return this context as a named fork point: what follows it can be merged again.

        Go on from the returned context in every direction and bring the directions
        together with `merge`. Without the name a merge works as well, as long as no
        compaction has dropped the entries where they parted.
        """
        fork = object.__new__(type(self))
        fork.__dict__.update(self.__dict__)
        fork._forks = (*self._forks, self._place)[-_FORKS_KEPT:]
        return fork

    def merge(self, other: "Context") -> Self:
        """Return this context with the turns that *other* has beyond the common ancestor.

        The order is: all of this context's entries, then those of *other* that it has not,
        in the order of *other*. Answers that are still on their way come along, and merging
        the same turns twice adds them once. Only what *other*'s own compaction has dropped
        before cannot come, and the compaction of this context applies to the result.

        Raises:
            TypeError: *other* is no context.
            ValueError: the two have no common ancestor, or compaction has dropped the place
                where they parted and `branch` has not named it.
        """
        if not isinstance(other, Context):
            raise TypeError(f"other should be a Context, not {type(other).__name__}")
        parted = self._parting_from(other)
        mine = {node._entry for node in self._nodes()}
        merged = self
        for node in other._nodes():
            if node._place > parted and node._entry not in mine:
                merged = merged._grown(node._entry, next(_places))
        return merged

    def _parting_from(self, other: "Context") -> int:
        common = self._known_places() & other._known_places()
        if not common:
            raise ValueError(
                "these contexts have no common ancestor, so it cannot be told which turns are "
                "new: merge only contexts that grew from the same one"
            )
        parted = max(common)
        if self._dropped > parted and parted not in self._forks:
            raise ValueError(
                "compaction has dropped the place where these contexts parted, so it cannot be "
                "told which turns are new: call branch() where a conversation is to fork"
            )
        return parted

    def _known_places(self) -> set[int]:
        places = {node._place for node in self._nodes()} | {self._root()._place, *self._forks}
        if self._dropped:
            places.add(self._dropped)
        return places

    # Reading.

    def view_for_generation(self) -> list[Any] | None:
        """Return the entries that go into the next prompt, oldest first; None for nothing."""
        raise NotImplementedError(f"{type(self).__name__} does not say what goes into a prompt")

    def actions_for_available_tools(self) -> list[Any] | None:
        """Return the entries whose tools the next call may use."""
        return self.view_for_generation()

    def awaited(self) -> list[ModelOutputThunk[Any]]:
        """Return the replies that a prompt from this context has to wait for, oldest first.

        They are the answers that are still on their way, and the pending parts of what was
        said without having been answered.
        """
        return pending_in(self.view_for_generation() or ())

    def previous_turn_is_pending(self) -> bool:
        """Whether this is a conversation whose last answer is still on its way.

        A call made now is put into words only when that answer has arrived.
        """
        return self.is_chat_context and is_pending(self._entry.data)

    def as_list(self, last_n_components: int | None = None) -> list[Any]:
        """Return the entries, oldest first, without the turns that failed.

        Args:
            last_n_components: how many at most, counted from the end; None for all.
        """
        if last_n_components is not None:
            whole_number("last_n_components", last_n_components, at_least=0)
        newest = itertools.islice(self._newest_first(), last_n_components)
        return [entry.data for entry in newest][::-1]

    def _newest_first(self) -> Iterator[Entry]:
        lost: Entry | None = None
        node: Context = self
        while node._previous is not None:
            entry, node = node._entry, node._previous
            if isinstance(entry.data, ModelOutputThunk) and entry.data.is_lost():
                lost = entry.answers  # the turn is both: this, and what it was to answer
            elif entry is not lost:
                yield entry

    def _nodes(self) -> "list[Context]":
        nodes: list[Context] = []
        node: Context = self
        while node._previous is not None:
            nodes.append(node)
            node = node._previous
        nodes.reverse()
        return nodes

    def _root(self) -> "Context":
        node: Context = self
        while node._previous is not None:
            node = node._previous
        return node

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

    def bound_to(self, model_id: Any, formatter: Any = None) -> Self:
        """Return this context as one for a model, if that makes a difference to it.

        Args:
            model_id: the model that the session talks to.
            formatter: what puts entries into words for it.
        """
        return self

    def __copy__(self) -> Self:
        return self  # it is immutable

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # Nor could it be copied entry by entry: some may be on their way.
        return self

    def __repr__(self) -> str:
        entries = self.as_list()
        pending = sum(map(is_pending, entries))
        count = f"{len(entries)} {'entry' if len(entries) == 1 else 'entries'}"
        return f"<{type(self).__name__} with {count}{f', {pending} pending' if pending else ''}>"


class SimpleContext(Context):
    """A context in which every call stands alone: nothing that was said before is sent.

    What was added can still be looked at, the newest *keep* entries; older ones are let
    go, so that a long-lived session does not grow.

    Args:
        keep: how many entries to keep.

    Raises:
        TypeError, ValueError: *keep* is not a whole number from 1.
    """

    def __init__(self, *, keep: int = 1000) -> None:
        super().__init__()
        self.keep: Final = whole_number("keep", keep, at_least=1)

    def add(self, entry: Any) -> Self:
        """Return this context with one more entry."""
        node = super().add(entry)
        # The chain is immutable, so forgetting means copying what is kept. At twice the
        # number this happens so rarely that an entry costs one copy in its life.
        return node._trimmed() if node._depth >= 2 * self.keep else node

    def merge(self, other: Context) -> Self:
        """Return this context with the turns that *other* has beyond the common ancestor."""
        merged = super().merge(other)
        return merged._trimmed() if merged._depth >= 2 * self.keep else merged

    def _trimmed(self) -> Self:
        return self.with_entries(node._entry for node in self._nodes()[-self.keep :])

    def as_list(self, last_n_components: int | None = None) -> list[Any]:
        """Return the newest entries, oldest first, without the turns that failed."""
        most = self.keep if last_n_components is None else min(self.keep, last_n_components)
        return super().as_list(most)

    def view_for_generation(self) -> list[Any]:
        """Return nothing: every call stands alone."""
        return []


def whole_number(what: str, value: object, *, at_least: int) -> int:
    """Return *value*, which was given as *what*.

    Raises:
        TypeError: it is no whole number.
        ValueError: it is too small.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{what} should be a whole number, not {value!r}")
    if value < at_least:
        raise ValueError(f"{what} should be at least {at_least}, not {value}")
    return value


def _answered(previous: Context, data: Any) -> Entry | None:
    """Return the entry that *data* answers if it is added to *previous*."""
    if not isinstance(data, ModelOutputThunk) or previous._previous is None:
        return None
    # Compaction may have dropped what was said before the answer to it is added.
    if previous._dropped > previous._place:
        return None
    before = previous._entry
    # A thunk may itself have been what was said, and only the answer can tell.
    if isinstance(before.data, ModelOutputThunk) and before.data is not data.action:
        return None
    return before


def is_pending(data: Any) -> bool:
    """Whether an entry is an answer that is still on its way."""
    return isinstance(data, ModelOutputThunk) and not data.is_settled()


def pending_in(entries: Iterable[Any]) -> list[ModelOutputThunk[Any]]:
    """Return the replies among the entries, and among their parts, that are on their way."""
    found = {id(thunk): thunk for entry in entries for thunk in pending_parts(entry)}
    return list(found.values())
