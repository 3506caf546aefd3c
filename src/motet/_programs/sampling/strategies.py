"""The strategies that differ in what the next attempt is told about the last."""

from __future__ import annotations

from typing import Any

from ..._language.context import Context
from ..._values.misuse import Misuse
from .base import BaseSamplingStrategy, Thunk
from .feedback import Repair, TryAgain, failures
from .result import Validations


class RejectionSamplingStrategy(BaseSamplingStrategy):
    """Ask the same again; when all attempts have failed, take the first."""

    @staticmethod
    def repair(
        old_ctx: Context,
        new_ctx: Context,
        past_actions: list[Any],
        past_results: list[Thunk],
        past_val: list[Validations],
    ) -> tuple[Any, Context]:
        """Return the same action in the same context."""
        return past_actions[-1], old_ctx

    @staticmethod
    def select_from_failure(
        sampled_actions: list[Any], sampled_results: list[Thunk], sampled_val: list[Validations]
    ) -> int:
        """Return the first."""
        return 0


class RepairTemplateStrategy(BaseSamplingStrategy):
    """Ask again and say what was wrong; when all attempts have failed, take the first.

    An action that has ``copy_and_repair``, as an `Instruction` has, is asked again with the
    failures in it; any other as it is.
    """

    @staticmethod
    def repair(
        old_ctx: Context,
        new_ctx: Context,
        past_actions: list[Any],
        past_results: list[Thunk],
        past_val: list[Validations],
    ) -> tuple[Any, Context]:
        """Return the action with what was wrong, in the same context."""
        action = past_actions[-1]
        if hasattr(action, "copy_and_repair"):
            action = action.copy_and_repair(Repair(failures(past_val[-1])))
        return action, old_ctx

    @staticmethod
    def select_from_failure(
        sampled_actions: list[Any], sampled_results: list[Thunk], sampled_val: list[Validations]
    ) -> int:
        """Return the first."""
        return 0


class MultiTurnStrategy(BaseSamplingStrategy):
    """Go on with the conversation, in which the model sees its answer and what was wrong.

    It needs a context that is sent, such as a `ChatContext`. When all attempts have
    failed, the last is taken.
    """

    @staticmethod
    def repair(
        old_ctx: Context,
        new_ctx: Context,
        past_actions: list[Any],
        past_results: list[Thunk],
        past_val: list[Validations],
    ) -> tuple[Any, Context]:
        """Return a message with what was wrong, in the context that the attempt ends.

        Raises:
            Misuse: the context is not sent, so the model would not know of what is spoken.
        """
        if not new_ctx.is_chat_context:
            raise Misuse(
                f"MultiTurnStrategy needs a ChatContext, in which the model sees its earlier "
                f"answers, and this is a {type(new_ctx).__name__}"
            )
        return TryAgain(failures(past_val[-1])), new_ctx

    @staticmethod
    def select_from_failure(
        sampled_actions: list[Any], sampled_results: list[Thunk], sampled_val: list[Validations]
    ) -> int:
        """Return the last."""
        return -1
