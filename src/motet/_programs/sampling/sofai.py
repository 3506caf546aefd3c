"""`SOFAISamplingStrategy`: a fast model first, and a slow one for what it cannot do.

After Slow and Fast AI (https://arxiv.org/abs/2110.01834): attempts of the fast model go on
as a conversation in which it is told what was wrong, for as long as that changes
anything; then the slow model has one attempt.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import attrs

from ..._language.component import Component, TemplateRepresentation
from ..._language.context import Context, SimpleContext
from ..._language.requirement import Requirement, default_output_to_bool
from ..._values.misuse import Misuse
from ...backends.base import Backend
from ..checks import reqify
from ..validation import validate_all
from .base import Requirements, SamplingStrategy, Thunk, check_budget, settle_inputs
from .feedback import BestAttempt, TryAgain, failures
from .result import SamplingResult, Validations

if TYPE_CHECKING:
    from collections.abc import Sequence

_log: Final = logging.getLogger("motet")

Mode = Literal["fresh_start", "continue_chat", "best_attempt"]
Feedback = Literal["simple", "first_error", "all_errors"]


class SOFAISamplingStrategy(SamplingStrategy):
    """Ask a fast model, tell it what was wrong, and ask a slow one when that does not help.

    The fast model's attempts are one conversation, so it needs a context that is sent, such
    as a `ChatContext`. They end with the first that is valid, when the same requirements fail
    twice in a row, or with the budget. The slow model's one attempt is the answer then, valid
    or not. The backend of the session judges, unless there is a judge.

    Args:
        s1_solver_backend: asks the fast model.
        s2_solver_backend: asks the slow model.
        s2_solver_mode: what the slow model is told: the task alone (``"fresh_start"``), the
            whole conversation with the fast one (``"continue_chat"``), or the task with the
            attempt that met most requirements (``"best_attempt"``).
        loop_budget: how many attempts the fast model has at most.
        judge_backend: asks the judge of requirements without a function.
        feedback_strategy: what a judge is asked about an answer that will not do: nothing
            more (``"simple"``), the first error, or all errors.
        requirements: what the answer must be like, in place of what a call says.

    Raises:
        TypeError: a backend is none.
        ValueError: the budget, the mode or the feedback strategy makes no sense.
    """

    def __init__(
        self,
        s1_solver_backend: Backend,
        s2_solver_backend: Backend,
        s2_solver_mode: Mode = "fresh_start",
        *,
        loop_budget: int = 3,
        judge_backend: Backend | None = None,
        feedback_strategy: Feedback = "simple",
        requirements: Requirements = None,
    ) -> None:
        _check_backend("s1_solver_backend", s1_solver_backend)
        _check_backend("s2_solver_backend", s2_solver_backend)
        if judge_backend is not None:
            _check_backend("judge_backend", judge_backend)
        check_budget("loop_budget", loop_budget)
        _check_choice("s2_solver_mode", s2_solver_mode, get_args(Mode))
        _check_choice("feedback_strategy", feedback_strategy, get_args(Feedback))
        self.s1_solver_backend = s1_solver_backend
        self.s2_solver_backend = s2_solver_backend
        self.s2_solver_mode = s2_solver_mode
        self.loop_budget = loop_budget
        self.judge_backend = judge_backend
        self.feedback_strategy = feedback_strategy
        self.requirements: list[Requirement] | None = (
            None if requirements is None else [reqify(each) for each in requirements]
        )

    @staticmethod
    def repair(
        old_ctx: Context,
        new_ctx: Context,
        past_actions: list[Any],
        past_results: list[Thunk],
        past_val: list[Validations],
    ) -> tuple[Any, Context]:
        """Return what the fast model is told about an attempt, in the context that it ends.

        A subclass may override it; see `BaseSamplingStrategy`.
        """
        return TryAgain(failures(past_val[-1])), new_ctx

    @staticmethod
    def select_from_failure(
        sampled_actions: list[Any], sampled_results: list[Thunk], sampled_val: list[Validations]
    ) -> int:
        """Return the last attempt, which is the slow model's."""
        return -1

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
        """Make attempts until one is valid, the last with the slow model.

        Always a checkpoint. Nothing is running when this returns, raises or is cancelled.

        Args:
            action: what to answer; pending parts of it are waited for first.
            context: what was said before.
            backend: asks the judge, if the strategy has none of its own.
            requirements: what the answer must be like, unless the strategy has its own.
            validation_ctx: what a judge is told beside the answer; nothing without it.
            format: a pydantic model class or a JSON schema for the answer.
            model_options: options for every call, those of the judge included.
            tool_calls: whether the models may call tools.

        Raises:
            Misuse: the context is not sent, so the model would not know of what is spoken.
            DependencyError: a pending part of *action* failed.
            Exception: whatever an attempt or a validation raises.
        """
        if not context.is_chat_context:
            raise Misuse(
                "SOFAISamplingStrategy needs a ChatContext, in which the model sees its earlier "
                f"answers, and this is a {type(context).__name__}"
            )
        await settle_inputs(action, context)
        wanted = self.requirements
        if wanted is None:
            wanted = [reqify(each) for each in requirements or ()]
        run = _Run(
            action,
            context,
            self.judge_backend or backend,
            [self._asked(each) for each in wanted],
            wanted,
            SimpleContext() if validation_ctx is None else validation_ctx,
            format,
            model_options,
            tool_calls,
        )
        if not await self._fast(run):
            _log.info("%d attempts of the fast model failed, asking the slow one", len(run.thunks))
            await run.attempt(self.s2_solver_backend, *self._for_the_slow_one(run))
        return run.result(self.select_from_failure)

    async def _fast(self, run: _Run) -> bool:
        action, context = run.action, run.context
        before: list[int] | None = None
        for _ in range(self.loop_budget):
            failed = await run.attempt(self.s1_solver_backend, action, context)
            if not failed:
                return True
            if failed == before:
                break  # it is told the same again, and has nothing new to say
            before = failed
            action, context = self._next(run, context)
        return False

    def _next(self, run: _Run, context: Context) -> tuple[Any, Context]:
        return self.repair(context, run.contexts[-1], run.actions, run.thunks, run.validations)

    def _for_the_slow_one(self, run: _Run) -> tuple[Any, Context]:
        match self.s2_solver_mode:
            case "fresh_start":
                return run.action, run.context
            case "continue_chat":
                return self._next(run, run.context)
            case "best_attempt":
                return run.best_attempt(), run.context

    def _asked(self, requirement: Requirement) -> Requirement:
        # A class with words of its own for the judge is let be.
        plain = type(requirement).format_for_llm is Requirement.format_for_llm
        plain = plain and type(requirement).validate is Requirement.validate
        if requirement.validation_fn is not None or self.feedback_strategy == "simple" or not plain:
            return requirement
        return _Explained(requirement, self.feedback_strategy)


def _check_backend(name: str, backend: object) -> None:
    if not isinstance(backend, Backend):
        raise TypeError(f"{name} should be a Backend, not {type(backend).__name__}")


def _check_choice(name: str, choice: object, choices: Sequence[str]) -> None:
    if choice not in choices:
        raise ValueError(f"{name} should be one of {', '.join(choices)}, not {choice!r}")


@attrs.define
class _Run:
    """One call of `sample`: what it was given, and the attempts so far."""

    action: Any
    context: Context
    judge: Backend
    asked: list[Requirement]  # as the judge is asked
    wanted: list[Requirement]  # as the caller gave them
    validation_ctx: Context
    format: Any
    model_options: Mapping[str, Any] | None
    tool_calls: bool
    actions: list[Any] = attrs.field(factory=list)
    thunks: list[Thunk] = attrs.field(factory=list)
    validations: list[Validations] = attrs.field(factory=list)
    contexts: list[Context] = attrs.field(factory=list)

    async def attempt(self, backend: Backend, action: Any, context: Context) -> list[int]:
        """Make one attempt; return which requirements it does not meet, by position."""
        thunk, after = await backend.generate_from_context(
            action,
            context,
            format=self.format,
            model_options=self.model_options,
            tool_calls=self.tool_calls,
        )
        async with thunk:
            await thunk
        if action is not self.action and isinstance(self.action, Component):
            thunk.parsed_repr = self.action.parse(thunk)
        results = await validate_all(
            self.asked,
            self.judge,
            self.validation_ctx.add(thunk),
            model_options=self.model_options,
        )
        self.actions.append(action)
        self.thunks.append(thunk)
        self.contexts.append(after)
        self.validations.append(list(zip(self.wanted, results, strict=True)))
        return [position for position, result in enumerate(results) if not result]

    def best_attempt(self) -> BestAttempt:
        """Return the task with the attempt that met most requirements, the later of equals."""
        met = [sum(1 for _, result in each if result) for each in self.validations]
        best = max(range(len(met)), key=lambda index: (met[index], index))
        return BestAttempt(
            self.action, self.thunks[best].value or "", failures(self.validations[best])
        )

    def result(self, select: Callable[..., int]) -> SamplingResult[Any]:
        """Return the outcome: the last attempt if it is valid, or else the one selected."""
        success = all(result for _, result in self.validations[-1])
        index = -1 if success else select(self.actions, self.thunks, self.validations)
        return SamplingResult(
            index % len(self.thunks),
            success,
            sample_generations=self.thunks,
            sample_validations=self.validations,
            sample_actions=self.actions,
            sample_contexts=self.contexts,
        )


class _Explained(Requirement):
    """A requirement whose judge says what is wrong, and not only that something is."""

    def __init__(self, requirement: Requirement, how: Feedback) -> None:
        super().__init__(
            requirement.description,
            output_to_bool=_first_line_means(requirement.output_to_bool or default_output_to_bool),
            check_only=requirement.check_only,
        )
        self._how = how

    def format_for_llm(self) -> TemplateRepresentation:
        """Return what the judge's template needs."""
        return TemplateRepresentation(
            obj=self,
            args={
                "description": self.description,
                "output": self._output,
                "all_errors": self._how == "all_errors",
            },
            template_order=["ExplainedRequirement"],
        )


def _first_line_means(means_yes: Any) -> Any:
    # The errors follow, in words that may well include a yes.
    def judged(answer: object) -> bool:
        return bool(means_yes(str(answer).strip().partition("\n")[0]))

    return judged
