"""One call of a generative function: what the model is told, and how its answer is read."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar

import anyio.lowlevel
import attrs

from ..._language.component import Component, ComponentParseError, TemplateRepresentation
from ..._language.records import misfits
from ..._language.requirement import Requirement, ValidationResult
from ..._thunk.thunk import ModelOutputThunk
from .arguments import Arguments
from .function import Function

if TYPE_CHECKING:
    from ..._language.context import Context
    from ...backends.base import Backend

R = TypeVar("R")

# Enough of a reply to see what is wrong with it, and little enough for a log.
_MOST_SHOWN: Final = 500  # characters


class ReplyMismatch(ComponentParseError):
    """A reply is not of the type that a generative function returns.

    The ``pydantic.ValidationError`` that says why is the ``__cause__``.

    Attributes:
        reply: the reply.
        function: the name of the function.
        reasons: what does not fit, one line for each place.
    """

    def __init__(self, function: str, reply: str, reasons: Sequence[str]) -> None:
        self.function = function
        self.reply = reply
        self.reasons: list[str] = list(reasons)
        shown = reply if len(reply) <= _MOST_SHOWN else f"{reply[:_MOST_SHOWN]}..."
        super().__init__(
            f"the reply does not fit what {function}() returns: {'; '.join(reasons)}; "
            f"the reply was: {shown}"
        )


@attrs.frozen
class Misfit:
    """What a reply that does not fit is read as, where a strategy may still repair it."""

    error: ReplyMismatch


class GenerativeCall(Component[R], Generic[R]):
    """One call of a generative function.

    Args:
        function: the function.
        arguments: its arguments; parts of them may be pending.
        requirements: what the result must be like, told to the model.
        repairable: read an answer that does not fit as a `Misfit`, and do not fail.
    """

    def __init__(
        self,
        function: Function,
        arguments: Arguments,
        requirements: Sequence[Requirement] = (),
        *,
        repairable: bool = False,
    ) -> None:
        self._function = function
        self._arguments = arguments
        self._requirements = list(requirements)
        self._repairable = repairable
        self._repair: str | Component[Any] | None = None

    @property
    def requirements(self) -> list[Requirement]:
        """The requirements, in order."""
        return list(self._requirements)

    def copy_and_repair(self, repair: str | Component[Any]) -> Self:
        """Return the call for the next attempt, which says what was wrong with the last."""
        twin = copy.copy(self)
        twin._repair = repair
        return twin

    def parts(self) -> list[Any]:
        """Return the arguments, and what was wrong with an earlier attempt."""
        return [self._arguments, self._repair]

    def format_for_llm(self) -> TemplateRepresentation:
        """Return what the template needs; every pending part must have arrived."""
        return TemplateRepresentation(
            obj=self,
            args={
                "function": {**self._function.described},
                "arguments": self._arguments or None,
                "requirements": [
                    each.description
                    for each in self._requirements
                    if each.description and not each.check_only
                ],
                "repair": self._repair,
            },
            template_order=["*", "GenerativeCall"],
        )

    def parse(self, computed: ModelOutputThunk[Any]) -> R:
        """Return the value that the answer stands for.

        Raises:
            ReplyMismatch: it is of another type; not for a call that can be repaired.
        """
        try:
            return self._parse(computed)
        except ReplyMismatch as exc:
            if self._repairable:
                return Misfit(exc)  # type: ignore[return-value]  # the stub looks for it
            raise

    def _parse(self, computed: ModelOutputThunk[Any]) -> R:
        reply = computed.value or ""
        try:
            result: R = self._function.response.model_validate_json(reply).result  # type: ignore[attr-defined]
        except Exception as exc:  # code of the program's, run by pydantic, may raise anything
            raise ReplyMismatch(self._function.name, reply, misfits(exc)) from exc
        return result

    def misfit(self, output: ModelOutputThunk[Any] | None) -> ReplyMismatch | None:
        """Return why an answer is not of the type that the function returns, None if it is."""
        try:
            self._parse(ModelOutputThunk("") if output is None else output)
        except ReplyMismatch as exc:
            return exc
        return None

    def checked_by(self, requirements: Sequence[Requirement]) -> list[Requirement]:
        """Return what an answer is checked by: that it fits, and, if it does, *requirements*."""
        return [_Fits(self), *(_OnceItFits(each, self) for each in requirements)]

    def __repr__(self) -> str:
        return f"GenerativeCall({self._function.name})"


class _Fits(Requirement):
    """That an answer is of the type that the function returns."""

    def __init__(self, call: GenerativeCall[Any]) -> None:
        def validate(ctx: Context) -> ValidationResult:
            misfit = call.misfit(ctx.last_output())
            if misfit is None:
                return ValidationResult(True)
            return ValidationResult(False, reason="\n".join(misfit.reasons))

        # The server is told by the format, so the model need not be.
        super().__init__(
            f"The answer is of the type that {call._function.name}() returns.",
            validate,
            check_only=True,
        )


class _OnceItFits(Requirement):
    """A requirement that is spared answers which are not even of the right type.

    Its author did not write it for those, and that they do not fit is all that the model
    needs to be told.
    """

    def __init__(self, requirement: Requirement, call: GenerativeCall[Any]) -> None:
        super().__init__(requirement.description, check_only=requirement.check_only)
        self._requirement = requirement
        self._call = call

    async def validate(self, backend: Backend, ctx: Context, **options: Any) -> ValidationResult:
        if self._call.misfit(ctx.last_output()) is not None:
            await anyio.lowlevel.checkpoint()
            return ValidationResult(True, reason="Not checked: the answer does not fit.")
        return await self._requirement.validate(backend, ctx, **options)
