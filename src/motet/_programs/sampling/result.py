"""`SamplingResult`: every attempt that was made, and the one that was chosen."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Generic, Self, TypeVar

from ..._language.blocks import CBlock
from ..._language.context import Context
from ..._language.requirement import Requirement, ValidationResult
from ..._thunk.thunk import ModelOutputThunk
from ..._values.misuse import Misuse

S = TypeVar("S")

Validations = list[tuple[Requirement, ValidationResult]]
"""How one attempt was validated: each requirement with its result, in their order."""


class SamplingResult(CBlock, Generic[S]):
    """What a sampling strategy found; as a block it is the text of the chosen attempt.

    The four lists belong together: the same index is the same attempt. They have every
    attempt that was completed and validated, in the order in which that happened.

    Args:
        result_index: which attempt was chosen; negative numbers count from the end.
        success: whether it met all requirements.
        sample_generations: the thunks of the attempts.
        sample_validations: how each was validated.
        sample_actions: what each answers.
        sample_contexts: the context that each ends.
        errors: what ended attempts that were not completed.

    Raises:
        Misuse: there is no attempt with that index.
    """

    def __init__(
        self,
        result_index: int,
        success: bool,
        *,
        sample_generations: Sequence[ModelOutputThunk[S]],
        sample_validations: Sequence[Validations],
        sample_actions: Sequence[Any],
        sample_contexts: Sequence[Context],
        errors: Sequence[Exception] = (),
    ) -> None:
        if not -len(sample_generations) <= result_index < len(sample_generations):
            raise Misuse(
                f"result_index should be the index of one of {len(sample_generations)} attempts, "
                f"not {result_index}"
            )
        super().__init__(sample_generations[result_index].value)
        self.result_index = result_index
        self.success = success
        self.sample_generations: list[ModelOutputThunk[S]] = list(sample_generations)
        self.sample_validations: list[Validations] = list(sample_validations)
        self.sample_actions: list[Any] = list(sample_actions)
        self.errors: tuple[Exception, ...] = tuple(errors)
        self._contexts = list(sample_contexts)
        # Or else the context before, and what each attempt has added to it.
        self._base: Callable[[], Context | None] | None = None
        self._without_base: Context
        self._turns: list[list[Any]]

    @property
    def sample_contexts(self) -> list[Context]:
        """The context that each attempt ends."""
        if self._base is None:
            return self._contexts
        base = self._base() or self._without_base
        return [_continued(base, turns) for turns in self._turns]

    @property
    def result(self) -> ModelOutputThunk[S]:
        """The thunk of the chosen attempt."""
        return self.sample_generations[self.result_index]

    @property
    def result_ctx(self) -> Context:
        """The context that the chosen attempt ends."""
        return self.sample_contexts[self.result_index]

    @property
    def result_action(self) -> Any:
        """What the chosen attempt answers."""
        return self.sample_actions[self.result_index]

    @property
    def result_validations(self) -> Validations:
        """How the chosen attempt was validated."""
        return self.sample_validations[self.result_index]

    def adopt(self, thunk: ModelOutputThunk[S], base: Context) -> None:
        """Become what *thunk* keeps of the sampling that it shows the chosen attempt of.

        The thunk takes the place of that attempt, so what the caller of a session's method
        holds is what stands here, in `result_ctx` and in the session's context.

        And *base*, in which the attempts were made, is no longer kept alive: a
        conversation keeps its thunks, and if each of them kept the conversation before
        it, none of it could ever be dropped. Once nobody else keeps it, the contexts here
        begin with the attempts.
        """
        attempt = self.result
        self._turns = [
            [thunk if each is attempt else each for each in _turns(context, base) or own]
            for context, *own in zip(
                self.sample_contexts, self.sample_actions, self.sample_generations, strict=True
            )
        ]
        self.sample_generations[self.result_index] = thunk
        self._base, self._without_base = weakref.ref(base), base.new_instance()
        self._contexts = []

    def on(self, base: Context) -> Self:
        """Return this result with the context before the attempts, which it keeps alive."""
        twin = copy.copy(self)
        twin._base = lambda: base
        return twin


def _turns(context: Context, base: Context) -> list[Any] | None:
    """Return what *context* has beyond *base*; None if compaction has cut it off."""
    turns = []
    node: Context | None = context
    while node is not base:
        if node is None or node.is_root_node:
            return None
        turns.append(node.node_data)
        node = node.previous_node
    return turns[::-1]


def _continued(base: Context, turns: list[Any]) -> Context:
    for each in turns:
        base = base.add(each)
    return base
