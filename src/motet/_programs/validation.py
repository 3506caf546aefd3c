"""Validating one output by all of its requirements, at the same time.

Knows that some of them ask a model and some call a function; each `Requirement` knows
how it does that. Does not know what happens to an output that fails.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._language.requirement import Requirement, ValidationResult, as_result
from .concurrently import run_all

if TYPE_CHECKING:
    from .._language.context import Context
    from ..backends.base import Backend


async def validate_all(
    requirements: Sequence[Requirement],
    backend: Backend,
    ctx: Context,
    *,
    format: Any = None,
    model_options: Mapping[str, Any] | None = None,
) -> list[ValidationResult]:
    """Validate the last output of *ctx*; return the results in the order of *requirements*.

    A checkpoint, unless there is nothing to validate. The first validation that raises
    stops the others, the requests of judges included, and its error is raised as it is.
    So does a cancellation; functions that run in a worker thread are waited for.

    Args:
        requirements: what to validate; one that stands there twice is validated twice.
        backend: asks the judges.
        ctx: a context that ends with the output.
        format: a pydantic model class or a JSON schema for the judges' answers.
        model_options: options for the judges' calls.

    Raises:
        Exception: as `Requirement.validate`.
    """

    async def validate(requirement: Requirement) -> ValidationResult:
        result = await requirement.validate(
            backend, ctx, format=format, model_options=model_options
        )
        # A subclass may have its own validate(), and a bool is what many would return.
        return as_result(result, f"{type(requirement).__name__}.validate()")

    return await run_all([functools.partial(validate, each) for each in requirements])
