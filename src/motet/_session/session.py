"""`MelleaSession`: what most programs use.

A session is a backend, a context, and the owner of every generation it starts. Each
async method does its work in one step between two checkpoints: it reads the session's
context, starts the generation and appends the turn, so concurrent calls never lose
one. The methods without await are in `blocking`; they run these on another thread's loop.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import uuid
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeVar, overload

import anyio.lowlevel

from .._language.context import Context, SimpleContext
from .._language.message import Message
from .._language.objects import as_query, as_transform
from .._programs.sampling.run import wait_sampled
from .._programs.tools import acall_tools, chosen_output
from .._programs.validation import validate_all
from .._runtime.host import LoopHost, current_host
from .._runtime.owner import Owner
from .._runtime.unwinding import see_through
from .._thunk.generation import DEFAULT_LINGER
from .._thunk.inputs import wait_for_inputs
from .._thunk.thunk import ComputedModelOutputThunk, ModelOutputThunk
from ..backends.base import Backend
from .blocking import BlockingMethods
from .calls import (
    DEFAULT_STRATEGY,
    ActOptions,
    CallOptions,
    ChatOptions,
    InstructOptions,
    ToolOptions,
    begin,
    check_flags,
    check_options,
    check_results_wanted,
    checked_text,
    computed,
    listed_requirements,
    split_instruction,
    split_message,
    validation_context,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Unpack

    from .._language.component import Component
    from .._language.requirement import Requirement, ValidationResult
    from .._language.schema import Format
    from .._programs.sampling.result import SamplingResult
    from .._programs.streaming.chunked import ChunkingOptions, StreamChunkingResult
    from .._programs.streaming.streamer import Streamer, StreamOptions
    from .._values.metadata import GenerateLog

_log: Final = logging.getLogger("motet")

S = TypeVar("S")

_CLOSED: Final = "the session was closed"
_CLEANED_UP: Final = "the session was cleaned up"

# The sessions whose blocks are around the running code, outermost first. Not a token in each
# session, because several tasks may enter the same one, in contexts of their own.
_entered: Final[contextvars.ContextVar[tuple[MelleaSession, ...]]] = contextvars.ContextVar(
    "motet sessions", default=()
)


class MelleaSession(BlockingMethods):
    """Talks to one model and remembers what was said.

    Made by `start_session` and `open_session`. A session may be used from several event
    loops and threads: its generations and connections belong to the event loop of each
    call. As ``async with session`` it ends with the block, and so does everything it started;
    as ``with session`` it is what `get_session` returns inside the block.

    Args:
        backend: talks to the model server.
        ctx: what was said before; an empty `SimpleContext` without it.
        session_id: a name for logs; a new UUID without it.
        linger: for how long a generation goes on after the last one who waited for it has
            gone, in seconds; 0 stops it at once, ``math.inf`` never.

    Attributes:
        id: the name for logs.
        backend: as given.
        linger: as given.
    """

    def __init__(
        self,
        backend: Backend,
        ctx: Context | None = None,
        *,
        session_id: str | None = None,
        linger: float = DEFAULT_LINGER,
    ) -> None:
        if not isinstance(backend, Backend):
            raise TypeError(f"backend should be a Backend, not {type(backend).__name__}")
        if ctx is not None and not isinstance(ctx, Context):
            raise TypeError(f"ctx should be a Context, not {type(ctx).__name__}")
        if not isinstance(linger, int | float):
            raise TypeError(f"linger should be a number of seconds from 0, not {linger!r}")
        if not linger >= 0:
            raise ValueError(f"linger should be a number of seconds from 0, not {linger!r}")
        self.id: str = session_id or str(uuid.uuid4())
        self.backend = backend
        given = SimpleContext() if ctx is None else ctx
        self._ctx: Context = given.bound_to(backend.model_id, backend.formatter)
        self.linger = linger
        self._turn = threading.Lock()
        self._closed = False
        self._owners: weakref.WeakKeyDictionary[LoopHost, Owner] = weakref.WeakKeyDictionary()

    @property
    def ctx(self) -> Context:
        """The context that the next call will use."""
        return self._ctx

    @ctx.setter
    def ctx(self, ctx: Context) -> None:
        if not isinstance(ctx, Context):
            raise TypeError(f"ctx should be a Context, not {type(ctx).__name__}")
        self._ctx = ctx

    # Calls.

    @overload
    async def ainstruct(
        self,
        description: str,
        *,
        return_sampling_results: Literal[True],
        await_result: bool = ...,
        **options: Unpack[InstructOptions],
    ) -> SamplingResult[str]: ...
    @overload
    async def ainstruct(
        self,
        description: str,
        *,
        await_result: Literal[True],
        return_sampling_results: Literal[False] = ...,
        **options: Unpack[InstructOptions],
    ) -> ComputedModelOutputThunk[str]: ...
    @overload
    async def ainstruct(
        self,
        description: str,
        *,
        return_sampling_results: Literal[False] = ...,
        await_result: Literal[False] = ...,
        **options: Unpack[InstructOptions],
    ) -> ModelOutputThunk[str]: ...
    async def ainstruct(
        self,
        description: str,
        *,
        return_sampling_results: bool = False,
        await_result: bool = False,
        **options: Unpack[InstructOptions],
    ) -> ModelOutputThunk[str] | SamplingResult[str]:
        """Give the model a task and return its answer, which is still on its way.

        The generation has started when this returns; `await` the thunk for its text. With
        *requirements* the strategy runs inside the generation, and the text comes in one
        piece when it is accepted; without any it arrives delta by delta. A variable or a
        grounding value may itself be a pending answer: the generation waits for it.

        Always a checkpoint, before the generation starts.

        Args:
            description: the task; with *user_variables* a Jinja template.
            return_sampling_results: wait, and return every attempt with its validations.
            await_result: wait until the answer is complete.
            options: ``images``, ``requirements``, ``icl_examples``, ``grounding_context``,
                ``user_variables`` (braces in a value are just text), ``prefix``,
                ``output_prefix``, ``strategy`` (by default one more try when a requirement
                is not met; None for none), ``format`` (a pydantic model class or a JSON
                schema; the value is JSON text), ``model_options`` and ``tool_calls``.

        Raises:
            TypeError, ValueError: an argument cannot be sent; names it and says why.
            SessionClosed: the session has ended.
            WrongEventLoop: a pending input belongs to another event loop.
            BackendError, GenerationCancelled, DependencyError: if it waits, as the thunk's
                `avalue`.
        """
        await anyio.lowlevel.checkpoint()
        check_flags(return_sampling_results=return_sampling_results, await_result=await_result)
        check_options("instruct", options, InstructOptions)
        action, rest = split_instruction(description, options)
        check_results_wanted(return_sampling_results, rest["strategy"])
        context = self.ctx
        thunk = self._start(action, **rest)
        if return_sampling_results:
            async with thunk:
                return await wait_sampled(thunk, context)
        return await computed(thunk) if await_result else thunk

    @overload
    async def aact(
        self,
        action: Component[S],
        *,
        return_sampling_results: Literal[True],
        await_result: bool = ...,
        **options: Unpack[ActOptions],
    ) -> SamplingResult[S]: ...
    @overload
    async def aact(
        self,
        action: Component[S],
        *,
        await_result: Literal[True],
        return_sampling_results: Literal[False] = ...,
        **options: Unpack[ActOptions],
    ) -> ComputedModelOutputThunk[S]: ...
    @overload
    async def aact(
        self,
        action: Component[S],
        *,
        return_sampling_results: Literal[False] = ...,
        await_result: Literal[False] = ...,
        **options: Unpack[ActOptions],
    ) -> ModelOutputThunk[S]: ...
    async def aact(
        self,
        action: Component[S],
        *,
        return_sampling_results: bool = False,
        await_result: bool = False,
        **options: Unpack[ActOptions],
    ) -> ModelOutputThunk[S] | SamplingResult[S]:
        """Say a component to the model and return the answer, which is still on its way.

        The answer's ``parsed_repr`` is what the component makes of it. Everything else is
        as for `ainstruct`.

        Args:
            action: what to say.
            return_sampling_results: wait, and return every attempt with its validations.
            await_result: wait until the answer is complete.
            options: ``requirements``, ``strategy``, ``format``, ``model_options``,
                ``tool_calls``.

        Raises:
            TypeError, ValueError, SessionClosed, WrongEventLoop, BackendError,
            GenerationCancelled, DependencyError: as `ainstruct`.
        """
        await anyio.lowlevel.checkpoint()
        check_flags(return_sampling_results=return_sampling_results, await_result=await_result)
        check_options("act", options, ActOptions)
        rest: dict[str, Any] = {"strategy": DEFAULT_STRATEGY, **options}
        check_results_wanted(return_sampling_results, rest["strategy"])
        context = self.ctx
        thunk = self._start(action, **rest)
        if return_sampling_results:
            async with thunk:
                return await wait_sampled(thunk, context)
        return await computed(thunk) if await_result else thunk

    async def achat(
        self, content: str, role: str = "user", **options: Unpack[ChatOptions]
    ) -> Message:
        """Say something to the model and wait for its answer. A checkpoint.

        Args:
            content: what to say; with *user_variables* a Jinja template.
            role: who says it: ``user``, ``system``, ``assistant`` or ``tool``.
            options: ``images``, ``documents``, ``user_variables``, ``format``,
                ``model_options``, ``tool_calls``.

        Raises:
            TypeError, ValueError: an argument cannot be sent.
            SessionClosed: the session has ended.
            BackendError, GenerationCancelled: there is no full answer.
        """
        await anyio.lowlevel.checkpoint()
        check_options("chat", options, ChatOptions)
        message, rest = split_message(content, role, options)
        thunk: ModelOutputThunk[Message] = self._start(message, **rest)
        answer = (await computed(thunk)).parsed_repr
        assert answer is not None
        return answer

    async def avalidate(
        self,
        reqs: Requirement | str | Sequence[Requirement | str],
        *,
        output: Any = None,
        format: Format = None,
        model_options: Mapping[str, Any] | None = None,
        generate_logs: list[GenerateLog | None] | None = None,
        input: Any = None,  # noqa: A002 - the documented name
    ) -> list[ValidationResult]:
        """Check an output by requirements, all at the same time. A checkpoint.

        The first check that raises stops the others. The session's context stays as it is.

        Args:
            reqs: a requirement, or several; text is one for a model to judge.
            output: what to check; by default the session's last answer.
            format: a pydantic model class or a JSON schema for the judges' answers.
            model_options: options for the judges' calls.
            generate_logs: is given the log of each judge's call, None for a function.
            input: what *output* answers, for the judges to see.

        Returns:
            One result for each requirement, in their order.

        Raises:
            TypeError: an argument is of the wrong type; names it.
            DependencyError: *output* is a reply that failed.
            BackendError: a judge's call failed.
            Exception: what a requirement's function raises.
        """
        await anyio.lowlevel.checkpoint()
        requirements = listed_requirements(reqs)
        if generate_logs is not None and not isinstance(generate_logs, list):
            raise TypeError(
                f"generate_logs should be a list to append to, not {type(generate_logs).__name__}"
            )
        # A function takes no options, and a mistake in them is one all the same.
        self.backend.normalised(model_options)
        if isinstance(output, ModelOutputThunk):
            await wait_for_inputs([output])
        context = validation_context(self.ctx, output, input)
        with self._owner().current():
            results = await validate_all(
                requirements, self.backend, context, format=format, model_options=model_options
            )
        if generate_logs is not None:
            generate_logs += [
                None if each.thunk is None else each.thunk.generate_log for each in results
            ]
        return results

    @overload
    async def aquery(
        self, obj: Any, query: str, *, await_result: Literal[True], **options: Unpack[ToolOptions]
    ) -> ComputedModelOutputThunk[str]: ...
    @overload
    async def aquery(
        self,
        obj: Any,
        query: str,
        *,
        await_result: Literal[False] = ...,
        **options: Unpack[ToolOptions],
    ) -> ModelOutputThunk[str]: ...
    async def aquery(
        self, obj: Any, query: str, *, await_result: bool = False, **options: Unpack[ToolOptions]
    ) -> ModelOutputThunk[str]:
        """Ask about an object and return the answer, which is still on its way.

        Always a checkpoint, before the generation starts.

        Args:
            obj: any object; what `mify` has made of it decides what the model sees.
            query: the question.
            await_result: wait until the answer is complete.
            options: ``format``, ``model_options``, ``tool_calls``.

        Raises:
            TypeError, ValueError, SessionClosed, WrongEventLoop, BackendError,
            GenerationCancelled, DependencyError: as `ainstruct`.
        """
        await anyio.lowlevel.checkpoint()
        check_flags(await_result=await_result)
        check_options("query", options, ToolOptions)
        thunk = self._start(as_query(obj, checked_text("query", query)), **options)
        return await computed(thunk) if await_result else thunk

    async def atransform(
        self, obj: Any, transformation: str, **options: Unpack[CallOptions]
    ) -> Any:
        """Have an object changed, by one of its own methods if the model calls one.

        Always waits. The model is offered the object's documented methods as tools; what
        the called one returns is the result, and the call is added to the context.

        Args:
            obj: any object; what `mify` has made of it decides what the model sees.
            transformation: what to do with it.
            options: ``format``, ``model_options``.

        Returns:
            What the tool returned; or the model's answer, a `ComputedModelOutputThunk`.

        Raises:
            BackendError, GenerationCancelled: there is no full answer.
            Exception: every tool that was called failed; the error of the first.
        """
        await anyio.lowlevel.checkpoint()
        check_options("transform", options, CallOptions)
        action = as_transform(obj, checked_text("transformation", transformation))
        thunk = await computed(self._start(action, tool_calls=True, **options))
        if not thunk.tool_calls:
            return thunk
        with self._owner().current():
            messages = await acall_tools(thunk, self.backend)
        chosen = chosen_output(obj, transformation, messages)
        self._append(chosen)
        return chosen.tool_output

    async def stream_with_chunking(
        self, action: Any, **options: Unpack[ChunkingOptions]
    ) -> StreamChunkingResult:
        """Say something and have the answer validated chunk by chunk while it arrives.

        As `motet.streaming.stream_with_chunking` with the session's backend and context, except
        that the run belongs to the session and ends with it, whoever has forgotten it. The
        context stays as it is.

        Args:
            action: what to say.
            options: the keywords of `motet.streaming.stream_with_chunking`.

        Raises:
            SessionClosed: the session has ended.
            TypeError, ValueError, RuntimeError: as that function.
        """
        # Loaded when it is first used: most programs never do.
        from .._programs.streaming.chunked import stream_with_chunking

        with self._owner().current():
            return await stream_with_chunking(action, self.backend, self.ctx, **options)

    async def stream(self, action: Any, **options: Unpack[StreamOptions]) -> Streamer:
        """Say something and return an iterator over validated chunks of the answer.

        As `motet.streaming.stream` with the session's backend and context, except that its
        request belongs to the session and ends with it.

        Args:
            action: what to say.
            options: the keywords of `motet.streaming.stream`.

        Raises:
            SessionClosed: the session has ended.
            TypeError, ValueError, RuntimeError: as that function.
        """
        from .._programs.streaming.streamer import stream

        with self._owner().current():
            return await stream(action, self.backend, self.ctx, **options)

    def _start(self, action: Any, **options: Any) -> ModelOutputThunk[Any]:
        """Start a generation and append its turn. Not a checkpoint, so no turn is lost."""
        context = self.ctx
        if context.previous_turn_is_pending():
            _log.warning(
                "a turn is added to a conversation whose last answer is still on its way: "
                "it waits for that answer. Nothing is lost; where calls do not depend on "
                "each other, a SimpleContext lets them run at the same time"
            )
        thunk = begin(
            action, context, self.backend, owner=self._owner(), linger=self.linger, **options
        )
        self._append(action, thunk)
        return thunk

    def _append(self, *said: Any) -> None:
        """Add to the context, behind what another thread may be adding on a loop of its own."""
        # The lock is held for no code of the program's: a component or a compactor that made
        # a call of its own would wait for itself.
        while True:
            before = after = self._ctx
            for each in said:
                after = after.add(each)
            with self._turn:
                if self._ctx is before:
                    self._ctx = after
                    return

    def _owner(self) -> Owner:
        host = current_host()
        owner = self._owners.get(host)
        if owner is None:
            owner = self._owners[host] = Owner(host, f"the session {self.id}")
            if self._closed:
                owner.stop(_CLOSED)
        return owner

    # Looking.

    def last_prompt(self) -> str | list[dict[str, Any]] | None:
        """Return what the model was sent for the last answer; None if there was none."""
        output = self.ctx.last_output()
        if output is None or output.generate_log is None:
            return None
        prompt: str | list[dict[str, Any]] | None = output.generate_log.prompt
        return prompt

    # Life.

    def clone(self) -> MelleaSession:
        """Return a session with the same backend and context and a name of its own."""
        return MelleaSession(self.backend, self.ctx, linger=self.linger)

    __copy__ = clone

    def reset(self) -> None:
        """Forget what was said."""
        self.ctx = self.ctx.new_instance()

    def cleanup(self, *, exception: BaseException | None = None) -> None:
        """Stop what the session has running, from code without await.

        It does not wait; `aclose` does. Later calls work. Harmless when repeated.

        Args:
            exception: what ended the block, for logs.
        """
        if exception is not None:
            _log.debug("the session %s is cleaned up after %r", self.id, exception)
        for host, owner in list(self._owners.items()):
            _stop_on(host, owner, _CLEANED_UP, for_good=False)

    async def aclose(self) -> None:
        """End the session: stop what it has running, and return when it has stopped.

        Later calls raise `SessionClosed`. The wait is shielded; a cancellation that
        arrives meanwhile is delivered afterwards. Code that is a part of one of its calls, a
        validator's for one, is cancelled in here and does not wait. Harmless when repeated.
        """
        self._closed = True
        here = current_host()
        for host, owner in list(self._owners.items()):
            if host is not here:
                _stop_on(host, owner, _CLOSED, for_good=True)
        try:
            await self._owner().aclose(_CLOSED)
        finally:
            await see_through(self.backend.close_idle)

    @classmethod
    def powerup(cls, extras: type) -> None:
        """Give every session the plain functions of a class as methods.

        Args:
            extras: the class.
        """
        if not isinstance(extras, type):
            raise TypeError(f"extras should be a class, not {type(extras).__name__}")
        for name, function in vars(extras).items():
            if callable(function) and not name.startswith("__"):
                setattr(cls, name, function)

    def __enter__(self) -> Self:
        _entered.set((*_entered.get(), self))
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        entered = list(_entered.get())
        # Without it if the block was entered elsewhere, as that of a fixture may be.
        if self in entered:
            del entered[len(entered) - 1 - entered[::-1].index(self)]
            _entered.set(tuple(entered))
        self.cleanup(exception=exc)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<MelleaSession {self.id} with {self.backend!r}>"


def get_session() -> MelleaSession:
    """Return the session of the innermost ``with session`` block around the caller.

    Tasks and threads that were started inside the block see it, others do not.

    Raises:
        RuntimeError: there is no such block.
    """
    entered = _entered.get()
    if not entered:
        raise RuntimeError("No active session found. Use 'with start_session(...):' to create one.")
    return entered[-1]


def _stop_on(host: LoopHost, owner: Owner, reason: str, *, for_good: bool) -> None:
    """Stop an owner from wherever the caller is."""
    if host.closed or host.loop.is_closed() or host.was_left_by_fork():
        return
    stop: Callable[[], None] = lambda: owner.stop(reason, for_good=for_good)  # noqa: E731
    if host.is_here():
        stop()
        return
    try:
        host.post(stop)
    except RuntimeError:
        _log.debug("the %s ended while a session was stopping on it", host)
