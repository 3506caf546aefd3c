"""`ChatContext`: a conversation, of which as much is said again as the model can see.

Concurrent calls chain: each prompt has the turns before it, and waits for their
answers. What goes into a prompt is decided when it is made, after those have arrived,
so it does not depend on how fast they came.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Self

from .._thunk.thunk import ModelOutputThunk
from .._values.model_ids import ModelIdentifier, get_context_length
from .compaction import InlineCompactor, WindowCompactor, is_inline
from .component import unfinished_parts
from .context import Context, Entry, is_pending, pending_in, whole_number
from .formatter import TemplateFormatter

# What is left is for the answer, and for what the estimate misses.
_SHARE_OF_THE_MODEL: Final = 0.75
_CHARACTERS_PER_TOKEN: Final = 4
# Turns that failed are swept out of the chain when they may be half of it.
_FIRST_SWEEP: Final = 64  # entries


class ChatContext(Context):
    """A conversation: every call is told what was said before.

    It can be bounded in two ways. A compactor decides what stays in the conversation at
    all; the token limit decides how much of that goes into a prompt, newest first.

    Args:
        compactor: runs whenever an entry is added.
        window_size: short for a compactor that keeps so many of the newest entries, and the
            system messages at the beginning.
        token_context_length_limit: how many tokens the model can see, if that is to differ
            from what is known about it. Entries take three quarters of it at most, by an
            estimate of four characters a token.
        model_id: the model; a session fills it in with its own.

    Raises:
        ValueError: both a compactor and a window are given, or a number is too small.
        TypeError: the compactor is none that can run inside `add`, or a number is none.
    """

    is_chat_context = True

    def __init__(
        self,
        *,
        compactor: InlineCompactor | None = None,
        window_size: int | None = None,
        token_context_length_limit: int | None = None,
        model_id: str | ModelIdentifier | None = None,
    ) -> None:
        super().__init__()
        if compactor is not None and window_size is not None:
            raise ValueError("give a ChatContext either a compactor or a window_size, not both")
        if window_size is not None:
            compactor = WindowCompactor(size=whole_number("window_size", window_size, at_least=0))
        if compactor is not None and not is_inline(compactor):
            raise TypeError(
                "the compactor of a ChatContext should be an InlineCompactor, not "
                f"{type(compactor).__name__}: it runs with every entry that is added, so it must "
                "neither wait nor talk to a model; run any other one on the context yourself"
            )
        if token_context_length_limit is not None:
            whole_number("token_context_length_limit", token_context_length_limit, at_least=1)
        self._compactor = compactor
        self._limit = token_context_length_limit
        self._sweep_at = _FIRST_SWEEP
        self._bind(model_id, None)

    def _bind(
        self, model_id: str | ModelIdentifier | None, formatter: TemplateFormatter | None
    ) -> None:
        if not isinstance(model_id, str | ModelIdentifier | None):
            raise TypeError(
                "model_id should be the name of a model or a ModelIdentifier, "
                f"not {type(model_id).__name__}"
            )
        self._model_id = model_id
        self._known_limit = None if model_id is None else get_context_length(model_id)
        self._formatter = formatter or TemplateFormatter(_name(model_id))

    @property
    def model_id(self) -> str | ModelIdentifier | None:
        """The model that this conversation is held with, if it is known."""
        return self._model_id

    def bound_to(self, model_id: Any, formatter: Any = None) -> Self:
        """Return a conversation with that model, if this one is empty and has no model yet.

        Args:
            model_id: the model that the session talks to; None for unknown.
            formatter: what puts entries into words for it.
        """
        if model_id is None or self._model_id is not None or not self.is_root_node:
            return self
        bound = self.new_instance()
        bound._place, bound._forks = self._place, self._forks
        bound._bind(model_id, formatter)
        return bound

    def add(self, entry: Any) -> Self:
        """Return this conversation with one more entry, compacted.

        Answers that are still on their way are neither dropped nor waited for.

        Raises:
            TypeError: *entry* is neither text, a block, a component nor a thunk.
        """
        return super().add(entry)._compacted()

    def merge(self, other: Context) -> Self:
        """Return this conversation with the turns that *other* has beyond the common ancestor."""
        merged = super().merge(other)
        return merged if merged is self else merged._compacted()

    def _compacted(self) -> Self:
        swept = self._swept()
        if swept._compactor is None:
            return swept
        compacted = swept._compactor.compact(swept)
        if compacted is swept:
            return swept
        if not isinstance(compacted, type(self)):
            raise TypeError(
                f"the compactor {swept._compactor!r} should return a {type(self).__name__}, "
                f"not {type(compacted).__name__}"
            )
        pending = {node._entry for node in swept._unsettled() if is_pending(node._entry.data)}
        return swept if pending.difference(compacted.entries()) else compacted

    def _swept(self) -> Self:
        if self._depth < self._sweep_at:
            return self
        entries = self.entries()
        swept = self.with_entries(entries) if 2 * len(entries) <= self._depth else self
        swept._sweep_at = max(_FIRST_SWEEP, 2 * swept._depth)
        return swept

    def view_for_generation(self) -> list[Any]:
        """Return the entries that go into the next prompt, oldest first.

        They are what compaction leaves, and of that the newest that fit into the token limit.
        An answer that is still on its way counts as one token.
        """
        context = self._compacted()
        limit = self._known_limit if self._limit is None else self._limit
        if limit is None:
            return context.as_list()
        left = int(limit * _SHARE_OF_THE_MODEL)
        view: list[Any] = []
        for entry in context._newest_first():
            left -= self._cost(entry)
            if left < 0:
                break
            view.append(entry.data)
        return view[::-1]

    def _cost(self, entry: Entry) -> int:
        """Return how many tokens an entry takes, by estimate; counted once for each entry."""
        if entry.cost is not None:
            return entry.cost
        if unfinished_parts(entry.data):
            return 1
        entry.cost = max(1, len(self._said(entry.data)) // _CHARACTERS_PER_TOKEN)
        return entry.cost

    def _said(self, data: Any) -> str:
        try:
            return self._formatter.print(data)
        except ValueError:
            return str(data)  # it has no template; a prompt with it will say so

    def awaited(self) -> list[ModelOutputThunk[Any]]:
        """Return the replies that a prompt from this conversation has to wait for, oldest first."""
        found: list[Any] = []
        answered: Entry | None = None
        oldest: Context | None = None
        for node in self._unsettled():
            entry = node._entry
            # What was said and is being answered is the business of its answer.
            pending = [] if entry is answered else pending_in([entry.data])
            if isinstance(entry.data, ModelOutputThunk):
                answered = entry.answers
            if pending:
                oldest = node
                found += reversed(pending)
        # Nothing older is pending, nor ever will be: the next one need not look there.
        quiet = self if oldest is None else oldest.previous_node
        if quiet is not None:
            quiet._quiet = True
        return list(dict.fromkeys(reversed(found)))

    def _unsettled(self) -> Iterator[Context]:
        """Return the nodes in which something may be pending, newest first."""
        node: Context | None = self
        while node is not None and not node._quiet:
            yield node
            node = node._previous

    def __repr__(self) -> str:
        bounds = "" if self._compactor is None else f", {self._compactor!r}"
        return super().__repr__()[:-1] + f"{bounds}>"


def _name(model_id: str | ModelIdentifier | None) -> str:
    match model_id:
        case str():
            return model_id
        case ModelIdentifier(ollama_name=ollama_name, hf_model_name=hf_name):
            return ollama_name or hf_name or ""
        case None:
            return ""
