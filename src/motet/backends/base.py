"""`Backend`: from a component and a context to a thunk.

What every backend has in common is here, and is the whole life of a generation:
wait for the inputs, put everything into words, let the backend stream the reply, read
it as the component reads it. A backend adds `Backend.reply` and knows one protocol.
"""

from __future__ import annotations

import datetime
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import attrs

from .._http.limits import Limits
from .._language.component import blockify, is_component, unfinished_parts
from .._language.context import SimpleContext
from .._language.formatter import TemplateFormatter
from .._language.schema import json_schema
from .._language.tools.table import Tool, matched_calls, tools_of_components, tools_of_options
from .._runtime.deadlines import callers_deadline
from .._runtime.host import current_host
from .._thunk.fanout import check_mots, wait_for_all_mots
from .._thunk.generation import DEFAULT_LINGER, Generation
from .._thunk.inputs import wait_for_inputs
from .._thunk.thunk import ModelOutputThunk
from .._values.chat import ChatMessage, ToolCallRequest
from .._values.errors import BackendError
from .._values.metadata import GenerateLog, RawProviderResponse
from .._values.options import DEFAULT_STREAM_TIMEOUT, ModelOption, validate_options
from .._values.retries import NO_RETRIES, RetryPolicy, as_retry_policy
from .attempts import reply_with_retries

if TYPE_CHECKING:
    from .._language.context import Context, ContextT
    from .._runtime.host import LoopHost
    from .._runtime.owner import Owner

_log: Final = logging.getLogger("motet")

_NOTHING_SAID: Final = SimpleContext()


@attrs.frozen
class Request:
    """What a backend is to ask of its server.

    Attributes:
        messages: the conversation, oldest first, without the system prompt of the options.
        options: the options in force: the backend's defaults and those of the call.
        schema: the JSON schema that the reply must conform to, or None.
        tools: the tools that the model may call, by name.
        silence_timeout: for how long the server may be silent, in seconds; None for ever.
        prompt: the text that the model is to continue as it is, without a template; there
            are no messages then. None for a conversation.
        deadline: on the event loop's clock, when the caller will have given up; no wait for
            another attempt ends after it.
    """

    messages: tuple[ChatMessage, ...]
    options: Mapping[str, Any]
    schema: Mapping[str, Any] | None
    tools: Mapping[str, Tool]
    silence_timeout: float | None
    prompt: str | None = None
    deadline: float = math.inf


class Reply:
    """The writing end of a thunk. Nothing here waits or raises.

    Attributes:
        feed: adds text that has arrived; a function of one string.
        host: the event loop's host, for what a backend keeps for each loop.
        usage: the tokens that the reply took, once they are known.
    """

    __slots__ = ("_parts", "_request", "_thunk", "feed", "host", "usage")

    def __init__(
        self, thunk: ModelOutputThunk[Any], generation: Generation, request: Request
    ) -> None:
        assert generation.host is not None
        self._thunk = thunk
        self._request = request
        self._parts = generation.parts
        self.usage: dict[str, Any] | None = None
        # Bound once: it is called for every token.
        self.feed: Callable[[str], None] = generation.feed
        self.host: LoopHost = generation.host

    @property
    def untouched(self) -> bool:
        """Whether nothing has arrived yet, neither text nor reasoning."""
        return not self._parts and not self._thunk.thinking

    def failed(self, error: BackendError) -> None:
        """Note an error that does not end the reply, because another attempt follows."""
        facts = self._thunk.generation
        facts.failures = (*(facts.failures or ()), error)

    def answered(self, backend: Backend) -> None:
        """Note which one of several backends answers."""
        facts = self._thunk.generation
        facts.answered_by = backend.label
        facts.model, facts.provider = backend.model_id, backend.provider

    def think(self, text: str) -> None:
        """Add reasoning text that has arrived."""
        self._thunk.add_thinking(text)

    def queued(self, seconds: float) -> None:
        """Note for how long the request waited for its turn on our side; it adds up."""
        facts = self._thunk.generation
        facts.queued_ms = (facts.queued_ms or 0.0) + seconds * 1000

    def begun(self, seconds: float) -> None:
        """Note how long after the request the first token came."""
        if self._thunk.generation.ttfb_ms is None:
            self._thunk.generation.ttfb_ms = seconds * 1000

    def finish(
        self,
        *,
        usage: dict[str, Any] | None = None,
        model: str | None = None,
        finish_reasons: list[str] | None = None,
        response_id: str | None = None,
        response: Any = None,
        tool_calls: Sequence[ToolCallRequest] = (),
    ) -> None:
        """Note what is known about the reply when it ends, however it ends."""
        facts = self._thunk.generation
        facts.usage = self.usage = usage
        facts.response_model = model
        facts.finish_reasons = finish_reasons
        facts.response_id = response_id
        self._thunk.raw = RawProviderResponse(provider=facts.provider, response=response)
        self._thunk.tool_calls = matched_calls(tool_calls, self._request.tools)


class Backend(ABC):
    """Talks to one kind of model server; the base of all backends.

    A backend opens nothing and blocks nowhere when it is made, and may be used from
    several event loops.

    Args:
        model_id: the model, as the server calls it.
        formatter: puts components into words; one for the model without it.
        model_options: options for every call, unless the call says otherwise.
        retries: whether and when a request that failed is sent again: a `RetryPolicy`, or how
            many attempts may follow the first. `ModelOption.RETRIES` of a call overrides it.
        limits: how many calls at once, requests and tokens a minute; may be shared.
    """

    provider: ClassVar[str] = "unknown"
    takes_raw_prompts: ClassVar[bool] = False
    """Whether `reply` knows what `Request.prompt` asks for."""

    def __init__(
        self,
        model_id: str,
        *,
        formatter: TemplateFormatter | None = None,
        model_options: Mapping[str, Any] | None = None,
        retries: RetryPolicy | int | None = None,
        limits: Limits | None = None,
    ) -> None:
        if limits is not None and not isinstance(limits, Limits):
            raise TypeError(f"limits should be Limits or None, not {limits!r}")
        if not isinstance(model_id, str) or not model_id:
            raise TypeError(f"model_id should be the name of a model, not {model_id!r}")
        self.model_id: Final = model_id
        self.formatter: Final = formatter or TemplateFormatter(model_id)
        self.model_options: Final = self.normalised(model_options)
        self.retries: Final = as_retry_policy(retries)
        self.limits: Final = limits

    @property
    def label(self) -> str:
        """What tells this backend from others: its kind, its model and, if it has one, its server."""
        return f"{self.provider}::{self.model_id}"

    @abstractmethod
    async def reply(self, request: Request, reply: Reply) -> None:
        """Ask the server and feed what it answers; return when the reply is complete.

        It runs in the task of the generation. When it is cancelled it must close its
        connection and let the cancellation through.

        Raises:
            BackendError: the server failed, or ended the reply before its end.
        """

    def normalised(self, model_options: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return options under the names of `ModelOption`, checked.

        Raises:
            TypeError, ValueError: names the option and what is wrong with it.
        """
        return validate_options(model_options)

    def to_messages(self, entries: Sequence[Any]) -> Sequence[ChatMessage]:
        """Return the entries of a conversation as messages; as the formatter does, unless overridden.

        Args:
            entries: what was said before, oldest first, and what is to be said now. Every
                thunk among them has arrived.
        """
        return self.formatter.to_chat_messages(entries)

    async def close_idle(self) -> None:  # noqa: B027 - a backend may have none
        """Close the connections of the running event loop that serve nobody."""

    async def generate_from_context(
        self,
        action: Any,
        ctx: ContextT,
        *,
        format: Any = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
    ) -> tuple[ModelOutputThunk[Any], ContextT]:
        """Start a generation; return its pending thunk and the context with both added.

        Does not wait for anything. Without a session, the generation belongs to the
        running event loop.

        Raises:
            TypeError, ValueError: an option, the format or a part cannot be sent.
            WrongEventLoop: a pending part belongs to another event loop.
        """
        thunk = self.begin(
            action, ctx, format=format, model_options=model_options, tool_calls=tool_calls
        )
        return thunk, ctx.add(action).add(thunk)

    async def generate_from_raw(
        self,
        actions: Sequence[Any],
        ctx: Context | None = None,
        *,
        format: Any = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
    ) -> list[ModelOutputThunk[Any]]:
        """Have the model continue texts as they are, all at once; return the complete replies.

        No chat template is put around a text, and no system prompt before it. The replies
        stand in the order of the texts. The first one that fails is raised and the others
        are stopped; so are all of them when the caller is cancelled.

        Args:
            actions: the texts: strings, blocks, components, which are put into words, and
                replies, which may be pending.
            ctx: not used; texts stand alone.
            format: a pydantic model class or a JSON schema for each reply.
            model_options: options for every call.
            tool_calls: there are no tools without a conversation; a warning says so.

        Raises:
            NotImplementedError: this kind of backend has conversations only.
            BackendError, DependencyError, GenerationCancelled: a reply failed.
            TypeError, ValueError: an option, the format or a text cannot be sent.
        """
        if not self.takes_raw_prompts:
            raise NotImplementedError(
                f"{type(self).__name__} cannot continue a text as it is; ask with a session"
            )
        if tool_calls:
            _log.warning("a text that is continued as it is cannot call tools; none are offered")
        texts = [blockify(action) for action in actions]
        check_mots(thunk for text in texts for thunk in unfinished_parts(text))
        thunks: list[ModelOutputThunk[Any]] = [
            # Nobody else can wait for them, so they need not outlive a wait that was given up.
            self.begin(
                text, _NOTHING_SAID, format=format, model_options=model_options, linger=0, raw=True
            )
            for text in texts
        ]
        await wait_for_all_mots(thunks)
        return thunks

    def begin(
        self,
        action: Any,
        ctx: Context,
        *,
        format: Any = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
        owner: Owner | None = None,
        linger: float = DEFAULT_LINGER,
        raw: bool = False,
    ) -> ModelOutputThunk[Any]:
        """Start a generation and return its pending thunk. Not a checkpoint.

        Args:
            action: what to say: a component, a block, or a reply that may be pending.
            ctx: what was said before; it stays as it is.
            format: a pydantic model class or a JSON schema for the reply.
            model_options: options for this call.
            tool_calls: whether the model may call the tools in the options, and those that
                components of the context and the action bring along.
            owner: whose the generation is; without one it belongs to the event loop.
            linger: for how long it goes on after the last one who waited has gone, seconds.
            raw: whether the model is to continue the text of *action* as it is, without what
                was said before, a system prompt and tools; see `takes_raw_prompts`.

        Raises:
            TypeError, ValueError: an option, the format or a part cannot be sent.
            WrongEventLoop: a pending part belongs to another event loop.
        """
        host = current_host()
        options = {**self.model_options, **self.normalised(model_options)}
        needed = check_mots(unfinished_parts(action))
        heard = check_mots(ctx.awaited())
        schema = json_schema(format)
        if tool_calls and schema is not None:
            _log.warning("a reply with a format cannot call tools, so none are offered: %r", action)
            tool_calls = False
        tools = tools_of_options(options.get(ModelOption.TOOLS)) if tool_calls else None
        policy = options.get(ModelOption.RETRIES, self.retries) or NO_RETRIES
        # The generation has a task of its own, in which the caller's deadline is not seen.
        deadline = callers_deadline(host) if policy.retries else math.inf
        call = _Call(
            self, action, ctx, needed, heard, options, format, schema, tools, raw, policy, deadline
        )
        generation = Generation(call.produce, host=host, owner=owner, linger=linger)
        thunk: ModelOutputThunk[Any] = ModelOutputThunk.pending(generation)
        call.thunk = thunk
        thunk.action, thunk.context, thunk.model_options = action, ctx, options
        thunk.generation.model = self.model_id
        thunk.generation.provider = self.provider
        thunk.generation.streaming = bool(options.get(ModelOption.STREAM))
        generation.start()
        return thunk

    def __repr__(self) -> str:
        return f"{type(self).__name__}(model_id={self.model_id!r})"


@attrs.define(eq=False, weakref_slot=False)
class _Call:
    """One generation from beginning to end: what its task runs."""

    backend: Backend
    action: Any
    context: Context
    needed: Sequence[ModelOutputThunk[Any]]
    heard: Sequence[ModelOutputThunk[Any]]
    options: Mapping[str, Any]
    format: Any  # as it was given
    schema: Mapping[str, Any] | None
    tools: Mapping[str, Tool] | None  # those of the options; None if there are to be none
    raw: bool
    policy: RetryPolicy
    deadline: float
    thunk: ModelOutputThunk[Any] = attrs.field(init=False)

    async def produce(self, generation: Generation) -> None:
        history = await self._history()
        request = self._request(history)
        reply = Reply(self.thunk, generation, request)
        await reply_with_retries(self.backend, request, reply, self.policy)
        # Everything up to the outcome happens here, before anybody can see it: a thunk
        # that is computed has been parsed.
        if self.thunk.generate_log is None:  # one that hands on another's reply brings its log
            self._log(request)
        self.thunk.parse_as(self._parsed)

    async def _history(self) -> Sequence[Any]:
        """Wait for the inputs, and return what was said before and goes into the prompt."""
        await wait_for_inputs(self.needed, self.heard)
        # A turn that was lost meanwhile may have brought an older one into view.
        while pending := check_mots(self.context.awaited()):
            await wait_for_inputs((), pending)
        # Only now is it known which turns failed and how long the others are.
        history = self.context.view_for_generation() or ()
        said = [entry for entry in history if not isinstance(entry, ModelOutputThunk)]
        await wait_for_inputs(check_mots(lost for each in said for lost in unfinished_parts(each)))
        return history

    def _request(self, history: Sequence[Any]) -> Request:
        backend, action = self.backend, self.action
        return Request(
            messages=() if self.raw else tuple(backend.to_messages([*history, action])),
            options=self.options,
            schema=self.schema,
            tools=self._tools(),
            silence_timeout=self.options.get(ModelOption.STREAM_TIMEOUT, DEFAULT_STREAM_TIMEOUT),
            prompt=backend.formatter.print(action) if self.raw else None,
            deadline=self.deadline,
        )

    def _tools(self) -> dict[str, Tool]:
        # Components say which only now: a part of theirs may have been pending.
        if self.tools is None:
            return {}
        bringing = self.context.actions_for_available_tools() or ()
        return {**self.tools, **tools_of_components([*bringing, self.action])}

    def _parsed(self, thunk: ModelOutputThunk[Any]) -> Any:
        if is_component(self.action):
            return self.action.parse(thunk)
        return thunk.value

    def _log(self, request: Request) -> None:
        self.thunk.generate_log = GenerateLog(
            date=datetime.datetime.now().astimezone(),
            prompt=request.prompt
            if request.prompt is not None
            else [
                {
                    "role": message.role,
                    "content": message.content,
                    "images": list(message.images) or None,
                }
                for message in request.messages
            ],
            backend=f"{self.backend.provider}::{self.backend.model_id}",
            model_options=dict(self.options),
            model_output=self.thunk.raw.response,
            action=self.action,
            result=self.thunk,
            extra={
                "format": self.format,
                "thinking": self.options.get(ModelOption.THINKING),
                "tools_available": dict(request.tools),
                "tools_called": self.thunk.tool_calls,
                "seed": self.options.get(ModelOption.SEED),
            },
        )
