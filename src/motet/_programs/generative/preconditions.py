"""What the arguments of a generative function must be like, checked before the call."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..._language.component import TemplateRepresentation
from ..._language.context import SimpleContext
from ..._language.requirement import Requirement, ValidationResult
from ..._thunk.thunk import ModelOutputThunk
from ..._values.errors import MotetError
from ...backends.base import Backend
from ..checks import reqify
from ..validation import validate_all
from .arguments import Arguments

_log: Final = logging.getLogger("motet")


class PreconditionException(MotetError):
    """The arguments of a generative function are not what its caller requires of them.

    Attributes:
        validation: the results, one for each precondition.
    """

    def __init__(self, message: str, validation: Sequence[ValidationResult]) -> None:
        super().__init__(message)
        self.validation: list[ValidationResult] = list(validation)


class ArgPreconditionRequirement(Requirement):
    """A requirement on arguments: a judge is told that they are such.

    Args:
        requirement: the requirement; a function or a class of its own that checks it does so.
    """

    def __init__(self, requirement: Requirement) -> None:
        super().__init__(
            requirement.description,
            requirement.validation_fn,
            output_to_bool=requirement.output_to_bool,
            check_only=requirement.check_only,
            in_thread=requirement.in_thread,
        )

    def format_for_llm(self) -> TemplateRepresentation:
        """Return what the judge's template needs."""
        return TemplateRepresentation(
            obj=self,
            args={"description": self.description, "arguments": self._output},
            template_order=["*", "ArgPreconditionRequirement"],
        )


async def check_preconditions(
    requirements: Sequence[Requirement | str],
    arguments: Arguments,
    name: str,
    backend: Backend,
    model_options: Mapping[str, Any] | None,
) -> None:
    """Make sure that arguments meet their requirements. A checkpoint, if there are any.

    Each is checked on the text of the argument list, all at once. Every part of the
    arguments must have arrived.

    Raises:
        PreconditionException: one is not met.
        Exception: as `Requirement.validate`.
    """
    if not arguments:
        _log.warning("%s() has no arguments, so its preconditions are not checked", name)
        return
    checks = [_about_arguments(reqify(each)) for each in requirements]
    text = backend.formatter.print(arguments)
    results = await validate_all(
        checks,
        backend,
        SimpleContext().add(ModelOutputThunk(text)),
        model_options=model_options,
    )
    failed = [
        result.reason or check.description or "a check that does not say what it checks"
        for check, result in zip(checks, results, strict=True)
        if not result
    ]
    if failed:
        raise PreconditionException(
            f"the arguments of {name}() do not meet its preconditions: {'; '.join(failed)}", results
        )


def _about_arguments(requirement: Requirement) -> Requirement:
    # A class that validates in its own way, or has its own words for the judge, is let be.
    own = type(requirement)
    if own.validate is Requirement.validate and own.format_for_llm is Requirement.format_for_llm:
        return ArgPreconditionRequirement(requirement)
    return requirement
