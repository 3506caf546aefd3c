"""`Requirement`: what an answer must be like, and how to find out whether it is.

A requirement says itself to a model in two ways: its description stands in the prompt
of the instruction it belongs to, and, without a function that checks it, the
requirement itself is the action of a second call in which the model judges an answer.
Nothing here knows how several requirements are validated together, or what becomes
of an answer that fails.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

import anyio.lowlevel
import anyio.to_thread
import attrs

from .._thunk.inputs import wait_for_inputs
from .._values.misuse import Misuse
from .component import Component, TemplateRepresentation

if TYPE_CHECKING:
    from .._thunk.thunk import ModelOutputThunk
    from ..backends.base import Backend
    from .context import Context

_PARTIAL: Final = ("pass", "fail", "unknown")


def _truth(result: object) -> bool:
    # A coroutine is true, so a forgotten `await` would pass every answer.
    if isinstance(result, Awaitable):
        raise TypeError(f"a validation result should be a bool, not {result!r}; `await` it first")
    return bool(result)


@attrs.frozen(repr=False)
class ValidationResult:
    """Whether an answer meets a requirement; true if it does.

    Attributes:
        result: whether it does.
        reason: why, in words that help the model to do better.
        score: how well, if that is known.
        thunk: the judge's answer, if a model judged.
        context: the context that the judge's answer ends.
    """

    result: bool = attrs.field(converter=_truth)
    reason: str | None = attrs.field(default=None, kw_only=True)
    score: float | None = attrs.field(default=None, kw_only=True)
    thunk: ModelOutputThunk[Any] | None = attrs.field(default=None, kw_only=True)
    context: Context | None = attrs.field(default=None, kw_only=True)

    def as_bool(self) -> bool:
        """Return whether the requirement is met."""
        return self.result

    def __bool__(self) -> bool:
        return self.result

    def __repr__(self) -> str:
        return f"ValidationResult({self.result}, reason={self.reason!r}, score={self.score!r})"


@attrs.frozen(repr=False)
class PartialValidationResult:
    """What can be said of an answer that is still arriving; true only for ``"pass"``.

    Attributes:
        success: ``"pass"``, ``"fail"``, or ``"unknown"`` as long as it can become either.
        reason: why.
        score: how well, if that is known.
        thunk: the judge's answer, if a model judged.
        context: the context that the judge's answer ends.

    Raises:
        ValueError: *success* is none of the three.
    """

    success: Literal["pass", "fail", "unknown"] = attrs.field()
    reason: str | None = attrs.field(default=None, kw_only=True)
    score: float | None = attrs.field(default=None, kw_only=True)
    thunk: ModelOutputThunk[Any] | None = attrs.field(default=None, kw_only=True)
    context: Context | None = attrs.field(default=None, kw_only=True)

    @success.validator
    def _one_of_three(self, _: object, success: object) -> None:
        if success not in _PARTIAL:
            raise ValueError(f"success must be 'pass', 'fail', or 'unknown', got {success!r}")

    def as_bool(self) -> bool:
        """Return whether the answer is known to be good so far."""
        return self.success == "pass"

    def __bool__(self) -> bool:
        return self.success == "pass"

    def __repr__(self) -> str:
        return (
            f"PartialValidationResult({self.success!r}, reason={self.reason!r}, "
            f"score={self.score!r})"
        )


# What most requirements say of most chunks; it cannot be changed, so one will do.
_UNDECIDED: Final = PartialValidationResult("unknown")

Verdict = ValidationResult | bool
"""What a validation function returns, or an awaitable of one."""


def default_output_to_bool(x: object) -> bool:
    """Tell whether a judge's answer means yes: it is ``y``, or has the word ``yes`` in it."""
    text = str(x).strip().lower()
    return text == "y" or "yes" in re.split(r"\W+", text)


class Requirement(Component[str]):
    """What an answer must be like.

    With *validation_fn* that function decides, otherwise a model is asked. A subclass may
    override `validate`, `stream_validate` or, to be judged in other words, `format_for_llm`.

    Args:
        description: the requirement in words. The prompt and the judge are told; None for
            what only code can check.
        validation_fn: is given a context whose last output is the answer, and returns a
            `ValidationResult` or a bool, or an awaitable of one.
        output_to_bool: tells from the judge's answer whether the requirement is met.
        check_only: leave the description out of the prompt, so that it does not put ideas
            into the model's head.
        in_thread: run *validation_fn* in a worker thread, because it blocks. A validation
            that is cancelled waits for it, since a thread cannot be stopped.

    Raises:
        TypeError: an argument is of the wrong type.
    """

    _output: str | None = None  # what is judged, in the copy that is the judge's action

    def __init__(
        self,
        description: str | None = None,
        validation_fn: Callable[[Any], Verdict | Awaitable[Verdict]] | None = None,
        *,
        output_to_bool: Callable[[Any], bool] | None = default_output_to_bool,
        check_only: bool = False,
        in_thread: bool = False,
    ) -> None:
        if description is not None and not isinstance(description, str):
            raise TypeError(
                "the description of a Requirement should be a string or None, "
                f"not {type(description).__name__}"
            )
        for name, fn in (("validation_fn", validation_fn), ("output_to_bool", output_to_bool)):
            if fn is not None and not callable(fn):
                raise TypeError(f"{name} should be a function, not {type(fn).__name__}")
        self.description = description
        self.validation_fn = validation_fn
        self.output_to_bool = output_to_bool
        self.check_only = check_only
        self.in_thread = in_thread

    async def validate(
        self,
        backend: Backend,
        ctx: Context,
        *,
        format: Any = None,
        model_options: Mapping[str, Any] | None = None,
    ) -> ValidationResult:
        """Tell whether the last output of *ctx* meets the requirement. A checkpoint.

        A last output that is still on its way is waited for. A judge's request is stopped
        at the server when this is cancelled, before the cancellation goes on.

        Args:
            backend: asks the judge.
            ctx: what was said; the judge is told what its class of context tells.
            format: a pydantic model class or a JSON schema for the judge's answer.
            model_options: options for the judge's call.

        Raises:
            Misuse: a judge is needed, and *ctx* has no output to judge.
            TypeError: the validation function returned something else.
            DependencyError: the output that was waited for failed.
            BackendError: the judge failed.
            Exception: what the validation function or *output_to_bool* raises.
        """
        output = ctx.last_output()
        if output is not None:
            await wait_for_inputs([output])
        else:
            await anyio.lowlevel.checkpoint()
        if self.validation_fn is not None:
            return await self._checked(self.validation_fn, ctx)
        if output is None:
            raise Misuse(
                f"there is no output in {ctx!r} that {self!r} could be judged by; "
                "validate a context that ends with an answer"
            )
        return await self._judged(output.value or "", backend, ctx, format, model_options)

    async def _checked(
        self, fn: Callable[[Any], Verdict | Awaitable[Verdict]], ctx: Context
    ) -> ValidationResult:
        try:
            verdict = await anyio.to_thread.run_sync(fn, ctx) if self.in_thread else fn(ctx)
            if isinstance(verdict, Awaitable):
                verdict = await verdict
        except (TypeError, AttributeError) as exc:
            exc.add_note(
                "a validation function is given a context; for a function of the text, "
                "use simple_validate()"
            )
            raise
        return as_result(verdict, getattr(fn, "__qualname__", repr(fn)))

    async def _judged(
        self,
        output: str,
        backend: Backend,
        ctx: Context,
        format: Any,
        model_options: Mapping[str, Any] | None,
    ) -> ValidationResult:
        # A copy, because one requirement may be judged by several answers at once.
        question = copy.copy(self)
        question._output = output
        judgement, context = await backend.generate_from_context(
            question, ctx, format=format, model_options=model_options
        )
        async with judgement:
            text = await judgement
        means_yes = self.output_to_bool or default_output_to_bool
        bare = text.strip().lower() in ("yes", "no")
        return ValidationResult(
            means_yes(judgement),
            reason=self.description if bare else text,
            thunk=judgement,
            context=context,
        )

    async def stream_validate(
        self, chunk: str, *, backend: Backend, ctx: Context
    ) -> PartialValidationResult:
        """Tell what can be said of an answer when one more complete chunk has arrived.

        Args:
            chunk: the chunk alone, without those before it; a subclass may remember them.
            backend: the backend of the generation.
            ctx: what was said before; the answer is not in it yet.
        """
        return _UNDECIDED

    def parts(self) -> list[Any]:
        """Return nothing: a requirement waits for nobody."""
        return []

    def format_for_llm(self) -> TemplateRepresentation | str:
        """Return what the judge's template needs.

        Raises:
            Misuse: outside of `validate`, where there is no output to judge.
        """
        if self._output is None:
            raise Misuse(
                f"{self!r} can be put to a model only while validate() has an output judged by it; "
                "in a prompt, give it to an Instruction"
            )
        return TemplateRepresentation(
            obj=self,
            args={"description": self.description, "output": self._output},
            template_order=["*", "Requirement"],
        )

    def _parse(self, computed: ModelOutputThunk[Any]) -> str:
        return computed.value or ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.description!r})"


def as_result(verdict: object, who: str) -> ValidationResult:
    """Return what a validation gave as a `ValidationResult`; a bool becomes one.

    Raises:
        TypeError: it is neither; names *who* gave it.
    """
    match verdict:
        case ValidationResult():
            return verdict
        case bool():
            return ValidationResult(verdict)
        case _:
            raise TypeError(
                f"{who} should return a ValidationResult or a bool, not {type(verdict).__name__}; "
                "for a function of the text, use simple_validate()"
            )
