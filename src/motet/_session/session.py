"""`MelleaSession`: what most programs use.

A session is a backend, a context, and the owner of every generation it starts. Each
async method does its work in one step between two checkpoints: it reads the session's
context, starts the generation and appends the turn, so concurrent calls never lose
one. The sync methods run the async ones on the portal's event loop.
"""

import logging
import uuid
import weakref
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import anyio.lowlevel

from .._language.component import Component
from .._language.context import Context, SimpleContext
from .._language.instruction import Condition, Instruction
from .._language.message import Document, Message
from .._language.text import check_variables, fill_in
from .._runtime.host import LoopHost, current_host
from .._runtime.owner import Owner
from .._runtime.portal import default_portal
from .._thunk.generation import DEFAULT_LINGER
from .._thunk.thunk import ComputedModelOutputThunk, ModelOutputThunk
from ..backends.base import Backend

_log: Final = logging.getLogger("motet")

S = TypeVar("S")

_CLOSED: Final = "the session was closed"
_CLEANED_UP: Final = "the session was cleaned up"


class MelleaSession:
    """Talks to one model and remembers what was said.

    Made by `start_session` and `open_session`. A session may be used from several event
    loops and threads: its generations and connections belong to the event loop of each
    call. As ``async with session`` it ends with the block, and so does everything it started.

    Args:
        backend: talks to the model server.
        ctx: what was said before; an empty `SimpleContext` without it.
        session_id: a name for logs; a new UUID without it.
        linger: for how long a generation goes on after the last one who waited for it has
            gone, in seconds; 0 stops it at once, ``math.inf`` never.

    Attributes:
        id: the name for logs.
        backend: as given.
        ctx: the context that the next call will use.
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
        if not linger >= 0:
            raise ValueError(f"linger should be a number of seconds from 0, not {linger!r}")
        self.id: str = session_id or str(uuid.uuid4())
        self.backend = backend
        self.ctx: Context = SimpleContext() if ctx is None else ctx
        self._linger = linger
        self._closed = False
        self._owners: weakref.WeakKeyDictionary[LoopHost, Owner] = weakref.WeakKeyDictionary()

    # Calls.

    async def ainstruct(
        self,
        description: str,
        *,
        images: list[Any] | None = None,
        requirements: Sequence[Condition | str] | None = None,
        icl_examples: Sequence[str] | None = None,
        grounding_context: Mapping[str, Any] | None = None,
        user_variables: Mapping[str, Any] | None = None,
        prefix: str | None = None,
        output_prefix: str | None = None,
        format: Any = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
        await_result: bool = False,
    ) -> ModelOutputThunk[str]:
        """Give the model a task and return its answer, which is still on its way.

        The generation has started when this returns; `await` the thunk for its text. A
        variable or a grounding value may itself be a pending answer: the generation waits
        for it. Always a checkpoint, before the generation starts.

        Args:
            description: the task; with *user_variables* a Jinja template.
            images: images to send along: blocks or Pillow images.
            requirements: what the answer must be like, told to the model.
            icl_examples: examples of good answers.
            grounding_context: what to rely on, by name.
            user_variables: values for the templates; braces in a value are just text.
            prefix: text before everything else.
            output_prefix: how the answer begins; not together with *user_variables*.
            format: a pydantic model class or a JSON schema; the value is then JSON text.
            model_options: options for this call, see `ModelOption`.
            tool_calls: whether the model may call the tools in the options.
            await_result: return only when the answer is complete.

        Raises:
            TypeError, ValueError: an argument cannot be sent; names it and says why.
            SessionClosed: the session has ended.
            WrongEventLoop: a pending input belongs to another event loop.
            BackendError, GenerationCancelled, DependencyError: with *await_result*, as the
                thunk's `avalue`.
        """
        await anyio.lowlevel.checkpoint()
        instruction = Instruction(
            description=_text("description", description),
            requirements=requirements,
            icl_examples=icl_examples,
            grounding_context=grounding_context,
            user_variables=user_variables,
            prefix=prefix,
            output_prefix=output_prefix,
            images=images,
        )
        thunk = self._start(
            instruction, format=format, model_options=model_options, tool_calls=tool_calls
        )
        return await _computed(thunk) if await_result else thunk

    async def achat(
        self,
        content: str,
        role: str = "user",
        *,
        images: list[Any] | None = None,
        documents: Sequence[str | Document] | None = None,
        user_variables: Mapping[str, Any] | None = None,
        format: Any = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
    ) -> Message:
        """Say something to the model and wait for its answer. A checkpoint.

        Args:
            content: what to say; with *user_variables* a Jinja template.
            role: who says it: ``user``, ``system``, ``assistant`` or ``tool``.
            images: images to send along.
            documents: documents to send along.
            user_variables: values for the template.
            format: a pydantic model class or a JSON schema for the answer.
            model_options: options for this call, see `ModelOption`.
            tool_calls: whether the model may call the tools in the options.

        Raises:
            TypeError, ValueError: an argument cannot be sent.
            SessionClosed: the session has ended.
            BackendError, GenerationCancelled: there is no full answer.
        """
        await anyio.lowlevel.checkpoint()
        text = _text("content", content)
        if user_variables is not None:
            check_variables(user_variables)
            text = fill_in(text, user_variables, "content")
        message = Message(role, text, images=images, documents=documents)
        thunk = self._start(
            message, format=format, model_options=model_options, tool_calls=tool_calls
        )
        await thunk
        assert thunk.parsed_repr is not None
        return thunk.parsed_repr

    def instruct(
        self,
        description: str,
        *,
        images: list[Any] | None = None,
        requirements: Sequence[Condition | str] | None = None,
        icl_examples: Sequence[str] | None = None,
        grounding_context: Mapping[str, Any] | None = None,
        user_variables: Mapping[str, Any] | None = None,
        prefix: str | None = None,
        output_prefix: str | None = None,
        format: Any = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
    ) -> ComputedModelOutputThunk[str]:
        """Give the model a task and wait for its answer; `ainstruct` for code without await.

        It blocks the calling thread. Ctrl-C stops the request before it goes on.
        """

        async def call() -> ComputedModelOutputThunk[str]:
            thunk = await self.ainstruct(
                description,
                images=images,
                requirements=requirements,
                icl_examples=icl_examples,
                grounding_context=grounding_context,
                user_variables=user_variables,
                prefix=prefix,
                output_prefix=output_prefix,
                format=format,
                model_options=model_options,
                tool_calls=tool_calls,
            )
            return await _computed(thunk)

        return default_portal().call(call)

    def chat(
        self,
        content: str,
        role: str = "user",
        *,
        images: list[Any] | None = None,
        documents: Sequence[str | Document] | None = None,
        user_variables: Mapping[str, Any] | None = None,
        format: Any = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
    ) -> Message:
        """Say something and wait for the answer; `achat` for code without await."""

        async def call() -> Message:
            return await self.achat(
                content,
                role,
                images=images,
                documents=documents,
                user_variables=user_variables,
                format=format,
                model_options=model_options,
                tool_calls=tool_calls,
            )

        return default_portal().call(call)

    def _start(
        self,
        action: Component[S],
        *,
        format: Any,
        model_options: Mapping[str, Any] | None,
        tool_calls: bool,
    ) -> ModelOutputThunk[S]:
        """Start a generation and append its turn. Not a checkpoint, so no turn is lost."""
        context = self.ctx
        thunk: ModelOutputThunk[S] = self.backend.begin(
            action,
            context,
            format=format,
            model_options=model_options,
            tool_calls=tool_calls,
            owner=self._owner(),
            linger=self._linger,
        )
        self.ctx = context.add(action).add(thunk)
        return thunk

    def _owner(self) -> Owner:
        host = current_host()
        owner = self._owners.get(host)
        if owner is None:
            owner = self._owners[host] = Owner(host, f"the session {self.id}")
            if self._closed:
                owner.stop(_CLOSED)
        return owner

    # Life.

    def clone(self) -> "MelleaSession":
        """Return a session with the same backend and context and a name of its own."""
        return MelleaSession(self.backend, self.ctx, linger=self._linger)

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
        for host, owner in list(self._owners.items()):
            _stop_on(host, owner, _CLEANED_UP, for_good=False)

    async def aclose(self) -> None:
        """End the session: stop what it has running, and return when it has stopped.

        Later calls raise `SessionClosed`. The wait is shielded; a cancellation that
        arrives meanwhile is delivered afterwards. Harmless when repeated.
        """
        self._closed = True
        here = current_host()
        for host, owner in list(self._owners.items()):
            if host is not here:
                _stop_on(host, owner, _CLOSED, for_good=True)
        await self._owner().aclose(_CLOSED)
        with anyio.CancelScope(shield=True):
            await self.backend.close_idle()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
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


def _stop_on(host: LoopHost, owner: Owner, reason: str, *, for_good: bool) -> None:
    """Stop an owner from wherever the caller is."""
    if host.closed or host.loop.is_closed():
        return
    if host.is_here():
        owner.stop(reason, for_good=for_good)
        return
    try:
        host.post(lambda: owner.stop(reason, for_good=for_good))
    except RuntimeError:
        _log.debug("the %s ended while a session was stopping on it", host)


async def _computed(thunk: ModelOutputThunk[S]) -> ComputedModelOutputThunk[S]:
    # The thunk never leaves this call if it is cancelled, so nobody else can want it.
    try:
        await thunk
    except BaseException:
        await thunk.aclose()
        raise
    return ComputedModelOutputThunk(thunk)


def _text(what: str, text: object) -> str:
    if not isinstance(text, str):
        hint = "; a reply goes into user_variables" if isinstance(text, ModelOutputThunk) else ""
        raise TypeError(f"{what} should be a string, not {type(text).__name__}{hint}")
    return text
