"""What the next attempt of a stream is asked, when a chunk of the last one was not valid.

A strategy says two things: what is asked next, and whether the text that was validated
before the bad chunk stays. It does not know when a request is stopped or who reads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from ..sampling.feedback import BestAttempt, Repair

if TYPE_CHECKING:
    from ..._language.context import Context
    from ..._language.requirement import PartialValidationResult, Requirement, ValidationResult


@attrs.frozen(eq=False)
class FailedAttempt:
    """An attempt that was given up.

    Attributes:
        attempt: which one, counted from 1.
        action: what the run was asked for in the first place.
        ctx: what was said before that.
        text: what had been validated, to the end of the last valid chunk.
        chunk: the chunk that was not valid; None if the whole reply was not.
        failures: the requirements that were not met, with what they said.
    """

    attempt: int
    action: Any
    ctx: Context
    text: str
    chunk: str | None
    failures: Sequence[tuple[Requirement, PartialValidationResult | ValidationResult]]

    @property
    def reasons(self) -> list[str]:
        """What was wrong, in words."""
        return [
            result.reason or requirement.description or type(requirement).__name__
            for requirement, result in self.failures
        ]


class StreamRepair(ABC):
    """Says how a stream goes on after a chunk that was not valid; to be derived from.

    Attributes:
        keeps_text: whether the next attempt goes on behind the text that was validated. If
            not, it begins at the first character, and all that was released is void.
    """

    keeps_text: ClassVar[bool] = False

    @abstractmethod
    def next_attempt(self, failed: FailedAttempt) -> tuple[Any, Context]:
        """Return what is to be said next, and in which context. Must not wait.

        Args:
            failed: the attempt that was given up.
        """


class StartOver(StreamRepair):
    """Ask for the whole again and say what was wrong.

    An action that has ``copy_and_repair``, as an `Instruction` has, is asked with the failures
    in it; any other as it was.
    """

    def next_attempt(self, failed: FailedAttempt) -> tuple[Any, Context]:
        """Return the action with what was wrong, in the same context."""
        action = failed.action
        if hasattr(action, "copy_and_repair"):
            action = action.copy_and_repair(Repair(failed.reasons))
        return action, failed.ctx


class GoOn(StreamRepair):
    """Keep what was validated, and ask the model to go on from there.

    Before anything was validated, the whole is asked for again, as `StartOver` does.
    """

    keeps_text = True

    def next_attempt(self, failed: FailedAttempt) -> tuple[Any, Context]:
        """Return the action with the text so far and what was wrong, in the same context."""
        if not failed.text:
            return StartOver().next_attempt(failed)
        return Continuation(failed.action, failed.text, failed.reasons), failed.ctx


class Continuation(BestAttempt):
    """A task, an answer that was broken off, and why; the model is to write the rest of it."""

    template = "Continuation"
