"""One run of streaming validation, a step at a time.

    deltas -> cutter -> validators, all at once for each chunk -> released

A run is pulled: `Run.step` works until there is an event to tell and returns it, so that
the same engine serves a reader on its own task and a job that goes on by itself. It knows
in which order events come and what each ending leaves behind; not who reads them.
"""

from __future__ import annotations

import copy
import enum
import functools
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from ..._language.requirement import PartialValidationResult, Requirement, ValidationResult
from ..._values.errors import GenerationCancelled
from ..._values.options import ModelOption
from ..checks import reqify
from ..concurrently import run_all
from ..validation import validate_all
from .events import (
    ChunkEvent,
    CompletedEvent,
    ErrorEvent,
    FullValidationEvent,
    QuickCheckEvent,
    StreamEvent,
    StreamingDoneEvent,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..._language.context import Context
    from ..._thunk.thunk import ModelOutputThunk
    from ..._wire.chunking import Cutter
    from ...backends.base import Backend

Requirements: TypeAlias = Sequence[Requirement | str] | None

_FIRST: Final = 1  # attempts are counted from 1, and there is one


class _Phase(enum.Enum):
    """What a run does next."""

    READING = "reading"  # more text may come
    FLUSHED = "flushed"  # the text is complete, its last chunk may be unreleased
    JUDGING = "judging"  # all is released and to be validated as a whole
    ENDING = "ending"
    INTERRUPTED = "interrupted"  # cancelled while a validator had not answered
    OVER = "over"


async def begin_run(
    action: Any,
    backend: Backend,
    ctx: Context,
    *,
    cutter: Cutter | None,
    requirements: Requirements,
    validation_backend: Backend | None,
    model_options: Mapping[str, Any] | None,
    caller: str,
) -> Run:
    """Copy the requirements, start the generation and return the run.

    Args:
        action: what to say.
        backend: asks the model.
        ctx: what was said before.
        cutter: cuts the text; without it every delta is a chunk.
        requirements: what every chunk and the whole must be like; copies are used.
        validation_backend: what validators are given; *backend* without it.
        model_options: options for the call.
        caller: the function that the user called, for messages.

    Raises:
        TypeError, ValueError: an argument cannot be used.
        RuntimeError: the backend has no reply that could be streamed.
        Exception: what a requirement's ``__copy__`` raises.
    """
    copies = [copy.copy(reqify(each)) for each in requirements or ()]
    thunk, answered = await backend.generate_from_context(
        action, ctx, model_options={**(model_options or {}), ModelOption.STREAM: True}
    )
    if thunk.is_computed():
        raise RuntimeError(
            f"{caller} needs a reply that is still to come, and {backend!r} returned a computed "
            "one; use a backend that streams when ModelOption.STREAM is set"
        )
    return Run(thunk, answered, cutter, copies, validation_backend or backend)


@attrs.define(eq=False)
class Run:
    """One reply, from its first delta to a `CompletedEvent`.

    Attributes:
        thunk: the reply.
        requirements: copies that this run alone uses.
        success: false when something failed, or the run was stopped.
        error: what ended the run, if an error did, or a cancellation of the reply.
        failures: requirements that said ``"fail"``, with what they said.
        failed_on_flush: whether that was about the text's last chunk, which had no end.
        validations: what the requirements said of the whole reply.
        complete: whether the reply came to its natural end.
    """

    thunk: ModelOutputThunk[Any]
    _ctx: Context
    _cutter: Cutter | None
    requirements: Sequence[Requirement]
    _backend: Backend
    success: bool = attrs.field(default=True, init=False)
    error: BaseException | None = attrs.field(default=None, init=False)
    failures: list[tuple[Requirement, PartialValidationResult]] = attrs.field(
        factory=list, init=False
    )
    failed_on_flush: bool = attrs.field(default=False, init=False)
    validations: list[ValidationResult] = attrs.field(factory=list, init=False)
    complete: bool = attrs.field(default=False, init=False)
    _phase: _Phase = attrs.field(default=_Phase.READING, init=False)
    _deltas: AsyncIterator[str] = attrs.field(init=False)
    _chunks: deque[str] = attrs.field(factory=deque, init=False)  # cut and not validated
    _released: list[str] = attrs.field(factory=list, init=False)
    _events: deque[StreamEvent] = attrs.field(factory=deque, init=False)  # not told

    def __attrs_post_init__(self) -> None:
        self._deltas = aiter(self.thunk)

    @property
    def over(self) -> bool:
        """Whether nothing is left to do; events may be left to be told."""
        return self._phase is _Phase.OVER

    @property
    def interrupted(self) -> bool:
        """Whether validators were cancelled, so that the run can only be closed."""
        return self._phase is _Phase.INTERRUPTED

    @property
    def full_text(self) -> str:
        """The text that was released, from the beginning to the end of the last chunk.

        After the natural end all of the text.
        """
        text = self.thunk.partial
        if self.complete:
            return text
        end = 0
        for number, chunk in enumerate(self._released):
            begin = text.find(chunk, end)
            if begin < 0:  # a strategy of the user's may return what is not in the text
                return text[:end] + "".join(self._released[number:])
            end = begin + len(chunk)
        return text[:end]

    async def step(self) -> StreamEvent | None:
        """Return the next event, None after the last. A checkpoint when it reads.

        A step that is cancelled while it reads has lost nothing. One that is cancelled while
        it validates leaves the run `interrupted`, because a validator that counts would
        count a chunk twice.
        """
        while not self._events and self._phase is not _Phase.OVER:
            try:
                await self._advance()
            except Exception as exc:
                self.error = exc
                await self._end(success=False, telling=exc)
        return self._events.popleft() if self._events else None

    def next_event(self) -> StreamEvent | None:
        """Return an event that has happened and was not told, if there is one."""
        return self._events.popleft() if self._events else None

    async def aclose(self) -> None:
        """Stop the request if it is not over, and end the run. Harmless when repeated."""
        if self._phase is not _Phase.OVER:
            await self._end(success=False)

    def abandon(self) -> None:
        """End the run without waiting for the request, which is told to stop."""
        if self._phase is not _Phase.OVER:
            with suppress(RuntimeError):  # the event loop was closed under both
                self._stop_request("its run is over")
            self._finish(success=False)

    async def _advance(self) -> None:
        match self._phase:
            case _Phase.READING:
                # Straight on to the first chunk that a delta completes: the hot path.
                if not self._chunks:
                    await self._read()
                if self._chunks:
                    await self._check(self._chunks.popleft())
            case _Phase.FLUSHED if self._chunks:
                await self._check(self._chunks.popleft())
            case _Phase.FLUSHED:
                self.complete = True
                self._events.append(StreamingDoneEvent(_FIRST, self.full_text))
                self._phase = _Phase.JUDGING if self.requirements else _Phase.ENDING
            case _Phase.JUDGING:
                await self._judge()
            case _Phase.ENDING:
                await self._end(success=True)
            case _Phase.INTERRUPTED | _Phase.OVER:
                await self.aclose()

    async def _read(self) -> None:
        try:
            delta = await anext(self._deltas)
        except StopAsyncIteration:
            if self.thunk.cancelled:
                self.error = GenerationCancelled(
                    "the reply was cancelled while it was streamed", partial=self.thunk.partial
                )
                await self._end(success=False)
                return
            if self._cutter is not None:
                self._chunks.extend(self._cutter.flush())
            self._phase = _Phase.FLUSHED
        except GenerationCancelled as exc:
            self.error = exc
            await self._end(success=False)
        else:
            if self._cutter is None:
                self._chunks.append(delta)
            else:
                self._chunks.extend(self._cutter.feed(delta))

    async def _check(self, chunk: str) -> None:
        """Have all requirements look at a chunk; release it, or end the run."""
        index = len(self._released)
        if self.requirements:
            phase, self._phase = self._phase, _Phase.INTERRUPTED
            results = await run_all(
                [functools.partial(self._validate, each, chunk) for each in self.requirements]
            )
            self._phase = phase
            passed = all(result.success != "fail" for result in results)
            self._events.append(QuickCheckEvent(index, _FIRST, passed, results))
            if not passed:
                self.failures = [
                    (requirement, result)
                    for requirement, result in zip(self.requirements, results, strict=True)
                    if result.success == "fail"
                ]
                self.failed_on_flush = phase is _Phase.FLUSHED
                await self._end(success=False)
                return
        self._released.append(chunk)
        self._events.append(ChunkEvent(chunk, index, _FIRST))

    async def _validate(self, requirement: Requirement, chunk: str) -> PartialValidationResult:
        try:
            result = await requirement.stream_validate(chunk, backend=self._backend, ctx=self._ctx)
            if not isinstance(result, PartialValidationResult):
                raise TypeError(
                    f"{type(requirement).__name__}.stream_validate() should return a "
                    f"PartialValidationResult, not {type(result).__name__}"
                )
        except BaseException:
            self._stop_request("the validation of a chunk did not end")
            raise
        # At once, and not when the others have answered: each token costs.
        if result.success == "fail":
            self._stop_request("a chunk is not valid")
        return result

    async def _judge(self) -> None:
        self._phase = _Phase.INTERRUPTED
        self.validations = await validate_all(self.requirements, self._backend, self._ctx)
        self._phase = _Phase.ENDING
        self._events.append(
            FullValidationEvent(_FIRST, all(map(bool, self.validations)), self.validations)
        )

    def _stop_request(self, reason: str) -> None:
        self.thunk._source.stop(reason, explicitly=True)

    async def _end(self, *, success: bool, telling: Exception | None = None) -> None:
        """Have the request unwind, then say that the run is over, whatever happens meanwhile."""
        try:
            await self.thunk.cancel_generation("its run is over")
        finally:
            self._finish(success=success, telling=telling)

    def _finish(self, *, success: bool, telling: Exception | None = None) -> None:
        if self._phase is _Phase.OVER:
            return
        self._phase = _Phase.OVER
        self.success = success
        self._chunks.clear()
        if telling is not None:
            self._events.append(ErrorEvent(type(telling).__name__, str(telling)))
        self._events.append(CompletedEvent(success, self.full_text, _FIRST))
