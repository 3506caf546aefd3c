"""`SamplingStrategy`, and the loop that most strategies are made of.

An attempt is generated, read, and validated by all requirements at once; what fails is
repaired and tried again. Several such loops may race. The loop does not know that it
runs inside a generation; it only makes sure that whenever it is left, by success, by an
error or by cancellation, none of its requests is running at the server.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio
import attrs

from ..._language.component import Component, unfinished_parts
from ..._language.context import Context, ContextT, SimpleContext
from ..._language.instruction import Instruction
from ..._language.requirement import Requirement
from ..._thunk.fanout import check_mots
from ..._thunk.inputs import wait_for_inputs
from ..._thunk.thunk import ModelOutputThunk
from ..checks import reqify
from ..validation import validate_all
from .result import SamplingResult, Validations

if TYPE_CHECKING:
    from ...backends.base import Backend

_log: Final = logging.getLogger("motet")

Requirements: TypeAlias = Sequence[Requirement | str] | None
Thunk: TypeAlias = ModelOutputThunk[Any]


class SamplingStrategy(ABC):
    """How to get from an action to an answer that meets its requirements."""

    @abstractmethod
    async def sample(
        self,
        action: Any,
        context: Context,
        backend: Backend,
        requirements: Requirements,
        *,
        validation_ctx: Context | None = None,
        format: Any = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
    ) -> SamplingResult[Any]:
        """Generate and validate until there is a result.

        A cancellation must leave no request behind: use every thunk in an ``async with``
        block, which stops its request when it is left.

        Args:
            action: what to answer.
            context: what was said before.
            backend: asks the model.
            requirements: what the answer must be like.
            validation_ctx: what a judge is told beside the answer; nothing without it.
            format: a pydantic model class or a JSON schema for the answer.
            model_options: options for every call.
            tool_calls: whether the model may call tools.
        """

    def takes_first_draft(self, requirements: Requirements) -> bool:
        """Tell whether the first answer will do in any case, so it may stream through."""
        return False


class BaseSamplingStrategy(SamplingStrategy):
    """Attempts in a loop until one meets all requirements; several loops may race.

    A subclass says with `repair` how an attempt follows from one that failed, and with
    `select_from_failure` which to choose when all have failed.

    Args:
        loop_budget: how many attempts a loop makes at most.
        concurrency_budget: how many loops race. The first success stops the others, their
            requests at the server included.
        requirements: what the answer must be like, in place of what a call says.

    Raises:
        ValueError: a budget is less than 1.
    """

    def __init__(
        self,
        *,
        loop_budget: int = 1,
        concurrency_budget: int = 1,
        requirements: Requirements = None,
    ) -> None:
        check_budget("loop_budget", loop_budget)
        check_budget("concurrency_budget", concurrency_budget)
        self.loop_budget = loop_budget
        self.concurrency_budget = concurrency_budget
        self.requirements: list[Requirement] | None = (
            None if requirements is None else _reqified(requirements)
        )

    @staticmethod
    @abstractmethod
    def repair(
        old_ctx: Context,
        new_ctx: Context,
        past_actions: list[Any],
        past_results: list[Thunk],
        past_val: list[Validations],
    ) -> tuple[Any, Context]:
        """Return what to say next, and in which context, after an attempt that failed.

        Args:
            old_ctx: the context in which the attempt was made.
            new_ctx: the context that it ends.
            past_actions: what the attempts of this loop answered, the failed one last.
            past_results: their thunks.
            past_val: how each was validated.
        """

    @staticmethod
    @abstractmethod
    def select_from_failure(
        sampled_actions: list[Any], sampled_results: list[Thunk], sampled_val: list[Validations]
    ) -> int:
        """Return the index of the attempt to choose when none met all requirements."""

    async def generate(
        self,
        action: Any,
        context: ContextT,
        backend: Backend,
        *,
        format: Any = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
    ) -> tuple[Thunk, ContextT]:
        """Start one attempt; return its thunk and the context with both added.

        A subclass may override it, to ask in another way than by a conversation. Its arguments
        and errors are those of `Backend.generate_from_context`.
        """
        return await backend.generate_from_context(
            action,
            context,
            format=format,
            model_options=model_options,
            tool_calls=tool_calls,
        )

    async def sample(
        self,
        action: Any,
        context: Context,
        backend: Backend,
        requirements: Requirements,
        *,
        validation_ctx: Context | None = None,
        format: Any = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
    ) -> SamplingResult[Any]:
        """Make attempts until one meets all requirements or the budget is spent.

        Always a checkpoint. A loop ends with the first error in it; the result is built from
        the attempts that were completed, and has the errors. Nothing is running when this
        returns, raises or is cancelled.

        Args:
            action: what to answer; pending parts of it are waited for first.
            context: what was said before.
            backend: asks the model.
            requirements: what the answer must be like, unless the strategy has its own.
            validation_ctx: what a judge is told beside the answer; nothing without it.
            format: a pydantic model class or a JSON schema for the answer.
            model_options: options for every call, those of judges included.
            tool_calls: whether the model may call tools.

        Raises:
            DependencyError: a pending part of *action* failed.
            Exception: no attempt was completed; the error of the first that failed.
        """
        await settle_inputs(action, context)
        sampling = _Sampling(
            self,
            action,
            context,
            backend,
            self.required(requirements),
            SimpleContext() if validation_ctx is None else validation_ctx,
            format,
            model_options,
            tool_calls,
        )
        if self.concurrency_budget == 1:
            # Not in a task group: on asyncio, anyio 4.16 can lose a native cancellation when
            # a group that cancels itself stands in a task of another one that does, and the
            # voting strategies run us in such tasks.
            await sampling.loop()
        else:
            await sampling.race()
        return sampling.result()

    def required(self, requirements: Requirements) -> list[Requirement]:
        """Return what an answer must meet: the strategy's own requirements, or the call's."""
        if self.requirements is not None:
            return list(self.requirements)
        return _reqified(requirements or ())

    def takes_first_draft(self, requirements: Requirements) -> bool:
        """Tell whether the first answer will do in any case: nothing to validate, no race."""
        return (
            not self.required(requirements)
            and self.concurrency_budget == 1
            and type(self).sample is BaseSamplingStrategy.sample
            and type(self).generate is BaseSamplingStrategy.generate
        )


async def settle_inputs(action: Any, ctx: Context) -> None:
    """Wait for the pending parts of an action, so that it may be copied and repaired.

    And for the earlier turns of the conversation, of which every attempt is told.

    Raises:
        DependencyError: one failed.
        WrongEventLoop: one belongs to another event loop.
    """
    await wait_for_inputs(check_mots(unfinished_parts(action)), check_mots(ctx.awaited()))
    if isinstance(action, Instruction):
        # Before requirements are validated: their descriptions may have variables.
        action.resolve_variables()


def report_errors(errors: Sequence[Exception]) -> None:
    """Log the errors of attempts that others made up for."""
    for error in errors:
        _log.warning("an attempt of a sampling strategy failed: %r", error)


def _reqified(requirements: Sequence[Requirement | str]) -> list[Requirement]:
    # A string is a sequence of strings, too, and never meant as one.
    if isinstance(requirements, str | Requirement):
        raise TypeError(f"requirements should be a list, not one {type(requirements).__name__}")
    return [reqify(requirement) for requirement in requirements]


def check_budget(name: str, budget: object) -> None:
    """Refuse a number of attempts that is none.

    Raises:
        TypeError, ValueError: names the argument.
    """
    if not isinstance(budget, int) or isinstance(budget, bool):
        raise TypeError(f"{name} should be a whole number, not {budget!r}")
    if budget < 1:
        raise ValueError(f"{name} should be at least 1, not {budget}")


@attrs.frozen
class _Attempt:
    """One round of a loop that was completed."""

    action: Any
    thunk: Thunk
    context: Context
    validations: Validations

    @property
    def valid(self) -> bool:
        return all(result for _, result in self.validations)


@attrs.define
class _Sampling:
    """One call of `BaseSamplingStrategy.sample`: what its loops share."""

    strategy: BaseSamplingStrategy
    action: Any
    context: Context
    backend: Backend
    required: list[Requirement]
    validation_ctx: Context
    format: Any
    model_options: Mapping[str, Any] | None
    tool_calls: bool
    attempts: list[_Attempt] = attrs.field(factory=list)
    errors: list[Exception] = attrs.field(factory=list)

    async def race(self) -> None:
        """Run several loops until one succeeds or all have ended."""
        async with anyio.create_task_group() as group:

            async def run() -> None:
                if await self.loop():
                    group.cancel_scope.cancel()

            for _ in range(self.strategy.concurrency_budget):
                group.start_soon(run)

    async def loop(self) -> bool:
        """Make attempts until one is valid; return whether one is. Keeps errors."""
        try:
            return await self._until_valid()
        except Exception as exc:
            self.errors.append(exc)
            return False

    async def _until_valid(self) -> bool:
        action, context = self.action, self.context
        past: list[_Attempt] = []
        for _ in range(self.strategy.loop_budget):
            if past:
                action, context = self.strategy.repair(
                    context,
                    past[-1].context,
                    [attempt.action for attempt in past],
                    [attempt.thunk for attempt in past],
                    [attempt.validations for attempt in past],
                )
            past.append(await self._attempt(action, context))
            self.attempts.append(past[-1])
            if past[-1].valid:
                return True
            _log_failure(past[-1])
        return False

    async def _attempt(self, action: Any, context: Context) -> _Attempt:
        thunk, new_context = await self.strategy.generate(
            action,
            context,
            self.backend,
            format=self.format,
            model_options=self.model_options,
            tool_calls=self.tool_calls,
        )
        async with thunk:
            await thunk
        if action is not self.action and isinstance(self.action, Component):
            # What the caller asked for is what the answer is read as.
            thunk.parsed_repr = self.action.parse(thunk)
        results = await validate_all(
            self.required,
            self.backend,
            self.validation_ctx.add(thunk),
            model_options=self.model_options,
        )
        validations = list(zip(self.required, results, strict=True))
        return _Attempt(action, thunk, new_context, validations)

    def result(self) -> SamplingResult[Any]:
        attempts = self.attempts
        if not attempts:
            report_errors(self.errors[1:])
            raise self.errors[0]
        report_errors(self.errors)
        actions = [attempt.action for attempt in attempts]
        thunks = [attempt.thunk for attempt in attempts]
        validations = [attempt.validations for attempt in attempts]
        index = next((i for i, attempt in enumerate(attempts) if attempt.valid), None)
        success = index is not None
        if index is None:
            _log.info("none of %d attempts met all requirements, choosing one", len(attempts))
            index = self.strategy.select_from_failure(actions, thunks, validations)
        else:
            _log.info("sampling succeeded with attempt %d", index + 1)
        return SamplingResult(
            index,
            success,
            sample_generations=thunks,
            sample_validations=validations,
            sample_actions=actions,
            sample_contexts=[attempt.context for attempt in attempts],
            errors=self.errors,
        )


def _log_failure(attempt: _Attempt) -> None:
    if not _log.isEnabledFor(logging.INFO):
        return
    failed = [each.description for each, result in attempt.validations if not result]
    _log.info(
        "an attempt met %d of %d requirements; it failed:%s",
        len(attempt.validations) - len(failed),
        len(attempt.validations),
        "".join(f"\n\t- {description or '(no description)'}" for description in failed),
    )
