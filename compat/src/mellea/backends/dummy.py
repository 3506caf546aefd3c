"""A backend that says what it is told, for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from motet import Context, ModelOutputThunk

from ..core.backend import Backend

__all__ = ["DummyBackend"]


class DummyBackend(Backend):
    """Says what it is told, in order, or ``"dummy"`` for ever. It knows no formats.

    Args:
        responses: what to say; None for ``"dummy"``.
    """

    _provider = "dummy"

    def __init__(self, responses: Sequence[str] | None) -> None:
        self._model_id = "dummy"
        self.responses = responses
        self.idx = 0

    def _next(self, format: Any) -> ModelOutputThunk[Any]:
        if format is not None:
            raise _NoFormats("the DummyBackend knows no formats")
        if self.responses is None:
            return ModelOutputThunk("dummy")
        if self.idx >= len(self.responses):
            raise Exception(  # noqa: TRY002 - the class that programs expect
                f"DummyBackend expected no more than {len(self.responses)} calls."
            )
        self.idx += 1
        return ModelOutputThunk(self.responses[self.idx - 1])

    async def _generate_from_context(
        self,
        action: Any,
        ctx: Context,
        *,
        format: Any = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
    ) -> tuple[ModelOutputThunk[Any], Context]:
        thunk = self._next(format)
        return thunk, ctx.add(action).add(thunk)

    async def _generate_from_raw(
        self,
        actions: Sequence[Any],
        ctx: Context,
        *,
        format: Any = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
    ) -> tuple[list[ModelOutputThunk[Any]], dict[str, Any] | None]:
        return [self._next(format) for _ in actions], None


class _NoFormats(ValueError, AssertionError):
    """Programs expect an `AssertionError`."""
