"""Requirements that follow a script, for tests of streaming validation."""

import math
from collections.abc import AsyncIterable, Mapping
from typing import Any, TypeVar

import anyio

from motet import Backend, Context, PartialValidationResult, Requirement, ValidationResult

T = TypeVar("T")

Verdict = str | BaseException


class Scripted(Requirement):
    """Says of each chunk what it is told to, and remembers what it was asked.

    Args:
        verdicts: by chunk: ``"pass"``, ``"fail"`` or an error; ``"unknown"`` for all others.
        name: stands in every reason.
        seconds: how long it takes for a chunk; by chunk.
        final: what it says of the whole.
        log: gets what happens, in order, of all that share it.
    """

    def __init__(
        self,
        verdicts: Mapping[str, Verdict] | None = None,
        *,
        name: str = "r",
        seconds: Mapping[str, float] | None = None,
        final: bool | BaseException = True,
        log: list[str] | None = None,
    ) -> None:
        super().__init__(name)
        self.verdicts = verdicts or {}
        self.name = name
        self.seconds = seconds or {}
        self.final = final
        self.log: list[str] = [] if log is None else log
        self.backends: list[Backend] = []

    async def stream_validate(
        self, chunk: str, *, backend: Backend, ctx: Context
    ) -> PartialValidationResult:
        self.log.append(f"{self.name} asked {chunk}")
        self.backends.append(backend)
        try:
            seconds = self.seconds.get(chunk, 0)
            if seconds == math.inf:
                await anyio.sleep_forever()
            elif seconds:
                await anyio.sleep(seconds)
        except anyio.get_cancelled_exc_class():
            self.log.append(f"{self.name} cancelled {chunk}")
            raise
        verdict = self.verdicts.get(chunk, "unknown")
        if isinstance(verdict, BaseException):
            raise verdict
        return PartialValidationResult(verdict, reason=f"{self.name}: {chunk}")  # type: ignore[arg-type]  # as told

    async def validate(
        self,
        backend: Backend,
        ctx: Context,
        *,
        format: Any = None,
        model_options: Mapping[str, Any] | None = None,
    ) -> ValidationResult:
        self.backends.append(backend)
        output = ctx.last_output()
        assert output is not None
        self.log.append(f"{self.name} judged {output.value}")
        if isinstance(self.final, BaseException):
            raise self.final
        return ValidationResult(self.final, reason=f"{self.name}: whole")


async def collect(items: AsyncIterable[T], into: list[T]) -> None:
    """Append what comes, so that what came before an error is there."""
    async for item in items:
        into.append(item)  # noqa: PERF401 - an error must not lose the list
