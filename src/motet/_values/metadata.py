"""What is known about a reply beside its text: figures, provider's record, log, tool calls.

One or more of these objects exist for every reply, in flight or kept, so they have slots
and no weak references. They are filled in by whoever produces the reply.
"""

import datetime
from collections.abc import Mapping
from typing import Any, Protocol

import attrs

from .chat import ToolCallRequest
from .errors import BackendError


class RunnableTool(Protocol):
    """A tool as `ModelToolCall` needs it."""

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Call the tool and return its result."""


@attrs.define(weakref_slot=False)
class GenerationMetadata:
    """Facts and figures of one generation; ``None`` is what is not, or not yet, known.

    Attributes:
        usage: ``prompt_tokens``, ``completion_tokens``, ``total_tokens`` and what the
            server adds to them. Unknown for a reply that was cut short.
        model: the model that was asked for.
        provider: the kind of server, such as ``"ollama"``.
        ttfb_ms: milliseconds from the request to the first chunk of a streamed reply.
        streaming: whether the caller asked for a streamed reply.
        response_model: the model that answered, in the server's words.
        finish_reasons: why the reply ended, one for each choice.
        response_id: the server's name for the reply.
        logits: never known; kept for programs that look.
        raw_logits: never known; kept for programs that look.
        queued_ms: milliseconds that the request waited for its turn on our side, all
            attempts together.
        failures: the errors of the attempts, and of the other backends, that were made for
            this reply and did not become it, oldest first.
        answered_by: which of the backends that a backend combines answered.
    """

    usage: dict[str, Any] | None = None
    model: str | None = None
    provider: str | None = None
    ttfb_ms: float | None = None
    streaming: bool = False
    response_model: str | None = None
    finish_reasons: list[str] | None = None
    response_id: str | None = None
    logits: Any = None
    raw_logits: Any = None
    queued_ms: float | None = None
    failures: tuple[BackendError, ...] | None = None
    answered_by: str | None = None


@attrs.define(weakref_slot=False)
class RawProviderResponse:
    """The reply as the provider gave it.

    Attributes:
        provider: the kind of server, such as ``"ollama"``; says how to read the rest.
        response: the reply as one record; a streamed one is merged.
        streamed_chunks: the pieces it was merged from, where they are kept.
    """

    provider: str | None = None
    response: Any = None
    streamed_chunks: list[Any] | None = None


@attrs.define(weakref_slot=False)
class GenerateLog:
    """The record of one generation, for whoever wants to know what was sent and why.

    Attributes:
        date: when the reply was complete.
        prompt: what the model was sent, as text or as messages.
        backend: the kind of server and the model, such as ``"ollama::granite4.1:3b"``.
        model_options: the options in force, defaults and those of the call together.
        model_output: the provider's record of the reply.
        action: the component that was asked.
        result: the thunk of the reply.
        is_final_result: whether this is the attempt that the caller was given.
        extra: ``format``, ``thinking``, ``tools_available``, ``tools_called``, ``seed``.
    """

    date: datetime.datetime | None = None
    prompt: Any = None
    backend: str | None = None
    model_options: dict[str, Any] | None = None
    model_output: Any = None
    action: Any = None
    result: Any = None
    is_final_result: bool | None = False
    extra: dict[str, Any] | None = None


@attrs.define(weakref_slot=False)
class ModelToolCall:
    """A call that the model asked for, matched with the tool it named.

    Attributes:
        name: the tool, as the model called it.
        func: the tool.
        args: the keyword arguments for it.
        id: the server's name for this call, if it gave one; the result must repeat it.
        request: the call in the model's own words, which a later prompt repeats.
    """

    name: str
    func: RunnableTool
    args: Mapping[str, Any]
    id: str | None = None
    request: ToolCallRequest | None = None

    def call_func(self) -> Any:
        """Run the tool with the arguments of the model and return what it returns.

        Raises:
            Exception: whatever the tool raises.
        """
        return self.func.run(**self.args)
