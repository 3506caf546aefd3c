"""`stream_with_chunking`: a run that goes on by itself, and is looked at from outside.

The run is a job of the event loop, as a generation is: it needs no block around it and no
reader, ends with its session or its event loop, and soon after everybody who waited for
it has gone. What it has to say is kept in two logs that know nothing of each other.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypedDict

import anyio.lowlevel

from ..._runtime.host import current_host
from ..._runtime.unwinding import see_end
from ..._thunk.generation import Generation
from ..._thunk.thunk import ModelOutputThunk
from ..._values.errors import GenerationCancelled
from ..._values.states import GENERATION, GenerationSignal, GenerationState, advance
from ..._wire.chunking import ChunkingStrategy, chunker_of
from .engine import Requirements, Run, begin_run
from .events import StreamEvent
from .log import Log

if TYPE_CHECKING:
    from ..._language.context import Context
    from ..._language.requirement import PartialValidationResult, Requirement, ValidationResult
    from ...backends.base import Backend
    from .repair import FailedAttempt, StreamRepair

# Text that came in one piece may hold thousands of chunks, and a validator need not wait
# for anything: others want to run, too. A checkpoint for each would double the cost.
_CHECKPOINT_EVERY: Final = 32  # events


class ChunkingOptions(TypedDict, total=False):
    """The keywords of `stream_with_chunking`."""

    requirements: Requirements
    chunking: str | ChunkingStrategy
    validation_backend: Backend | None
    model_options: Mapping[str, Any] | None
    attempts: int
    repair: StreamRepair | None


async def stream_with_chunking(
    action: Any,
    backend: Backend,
    ctx: Context,
    *,
    requirements: Requirements = None,
    chunking: str | ChunkingStrategy = "sentence",
    validation_backend: Backend | None = None,
    model_options: Mapping[str, Any] | None = None,
    attempts: int = 1,
    repair: StreamRepair | None = None,
) -> StreamChunkingResult:
    """Start a generation whose text is cut into chunks and validated while it arrives.

    Returns as soon as the generation has begun; the rest goes on by itself, whether or not
    somebody looks. The first chunk that a requirement calls ``"fail"`` stops the request and
    is never released. A reply that comes to its natural end is validated as a whole.

    Args:
        action: what to say.
        backend: asks the model.
        ctx: what was said before; it stays as it is.
        requirements: what the answer must be like. Each is copied (`copy.copy`) for the run.
        chunking: ``"sentence"``, ``"word"``, ``"paragraph"`` or a strategy.
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
    strategy = chunker_of(chunking)
    run = await begin_run(
        action,
        backend,
        ctx,
        new_cutter=strategy.begin,
        requirements=requirements,
        validation_backend=validation_backend,
        model_options=model_options,
        attempts=attempts,
        repair=repair,
        caller="stream_with_chunking()",
    )
    return StreamChunkingResult(run)


class _Trouble:
    """What ended a run, until somebody has been told."""

    __slots__ = ("error",)

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def raise_once(self) -> None:
        error, self.error = self.error, None
        if error is not None:
            raise error


class StreamChunkingResult:
    """A reply that is validated while it arrives; `stream_with_chunking` returns it.

    Read the validated chunks with `astream`, what happens with `events`, or wait for the end
    with `acomplete`; any of these, at the same time or one after the other, also after the
    end. Giving all of them up stops the request after 0.25 seconds; ``async with result`` stops
    it at once when the block is left. A run that nobody has looked at goes on to its end.

    An error is raised once: by `astream` at its place or by `acomplete`, whichever comes first.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._trouble = _Trouble()
        self._job = Generation(self._work, host=current_host())
        self._events: Log[StreamEvent] = Log("events()", self._job, _nothing)
        self._chunks: Log[str] = Log("astream()", self._job, self._trouble.raise_once)
        self._job.watch(self._over)
        try:
            self._job.start()
        except BaseException:
            run.abandon()
            raise

    # Looking on.

    def events(self) -> AsyncIterator[StreamEvent]:
        """Iterate over what happens; the last event is a `CompletedEvent`.

        Errors are events here and are not raised. There is one reader: a second iteration
        raises `SingleReaderError`, a `RuntimeError`, at its first step.
        """
        return self._events.reader()

    def astream(self) -> AsyncIterator[str]:
        """Iterate over the chunks that were validated; raises what ended the run, at its place.

        There is one reader: a second iteration raises `SingleReaderError`, a `RuntimeError`, at
        its first step.
        """
        return self._chunks.reader()

    async def acomplete(self) -> None:
        """Wait for the end, final validation included. Always a checkpoint; may be repeated.

        Raises:
            BackendError, DependencyError: the reply failed, unless `astream` has said so.
            GenerationCancelled: the reply was cancelled, or its session or event loop ended.
            WrongEventLoop: the run belongs to another event loop.
            PendingReplyError: a requirement of the run waits for it.
            Exception: what a requirement or the chunking strategy raised.
        """
        job = self._job
        job.check_here()
        job.check_outside()
        if job.live:
            job.gain_interest()
            try:
                await job.wait_outcome()
            finally:
                job.lose_interest()
        else:
            await anyio.lowlevel.checkpoint()
        self._trouble.raise_once()

    async def aclose(self) -> None:
        """Stop the request if it is not over, and return when all has unwound.

        What was released stays to be read, and nothing is raised. The wait is shielded: a
        cancellation of the caller is delivered afterwards. A validator of the run that calls
        it is cancelled in here and does not wait. Harmless when repeated.
        """
        job = self._job
        if job.live:
            job.check_here()
        try:
            job.stop("the streaming result was closed", explicitly=True)
            await see_end([job])
        finally:
            # A job that was stopped before its first step has not waited for its request.
            await self._run.thunk.cancel_generation("the streaming result was closed")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    # What came of it.

    @property
    def completed(self) -> bool:
        """False once something has failed or the run was stopped; true until then."""
        return self._run.success

    @property
    def full_text(self) -> str:
        """The text up to the end of the last chunk that was released; all of it in the end."""
        return self._run.full_text

    @property
    def final_validations(self) -> list[ValidationResult]:
        """What the requirements said of the whole reply, in their order."""
        return self._run.validations

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
    def as_thunk(self) -> ModelOutputThunk[str]:
        """A computed thunk of `full_text`, with the facts about the generation.

        Raises:
            RuntimeError: the run is not over.
        """
        if self._job.live:
            raise RuntimeError(
                "as_thunk is there when the run is over: `await result.acomplete()` first"
            )
        reply = self._run.thunk
        text = self.full_text
        thunk = ModelOutputThunk(text, parsed_repr=text)
        thunk.generation = copy.copy(reply.generation)
        if reply.cancelled:
            planned = advance(GENERATION, GenerationState.BLANK, GenerationSignal.PLANNED)
            thunk._source.state = advance(GENERATION, planned, GenerationSignal.CANCELLED)
        return thunk

    def __repr__(self) -> str:
        state = "running" if self._job.live else "completed" if self.completed else "failed"
        return f"<StreamChunkingResult, {state}>"

    # The job.

    async def _work(self, _: Generation) -> None:
        run = self._run
        told = 0
        try:
            while (event := run.next_event() or await run.step()) is not None:
                self._tell(event)
                told += 1
                if told % _CHECKPOINT_EVERY == 0:
                    await anyio.lowlevel.checkpoint()
        except GeneratorExit:
            raise  # the event loop was closed under it, and nothing can be awaited any more
        except BaseException:
            await run.aclose()
            raise

    def _over(self, job: Generation) -> None:
        """Take the end of the job, which may never have begun."""
        run = self._run
        run.abandon()
        while (event := run.next_event()) is not None:
            self._tell(event)
        error = run.error or job.error
        if isinstance(error, GenerationCancelled) and not error.partial:
            error.partial = run.full_text
        self._trouble.error = error
        self._chunks.close()
        self._events.close()

    def _tell(self, event: StreamEvent) -> None:
        for chunk in self._run.standing(event):
            self._chunks.add(chunk)
        self._events.add(event)


def _nothing() -> None:
    """Raise nothing at the end of the events."""
