"""One run of streaming validation, a step at a time.

    deltas -> cutter -> validators, all at once for each chunk -> released

A run is pulled: `Run.step` works until there is an event to tell and returns it, so that
the same engine serves a reader on its own task and a job that goes on by itself. It knows
in which order events come and what each ending leaves behind; not who reads them.

A run may have several attempts. What they have in common is in its `Order`; what the next
one is asked is the business of a `StreamRepair`.
"""

from __future__ import annotations

import copy
import enum
import functools
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from ..._language.requirement import PartialValidationResult, Requirement, ValidationResult
from ..._runtime.host import current_host
from ..._runtime.owner import Owner, current_owner, owned_by
from ..._thunk.thunk import ModelOutputThunk
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
    RetryEvent,
    StreamEvent,
    StreamingDoneEvent,
)
from .repair import FailedAttempt, StartOver, StreamRepair

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..._language.context import Context
    from ..._wire.chunking import Cutter
    from ...backends.base import Backend

Requirements: TypeAlias = Sequence[Requirement | str] | None


class _Phase(enum.Enum):
    """What a run does next."""

    READING = "reading"  # more text may come
    FLUSHED = "flushed"  # the text is complete, its last chunk may be unreleased
    JUDGING = "judging"  # all is released and to be validated as a whole
    ENDING = "ending"
    INTERRUPTED = "interrupted"  # cancelled while a validator had not answered
    OVER = "over"


@attrs.frozen(eq=False)
class Order:
    """What is wanted: all that the attempts of a run have in common.

    Attributes:
        action: what to say.
        backend: asks the model.
        ctx: what was said before.
        new_cutter: makes what cuts the text of an attempt; every delta is a chunk if it
            makes None.
        requirements: what every chunk and the whole must be like; each attempt uses copies.
        validation_backend: what validators are given.
        model_options: options for every attempt.
        attempts: how many there may be.
        repair: what the next attempt is asked.
        owner: whom the run belongs to, None if it was begun by code without an owner. Code
            that has another one, or none, may read it, and no request of its attempts and
            validators is to outlive the session that it was begun by.
    """

    action: Any
    backend: Backend
    ctx: Context
    new_cutter: Callable[[], Cutter | None]
    requirements: Sequence[Requirement]
    validation_backend: Backend
    model_options: Mapping[str, Any]
    attempts: int
    repair: StreamRepair
    owner: Owner | None

    async def ask(self, action: Any, ctx: Context) -> tuple[ModelOutputThunk[Any], Context]:
        """Start the generation of an attempt. Does not wait for it."""
        with owned_by(self.owner):
            return await self.backend.generate_from_context(
                action, ctx, model_options=self.model_options
            )


async def begin_run(
    action: Any,
    backend: Backend,
    ctx: Context,
    *,
    new_cutter: Callable[[], Cutter | None],
    requirements: Requirements,
    validation_backend: Backend | None,
    model_options: Mapping[str, Any] | None,
    attempts: int,
    repair: StreamRepair | None,
    caller: str,
) -> Run:
    """Copy the requirements, start the generation and return the run.

    Args:
        action: what to say.
        backend: asks the model.
        ctx: what was said before.
        new_cutter: makes what cuts the text; every delta is a chunk if it makes None.
        requirements: what every chunk and the whole must be like; copies are used.
        validation_backend: what validators are given; *backend* without it.
        model_options: options for the call.
        attempts: how often the model may be asked.
        repair: what the next attempt is asked; `StartOver` without it.
        caller: the function that the user called, for messages.

    Raises:
        TypeError, ValueError: an argument cannot be used.
        RuntimeError: the backend has no reply that could be streamed.
        Exception: what a requirement's ``__copy__`` raises.
    """
    if isinstance(attempts, bool) or not isinstance(attempts, int):
        raise TypeError(f"attempts should be a whole number, not {attempts!r}")
    if attempts < 1:
        raise ValueError(f"attempts should be 1 or more, not {attempts}")
    if repair is not None and not isinstance(repair, StreamRepair):
        raise TypeError(
            f"repair should be a StreamRepair, such as StartOver(), not {type(repair).__name__}"
        )
    order = Order(
        action,
        backend,
        ctx,
        new_cutter,
        [copy.copy(reqify(each)) for each in requirements or ()],
        validation_backend or backend,
        {**(model_options or {}), ModelOption.STREAM: True},
        attempts,
        repair or StartOver(),
        current_owner(current_host()),
    )
    thunk, answered = await order.ask(action, ctx)
    if thunk.is_computed():
        raise RuntimeError(
            f"{caller} needs a reply that is still to come, and {backend!r} returned a computed "
            "one; use a backend that streams when ModelOption.STREAM is set"
        )
    return Run(order, thunk, answered)


@attrs.define(eq=False)
class Run:
    """One reply, from its first delta to a `CompletedEvent`, in however many attempts.

    Attributes:
        thunk: the reply of the attempt that is running, or was the last.
        requirements: copies that this attempt alone uses.
        attempt: which attempt that is, counted from 1.
        given_up: the attempts before it.
        success: false when something failed, or the run was stopped.
        error: what ended the run, if an error did, or a cancellation of the reply.
        failures: requirements that said ``"fail"``, with what they said.
        failed_on_flush: whether that was about the text's last chunk, which had no end.
        validations: what the requirements said of the whole reply.
        complete: whether the reply came to its natural end.
    """

    _order: Order
    thunk: ModelOutputThunk[Any]
    _ctx: Context  # what validators are given
    attempt: int = attrs.field(default=1, init=False)
    given_up: list[FailedAttempt] = attrs.field(factory=list, init=False)
    requirements: Sequence[Requirement] = attrs.field(init=False)
    _cutter: Cutter | None = attrs.field(init=False)
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
    # Of attempts before this one, whose text goes on in it:
    _kept: str = attrs.field(default="", init=False)  # to where this one goes on
    _kept_valid: str = attrs.field(default="", init=False)  # to the end of the last chunk
    _kept_chunks: int = attrs.field(default=0, init=False)
    _trimming: bool = attrs.field(default=False, init=False)  # no text of this one has come
    # As they were before the chunk that is validated, where the text may have to be kept.
    _before: Sequence[Requirement] = attrs.field(default=(), init=False)
    _held: list[str] = attrs.field(factory=list, init=False)  # chunks that may become void

    def __attrs_post_init__(self) -> None:
        # One attempt is all that most runs have, and it needs no copies of the copies.
        own = self._order.requirements
        self.requirements = own if self._order.attempts == 1 else [copy.copy(each) for each in own]
        self._cutter = self._order.new_cutter()
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
        if self.complete:
            return self._kept + self._text
        if not self._released:
            return self._kept_valid
        return self._kept + self._released_text()

    @property
    def _text(self) -> str:
        """The text of this attempt as far as it has arrived."""
        text = self.thunk.partial
        # As it was cut: see `_read`.
        return text.lstrip() if self._kept[-1:].isspace() else text

    def _released_text(self) -> str:
        """Return the text of this attempt to the end of its last chunk that was released."""
        text, end = self._text, 0
        for number, chunk in enumerate(self._released):
            begin = text.find(chunk, end)
            if begin < 0:  # a strategy of the user's may return what is not in the text
                return text[:end] + "".join(self._released[number:])
            end = begin + len(chunk)
        return text[:end]

    def standing(self, event: StreamEvent) -> Sequence[str]:
        """Return the chunks that can no longer become void, now that *event* has happened.

        For readers of chunks alone, who cannot be told that a chunk is void after all. It is
        to be called once for every event.
        """
        match event:
            case ChunkEvent():
                if event.attempt == self._order.attempts or self._order.repair.keeps_text:
                    return (event.text,)
                self._held.append(event.text)
            case RetryEvent():
                self._held.clear()
            case CompletedEvent():
                held, self._held = self._held, []
                return held
        return ()

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
                self._events.append(StreamingDoneEvent(self.attempt, self.full_text))
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
            if self._trimming:
                # What is kept ends with the space before the chunk that was not valid.
                delta = delta.lstrip()
                self._trimming = not delta
            if self._cutter is None:
                self._chunks.append(delta)
            else:
                self._chunks.extend(self._cutter.feed(delta))

    async def _check(self, chunk: str) -> None:
        """Have all requirements look at a chunk; release it, or end the run."""
        index = self._kept_chunks + len(self._released)
        if self.requirements:
            phase, self._phase = self._phase, _Phase.INTERRUPTED
            if self._order.repair.keeps_text and self._may_try_again():
                self._before = [copy.copy(each) for each in self.requirements]
            with owned_by(self._order.owner):
                results = await run_all(
                    [functools.partial(self._validate, each, chunk) for each in self.requirements]
                )
            self._phase = phase
            passed = all(result.success != "fail" for result in results)
            self._events.append(QuickCheckEvent(index, self.attempt, passed, results))
            if not passed:
                failures = [
                    (requirement, result)
                    for requirement, result in zip(self.requirements, results, strict=True)
                    if result.success == "fail"
                ]
                if self._may_try_again():
                    await self._try_again(chunk, failures)
                    return
                self.failures, self.failed_on_flush = failures, phase is _Phase.FLUSHED
                await self._end(success=False)
                return
        self._released.append(chunk)
        self._events.append(ChunkEvent(chunk, index, self.attempt))

    def _may_try_again(self) -> bool:
        return self.attempt < self._order.attempts

    async def _try_again(
        self,
        chunk: str | None,
        failures: Sequence[tuple[Requirement, PartialValidationResult | ValidationResult]],
    ) -> None:
        """Give this attempt up and begin the next; the run is interrupted until it has begun."""
        self._phase = _Phase.INTERRUPTED
        order = self._order
        await self.thunk.cancel_generation("a chunk is not valid")
        text = self.full_text
        failed = FailedAttempt(self.attempt, order.action, order.ctx, text, chunk, failures)
        action, ctx = order.repair.next_attempt(failed)
        self.given_up.append(failed)
        if order.repair.keeps_text and chunk is not None:
            self._keep(text, chunk)
        else:
            self._kept = self._kept_valid = ""
            self._kept_chunks = 0
            self.requirements = [copy.copy(each) for each in order.requirements]
        self.attempt += 1
        self.complete, self.validations = False, []
        self._released, self._chunks = [], deque()
        self._events.append(
            RetryEvent(
                self.attempt,
                "; ".join(failed.reasons),
                len(self._kept_valid),
                self._kept_chunks,
                chunk or "",
            )
        )
        self.thunk, self._ctx = await order.ask(action, ctx)
        self._deltas = aiter(self.thunk)
        self._cutter = order.new_cutter()
        self._phase = _Phase.READING

    def _keep(self, text: str, chunk: str) -> None:
        """Have the next attempt go on behind *text*, where *chunk* would have come."""
        here = self._text
        begin = here.find(chunk, len(self._released_text()))
        self._kept = text if begin < 0 else self._kept + here[:begin]
        self._kept_valid = text
        self._kept_chunks += len(self._released)
        self._trimming = self._kept[-1:].isspace()
        self.requirements, self._before = self._before, ()

    async def _validate(self, requirement: Requirement, chunk: str) -> PartialValidationResult:
        try:
            result = await requirement.stream_validate(
                chunk, backend=self._order.validation_backend, ctx=self._ctx
            )
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
        order = self._order
        ctx = self._ctx
        if self._kept:  # the reply is only the end of what is to be judged
            whole: ModelOutputThunk[Any] = ModelOutputThunk(self.full_text)
            ctx = order.ctx.add(order.action).add(whole)
        with owned_by(order.owner):
            results = await validate_all(self.requirements, order.validation_backend, ctx)
        self.validations = results
        passed = all(map(bool, results))
        self._events.append(FullValidationEvent(self.attempt, passed, results))
        # Text that is kept was judged chunk by chunk, and has been given out.
        if passed or not self._may_try_again() or order.repair.keeps_text:
            self._phase = _Phase.ENDING
            return
        await self._try_again(
            None, [pair for pair in zip(self.requirements, results, strict=True) if not pair[1]]
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
        self._events.append(CompletedEvent(success, self.full_text, self.attempt))
