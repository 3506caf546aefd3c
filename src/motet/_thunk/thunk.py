"""`ModelOutputThunk`: a reply that may not have arrived yet, as its consumers see it.

The generation that fills it is in `generation`, the reader of its deltas in `reader`;
here is what the two look like from outside, and the third axis of a thunk's life:
whether a consumer knows the end. That, and not the end itself, is what `is_computed`
tells, so a loop over `is_computed` and `astream` never misses the last piece.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import AsyncIterator, Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast

import anyio.lowlevel

from .._runtime.circles import Wait
from .._runtime.host import check_here
from .._runtime.interrupts import in_one_piece
from .._runtime.loops import running_native
from .._runtime.portal import call_in_loop
from .._runtime.unwinding import see_end
from .._values.errors import PendingReplyError, WrongEventLoop
from .._values.metadata import GenerateLog, GenerationMetadata, RawProviderResponse
from .._values.states import (
    RESOLUTION,
    DeliveryState,
    GenerationState,
    ResolutionSignal,
    ResolutionState,
    advance,
)
from .generation import Generation
from .reader import DeltaReader

if TYPE_CHECKING:
    from collections.abc import Mapping

S = TypeVar("S")


class ModelOutputThunk(Generic[S]):
    """The output of a model, which may still be on its way.

    A session's methods return it. Wait for the text with ``await thunk`` (the same as
    ``await thunk.avalue()``), read it piece by piece with ``async for delta in thunk``
    or `astream`, or put it into another call as it is.

    Any number of tasks may wait for one thunk, and all get the same outcome; one task
    may read its deltas. Giving up a wait, by a deadline or a cancelled scope, loses
    nothing. When the last one who waited has gone, the request is stopped after the
    session's *linger*, 0.25 seconds by default; ``async with thunk`` stops it at once when
    the block is left.

    Args:
        value: the text of an output that is there already, or None for a blank.
        meta: anything the program wants to keep with it.
        parsed_repr: what the text means, when a component has parsed it.
        tool_calls: the tools that the model wants to be called, by name.

    Attributes:
        meta: as given; an empty dict without it.
        parsed_repr: the component's reading of the text, once it is computed.
        tool_calls: the tool calls, or None.
        generation: facts about the generation: model, usage, times.
        generate_log: what was asked, of whom and with which options, once it is computed.
        error: a failure that the backend recorded without failing the call, else None.
        sampling_result: every attempt that led to this reply, if a strategy sampled it.

    Raises:
        TypeError: *value* is neither a string nor None.
    """

    __slots__ = (
        "__weakref__",
        "_context",
        "_known_text",
        "_loop",
        "_raw",
        "_reader",
        "_resolution",
        "_source",
        "_thoughts",
        "action",
        "error",
        "generate_log",
        "generation",
        "meta",
        "model_options",
        "parsed_repr",
        "sampling_result",
        "tool_calls",
    )

    def __init__(
        self,
        value: str | None,
        meta: dict[str, Any] | None = None,
        parsed_repr: S | None = None,
        tool_calls: Mapping[str, Any] | None = None,
    ) -> None:
        if value is not None and not isinstance(value, str):
            raise TypeError(
                "the value of a ModelOutputThunk should be a string or None, "
                f"not {type(value).__name__}"
            )
        self._source = Generation(None, host=None) if value is None else Generation.finished(value)
        self._resolution = ResolutionState.UNKNOWN if value is None else ResolutionState.KNOWN
        self._known_text = value
        self._reader: DeltaReader | None = None
        self._loop: weakref.ref[_Deltas] | None = None
        self._raw: RawProviderResponse | None = None
        self.meta: dict[str, Any] = {} if meta is None else meta
        self.parsed_repr: S | None = parsed_repr
        self.tool_calls: Mapping[str, Any] | None = tool_calls
        self._thoughts: list[str] | None = None if value is None else []
        self.generation: GenerationMetadata = GenerationMetadata()
        self.generate_log: GenerateLog | None = None
        self.error: Exception | None = None
        self.sampling_result: Any = None  # its class is of a layer above
        self.action: Any = None
        self._context: weakref.ref[Any] | None = None
        self.model_options: Mapping[str, Any] | None = None

    @classmethod
    def pending(cls, generation: Generation) -> Self:
        """Return a thunk that *generation* will fill."""
        thunk = cls(None)
        thunk._source = generation
        return thunk

    # Waiting.

    @in_one_piece
    async def avalue(self) -> str:
        """Wait for the end of the reply and return its whole text.

        Always a checkpoint, also when the text is already here. A caller that gives up
        takes back its interest and loses nothing: the generation goes on while anybody
        else is interested.

        Called by the task that was reading deltas, it gives up those not yet read; they
        are in the text.

        Raises:
            BackendError: the server failed; ``partial`` holds what had arrived.
            GenerationCancelled: the reply was given up, or its session ended, first.
            DependencyError: a pending input of the call failed.
            WrongEventLoop: the reply belongs to another event loop.
            PendingReplyError: what produces the reply waits for the caller.
            RuntimeError: it is a blank, which nothing will ever fill.
        """
        self._check_usable()
        if self._is_plain_value():
            await anyio.lowlevel.checkpoint()
            return self._resolve()
        generation = self._source
        if generation.live:
            generation.check_outside()
            generation.gain_interest()
            reader = self._reader
            # One interest for one task.
            left = reader is not None and reader.may_give_up() and reader.leave()
            try:
                await generation.wait_outcome()
            except BaseException:
                # A wait with a timeout in a loop over the deltas: the loop goes on.
                if left and reader is not None and self._is_in_loop():
                    reader.come_back()
                raise
            finally:
                generation.lose_interest()
        else:
            await anyio.lowlevel.checkpoint()
        return self._take_outcome()

    async def _avalue_for_thread(self) -> str:
        with Wait((self._source,), None):
            return await self.avalue()

    def __await__(self) -> Generator[Any, Any, str]:
        return self.avalue().__await__()

    async def astream(self) -> str:
        """Return the text that arrived since the last call, waiting until there is some.

        The call that meets the end returns what is left, maybe an empty string, and from
        then on `is_computed` is true; so the pieces of a loop
        ``while not thunk.is_computed(): piece = await thunk.astream()`` are the text. On a
        computed thunk it returns the full text. Only one task may read.

        Always a checkpoint. A read that is cancelled loses nothing: the next call returns
        what it would have returned. Text that arrived before an error is returned before
        the error is raised.

        Raises:
            SingleReaderError: another task is reading.
            BackendError, GenerationCancelled, DependencyError, WrongEventLoop,
                PendingReplyError: as `avalue`.
        """
        self._check_usable()
        if self._is_plain_value() or (not self._is_attached() and not self._source.live):
            await anyio.lowlevel.checkpoint()
            return self._resolve()
        piece, _ = await self._read()
        return piece

    async def _read(self) -> tuple[str, bool]:
        """Return the next piece, and whether the end was met with it."""
        if self._reader is None:
            self._reader = DeltaReader(self._source)
        reader = self._reader
        piece = await reader.receive()
        if self._source.live:
            return piece, False
        if piece and self._source.error is not None:
            return piece, False  # the text first, the error with the next call
        reader.drain()
        self._resolve()
        return piece, True

    def __aiter__(self) -> AsyncIterator[str]:
        """Iterate over the deltas as they arrive; the pieces are never empty.

        A reply that has been waited for comes in one piece. A value given by hand, and a
        `ComputedModelOutputThunk`, is no stream and gives none.

        Raises:
            RuntimeError: an ``async for`` over this thunk has begun before.
            WrongEventLoop, PendingReplyError: as `avalue`.
        """
        if self._loop is not None:
            raise RuntimeError(
                "an `async for` over this ModelOutputThunk has begun before, and a second one "
                "would split its text; use `await thunk` for the whole of it"
            )
        self._check_usable()
        self._source.check_outside()  # here, or the one who may read would come second
        deltas = _Deltas(self)
        self._loop = weakref.ref(deltas)  # weakly: it has the thunk, and ends when it is left
        return deltas

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop the request if it is not over and return when it has stopped.

        The thunk keeps what had arrived as its value. Harmless when repeated.
        """
        await self.cancel_generation("the block of the thunk was left")

    async def cancel_generation(
        self, reason: str | BaseException | None = None, *, error: BaseException | None = None
    ) -> None:
        """Stop the request: the connection is closed when this returns.

        What has arrived becomes the value, and whoever waits gets it; `cancelled` is
        true. On a thunk whose reply is complete it does nothing. The wait for the end is
        shielded: a cancellation of the caller is delivered afterwards. Code that is a part of
        the generation, a validator's for one, is cancelled in here and does not wait.

        Args:
            reason: why, for logs.
            error: the same under its older name.
        """
        generation = self._source
        if not generation.live:
            return
        generation.check_here()
        generation.stop(str(reason or error or "cancel_generation() was called"), explicitly=True)
        try:
            await see_end([generation])
        finally:
            self._note_end()

    def _note_end(self) -> None:
        # Also when it failed while it was being stopped: this caller knows the end.
        if self._reader is not None:
            self._reader.drain()
        self._learn()

    # Looking.

    def is_computed(self) -> bool:
        """Whether a consumer has learned the end, and no deltas are left to be read.

        It turns true by a wait or a read of the consumer's, never behind its back.
        """
        return self._resolution is ResolutionState.KNOWN and not self._is_attached()

    @property
    def value(self) -> str | None:
        """The text once a consumer has learned the end, else None.

        After a failure it is what had arrived.
        """
        return self._known_text

    @value.setter
    def value(self, value: str | None) -> None:
        self._known_text = value

    @property
    def cancelled(self) -> bool:
        """Whether `cancel_generation` or the end of an ``async with`` block ended it."""
        return self._source.state is GenerationState.CANCELLED

    @property
    def context(self) -> Any:
        """The context that the call was made in, None once nobody keeps that."""
        # Weakly: it has the earlier thunks, and each of those would keep its own, so that
        # a conversation of which only the end is kept would never get shorter.
        return None if self._context is None else self._context()

    @context.setter
    def context(self, context: Any) -> None:
        self._context = None if context is None else weakref.ref(context)

    @property
    def partial(self) -> str:
        """The text that has arrived so far, whatever the state. Never waits."""
        return self._source.text

    @property
    def thinking(self) -> str | None:
        """The reasoning text as far as it has arrived; None before any, ``""`` if there was none."""
        return None if self._thoughts is None else "".join(self._thoughts)

    @thinking.setter
    def thinking(self, thinking: str | None) -> None:
        self._thoughts = None if thinking is None else [thinking]

    def add_thinking(self, text: str) -> None:
        """Add reasoning text that has arrived; for who produces the reply."""
        if self._thoughts is None:
            self._thoughts = []
        self._thoughts.append(text)

    @property
    def raw(self) -> RawProviderResponse:
        """What the provider sent, as far as it is kept."""
        if self._raw is None:
            self._raw = RawProviderResponse()
        return self._raw

    @raw.setter
    def raw(self, raw: RawProviderResponse) -> None:
        self._raw = raw

    def is_settled(self) -> bool:
        """Whether the outcome is written, known to a consumer or not; a blank never is."""
        return not self._source.live and self._source.state is not GenerationState.BLANK

    def is_blank(self) -> bool:
        """Whether it was made with None and nothing has begun to fill it."""
        return self._source.state is GenerationState.BLANK

    def is_lost(self) -> bool:
        """Whether it ended without a complete reply: failed, given up or cancelled."""
        return self.is_settled() and self._source.state is not GenerationState.DONE

    def __str__(self) -> str:
        """Return the text, or say why it is not there.

        In a thread without an event loop it blocks until the reply is complete. On an
        event loop it cannot wait, and in a process that was forked meanwhile nothing comes.

        Raises:
            PendingReplyError: the reply is not complete, and this is an event loop, a
                forked process, or what it waits for itself.
            BackendError, GenerationCancelled, DependencyError: as `avalue`.
        """
        generation = self._source
        if generation.live:
            assert generation.host is not None
            if generation.host.was_left_by_fork():
                raise PendingReplyError(
                    "this reply had not arrived when this process was forked, and never will "
                    f"here: what receives it, the {generation.host}, runs in the parent alone. "
                    "Wait for it before the fork, or make a new call"
                )
            if running_native() is None and generation.host.loop.is_running():
                return call_in_loop(generation.host, self._avalue_for_thread)
            if running_native() is not None and not generation.host.is_here():
                check_here(generation.host, "this reply")
            where = (
                "on an event loop"
                if generation.host.is_here()
                else f"while the {generation.host} is not running"
            )
            raise PendingReplyError(
                f"this reply has not arrived, and str() cannot wait for it {where}: "
                "use `await thunk` or `await thunk.avalue()` first"
            )
        if generation.state is GenerationState.BLANK:
            return self._known_text or ""
        return self._resolve()

    def __repr__(self) -> str:
        # Never waits: debuggers and logging call it at any time.
        return f"ModelOutputThunk({self._known_text})"

    # Inside.

    def parse_as(self, parse: Callable[[ModelOutputThunk[Any]], S]) -> None:
        """Set `parsed_repr` to what *parse* makes of the text; for who produces the reply.

        For that moment the thunk has its value; there is no checkpoint in it, so nobody
        sees it before the outcome is written.
        """
        self._known_text = self._source.text
        try:
            self.parsed_repr = parse(self)
        finally:
            self._known_text = None

    def _check_usable(self) -> None:
        """Refuse blanks and callers on another event loop."""
        generation = self._source
        if generation.state is GenerationState.BLANK:
            raise RuntimeError(
                "this ModelOutputThunk was made with None and has no generation, so there is "
                "nothing to wait for; get one from a session's method, or give it a value"
            )
        host = generation.host
        if host is None or host.is_here():
            return
        # A reply that is known is a plain value; one whose loop is over and that is
        # complete will never change. Everything else would depend on the moment.
        if self.is_computed() or (not generation.live and host.loop.is_closed()):
            return
        try:
            generation.check_here()
        except WrongEventLoop as exc:
            if generation.live:
                raise
            raise WrongEventLoop(f"{exc}; its text is complete, `str(thunk)` returns it") from None

    def _is_plain_value(self) -> bool:
        host = self._source.host
        return host is None or self.is_computed() or (not self._source.live and not host.is_here())

    def _is_in_loop(self) -> bool:
        """Tell whether an ``async for`` over it has begun, and was neither left nor ended."""
        deltas = None if self._loop is None else self._loop()
        return deltas is not None and not deltas._ended

    def _is_drained(self) -> bool:
        return self._reader is not None and self._reader.state is DeliveryState.DRAINED

    def _is_attached(self) -> bool:
        return self._reader is not None and self._reader.state is DeliveryState.ATTACHED

    def _take_outcome(self) -> str:
        """Return or raise the outcome of a reply that has settled, as its consumer."""
        if self._reader is not None and self._reader.may_give_up():
            self._reader.drain()
        return self._resolve()

    def _learn(self) -> None:
        if self._resolution is ResolutionState.UNKNOWN:
            self._resolution = advance(RESOLUTION, self._resolution, ResolutionSignal.LEARNED)
            self._known_text = self._source.text
            if self._thoughts is None:
                self._thoughts = []

    def _resolve(self) -> str:
        self._learn()
        if self._source.error is not None:
            return self._source.unwrap()
        assert self._known_text is not None
        return self._known_text

    # Copies: of outcomes only, a generation has one thunk.

    def __copy__(self) -> Self:
        return self._copied(deep=None)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self._copied(deep=memo)

    def _copied(self, deep: dict[int, Any] | None) -> Self:
        if self._source.live or (
            self._source.state is GenerationState.BLANK and self._known_text is None
        ):
            raise RuntimeError(
                f"cannot {'copy' if deep is None else 'deepcopy'} a ModelOutputThunk that is not "
                "computed: `await` it first, or pass the thunk itself on"
            )
        cls = type(self)
        twin = object.__new__(cls)
        ModelOutputThunk.__init__(twin, self._source.text)
        twin._source = self._source
        twin._resolution = self._resolution
        twin._known_text = self._known_text
        twin._thoughts, twin.error = self._thoughts, self.error
        twin.generate_log, twin.sampling_result = self.generate_log, self.sampling_result
        twin._context, twin.model_options = self._context, self.model_options
        if deep is None:
            twin.meta, twin.tool_calls, twin.action = self.meta, self.tool_calls, self.action
            twin.generation, twin.raw = copy.copy(self.generation), copy.copy(self.raw)
        else:
            deep[id(self)] = twin
            twin.meta = copy.deepcopy(self.meta, deep)
            twin.tool_calls = copy.deepcopy(self.tool_calls, deep)
            twin.action = copy.deepcopy(self.action, deep)
            twin.generation = copy.deepcopy(self.generation, deep)
            twin.raw = copy.deepcopy(self.raw, deep)
        if self.parsed_repr is self:
            twin.parsed_repr = cast("S", twin)
        else:
            parsed = self.parsed_repr
            twin.parsed_repr = parsed if deep is None else copy.deepcopy(parsed, deep)
        return twin


class ComputedModelOutputThunk(ModelOutputThunk[S]):
    """A thunk that is known to be computed: its value is a string, without waiting.

    Making one converts the given thunk in place: the result is the same object.

    Raises:
        ValueError: the thunk is not computed, or has no value; it stays as it was.
    """

    __slots__ = ()

    def __new__(cls, thunk: ModelOutputThunk[S]) -> Self:
        """Convert *thunk*, which must be computed."""
        if not isinstance(thunk, ModelOutputThunk):
            raise TypeError(
                "a ComputedModelOutputThunk is made from a ModelOutputThunk, "
                f"not {type(thunk).__name__}"
            )
        if not thunk.is_computed():
            raise ValueError(
                "a ComputedModelOutputThunk is made from a computed ModelOutputThunk; "
                "`await` the thunk first"
            )
        if thunk._known_text is None:
            raise ValueError("a ComputedModelOutputThunk requires a thunk with a value, not None")
        thunk.__class__ = cls
        return cast("Self", thunk)

    def __init__(self, thunk: ModelOutputThunk[S]) -> None:
        # The object is complete; running the base's __init__ would empty it.
        pass

    @property
    def value(self) -> str:
        """The text."""
        return cast("str", self._known_text)

    @value.setter
    def value(self, value: str | None) -> None:
        self._known_text = value

    def is_computed(self) -> bool:
        """Return True."""
        return True


class _Deltas(AsyncIterator[str]):
    """The iterator of ``async for delta in thunk``.

    An object and not an async generator, so that leaving the loop leaves nothing that
    an event loop would have to finalise.
    """

    __slots__ = ("__weakref__", "_ended", "_thunk")

    def __init__(self, thunk: ModelOutputThunk[Any]) -> None:
        self._thunk = thunk
        self._ended = thunk._source.host is None or isinstance(thunk, ComputedModelOutputThunk)

    def __aiter__(self) -> _Deltas:
        return self

    async def __anext__(self) -> str:
        thunk = self._thunk
        if not self._ended and thunk._is_plain_value() and not thunk._is_drained():
            self._ended = True
            whole = await thunk.astream()
            if whole:
                return whole
        while not self._ended:
            reader = thunk._reader
            if reader is not None and reader.state is DeliveryState.DRAINED:
                # By cancel_generation(), or by awaiting the whole text inside the loop.
                self._ended = True
                thunk._resolve()
                break
            piece, self._ended = await thunk._read()
            if piece:
                return piece
        raise StopAsyncIteration

    def __del__(self) -> None:
        # The loop was left before the end, by `break` or an error: a reader that has
        # gone wants nothing any more. Only where this runs on the thunk's event loop:
        # a garbage collector may call it anywhere.
        thunk = self._thunk
        host, reader = thunk._source.host, thunk._reader
        if not self._ended and reader is not None and host is not None and host.is_here():
            reader.leave()
