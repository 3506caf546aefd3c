"""`stream`: a run on its reader's own task.

Nothing goes on behind the reader's back but the request itself: the next chunk is cut and
validated when it is asked for, so a slow reader slows its validators down.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypedDict

import anyio.lowlevel

from ..._values.errors import SingleReaderError
from ..._wire.chunking import Chunker, ChunkingStrategy, resolve_chunking_strategy
from .engine import Requirements, Run, begin_run

if TYPE_CHECKING:
    from ..._language.context import Context
    from ..._language.requirement import PartialValidationResult, Requirement, ValidationResult
    from ..._thunk.thunk import ModelOutputThunk
    from ...backends.base import Backend
    from .repair import FailedAttempt, StreamRepair


class StreamOptions(TypedDict, total=False):
    """The keywords of `stream`."""

    requirements: Requirements
    chunking: str | ChunkingStrategy | None
    validation_backend: Backend | None
    model_options: Mapping[str, Any] | None
    attempts: int
    repair: StreamRepair | None


async def stream(
    action: Any,
    backend: Backend,
    ctx: Context,
    *,
    chunking: str | ChunkingStrategy | None = None,
    requirements: Requirements = None,
    validation_backend: Backend | None = None,
    model_options: Mapping[str, Any] | None = None,
    attempts: int = 1,
    repair: StreamRepair | None = None,
) -> Streamer:
    """Start a generation whose reader gets chunks that were validated.

        async with await stream(action, m.backend, m.ctx, chunking="sentence") as chunks:
            async for chunk in chunks:
                ...

    Args:
        action: what to say.
        backend: asks the model.
        ctx: what was said before; it stays as it is.
        chunking: ``"sentence"``, ``"word"``, ``"paragraph"`` or a strategy; without it the
            chunks are the text as it arrives.
        requirements: what the answer must be like. Each is copied (`copy.copy`) for the run.
        validation_backend: what requirements are given to ask a model with; *backend*
            without it.
        model_options: options for the call.
        attempts: how often the model may be asked: after a chunk that is not valid the
            request is stopped and the next attempt begins, as it does after a reply that is
            not valid as a whole, unless *repair* keeps text.
        repair: what the next attempt is asked, and whether it goes on behind the text that
            was validated (`GoOn`) or from the beginning (`StartOver`, the default).

    Raises:
        ValueError: there is no such *chunking*, or an option is wrong.
        TypeError: an argument is of the wrong type.
        RuntimeError: the backend returned a reply that is complete already.
        WrongEventLoop: a pending part belongs to another event loop.
        SessionClosed: the owner of the calling code has ended.
        Exception: what a requirement's ``__copy__`` raises.
    """
    strategy = None if chunking is None else resolve_chunking_strategy(chunking)
    run = await begin_run(
        action,
        backend,
        ctx,
        new_cutter=lambda: None if strategy is None else Chunker(strategy),
        requirements=requirements,
        validation_backend=validation_backend,
        model_options=model_options,
        attempts=attempts,
        repair=repair,
        caller="stream()",
    )
    return Streamer(run)


class Streamer(AsyncIterator[str]):
    """Iterates over validated chunks; `stream` returns it.

    A second ``async for`` goes on where the first one stopped. A chunk that is not valid
    stops the request and ends the iteration, see `failed_early`; errors are raised, once.

    Attributes:
        streaming_id: a name for this run.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._reading = False
        self._told = False  # of the error
        self._chunks: deque[str] = deque()  # that stand, and were not asked for
        self.streaming_id: str = str(uuid.uuid4())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        """Return the next chunk, when it is there and valid. Always a checkpoint.

        A step that is cancelled while it waits for text loses nothing. One that is cancelled
        while validators are at work ends the run: its request has been stopped when the
        cancellation comes out.

        Raises:
            SingleReaderError: another task is in here.
            BackendError, GenerationCancelled, DependencyError: the reply failed.
            Exception: what a requirement or the chunking strategy raised.
        """
        if self._reading:
            raise SingleReaderError(
                "another task is waiting for the next chunk of this stream; read it in one task"
            )
        run = self._run
        self._reading = True
        try:
            await anyio.lowlevel.checkpoint()
            while not self._chunks and (event := await run.step()) is not None:
                self._chunks.extend(run.standing(event))
            if self._chunks:
                return self._chunks.popleft()
        finally:
            self._reading = False
            if run.interrupted:
                await run.aclose()
        if run.error is not None and not self._told:
            self._told = True
            raise run.error
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop the request if it is not over, and return when it has unwound.

        The wait is shielded: a cancellation of the caller is delivered afterwards. Harmless
        when repeated.
        """
        self._told = self._told or not self._run.over
        await self._run.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    @property
    def failed_early(self) -> bool:
        """Whether a chunk was not valid."""
        return bool(self._run.failures)

    @property
    def completed_normally(self) -> bool:
        """Whether the reply came to its natural end and all of it was given out."""
        return self._run.complete

    @property
    def failure_reason(self) -> str | None:
        """Why a chunk was not valid, in the words of the first requirement that said so."""
        if not self._run.failures:
            return None
        requirement, result = self._run.failures[0]
        where = " on flush" if self._run.failed_on_flush else ""
        reason = result.reason or requirement.description or type(requirement).__name__
        return f"Streaming validation failed{where}: {reason}"

    @property
    def streaming_failures(self) -> list[tuple[Requirement, PartialValidationResult]]:
        """The requirements that called a chunk ``"fail"``, with what they said, in their order."""
        return self._run.failures

    @property
    def attempts_used(self) -> int:
        """How often the model was asked, so far."""
        return self._run.attempt

    @property
    def failed_attempts(self) -> list[FailedAttempt]:
        """The attempts that were given up for another one, oldest first."""
        return self._run.given_up

    @property
    def full_text(self) -> str:
        """The text up to the end of the last chunk that was given out."""
        return self._run.full_text

    @property
    def mot(self) -> ModelOutputThunk[Any] | None:
        """The reply, once it has come to its natural end."""
        return self._run.thunk if self._run.complete else None

    @property
    def final_validations(self) -> list[ValidationResult]:
        """What the requirements said of the whole reply, in their order."""
        return self._run.validations

    def __repr__(self) -> str:
        return f"<Streamer {self.streaming_id}>"
