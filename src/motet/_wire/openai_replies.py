"""Replies of servers that speak OpenAI's chat completions: events to one record.

This module knows the events of ``/chat/completions`` and ``/completions`` as OpenAI sends
them, and what its imitators make of them. It knows nothing of connections, tasks or time,
and waits for nothing.

References: https://platform.openai.com/docs/api-reference/chat-streaming;
https://openrouter.ai/docs/api-reference/streaming; https://docs.vllm.ai, "Reasoning outputs";
https://api-docs.deepseek.com/guides/reasoning_model
"""

import contextlib
import reprlib
from collections.abc import Iterable
from typing import Any, Final

import attrs
import msgspec

from motet._values.chat import ToolCallRequest
from motet._values.errors import ProtocolError, ReplyError, ReplyRefused

from .wording import line_of, quoted

DONE: Final = b"[DONE]"

# As for Ollama's: no reference cycles, and as many as tokens. Any field may be missing or
# null; what is not listed is skipped without being built.


class FunctionDelta(msgspec.Struct, gc=False):
    """A piece of a function call."""

    name: str | None = None
    arguments: str | dict[str, Any] | None = None  # an object from some imitators


class ToolCallDelta(msgspec.Struct, gc=False):
    """A piece of a tool call; all of it from some servers."""

    index: int | None = None
    id: str | None = None
    function: FunctionDelta | None = None


class ReplyDelta(msgspec.Struct, gc=False):
    """What one event adds to one choice."""

    role: str | None = None
    content: str | list[Any] | None = None  # a list of typed parts from some servers
    reasoning_content: str | None = None  # DeepSeek, older vLLM
    reasoning: str | None = None  # newer vLLM, Ollama, OpenRouter
    reasoning_details: list[Any] | None = None  # OpenRouter
    refusal: str | None = None
    tool_calls: list[ToolCallDelta] | None = None
    function_call: FunctionDelta | None = None  # before there were tools


class ReplyChoice(msgspec.Struct, gc=False):
    """One of the replies to a request; mostly there is one only."""

    index: int | None = None
    delta: ReplyDelta | None = None
    message: ReplyDelta | None = None  # instead of a delta, in a reply that is not streamed
    text: str | None = None  # instead of either, where a raw prompt is answered
    finish_reason: str | None = None
    logprobs: Any = None


class ChatChunk(msgspec.Struct, gc=False):
    """One event of a reply."""

    id: str | None = None
    object: str | None = None
    created: float | int | None = None
    model: str | None = None
    choices: list[ReplyChoice] | None = None
    usage: dict[str, Any] | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    error: Any = None
    message: Any = None  # where an error stands in imitators
    detail: Any = None  # likewise

    def error_text(self) -> str | None:
        """Return what went wrong if the server reports an error in this event.

        The status of the response is 200 all the same.
        """
        if self.error:
            return line_of(self.error)
        if self.choices is None and (self.message or self.detail):
            return line_of(self.message or self.detail)
        return None


_FACTS: Final = ("id", "created", "model", "system_fingerprint", "service_tier")

_decode: Final = msgspec.json.Decoder(ChatChunk).decode


def decode_event(data: bytes) -> ChatChunk:
    """Return what one event of a reply says.

    Args:
        data: the data of the event; not the ``[DONE]`` at the end.

    Raises:
        ProtocolError: *data* is not JSON, or nothing that a reply consists of.
    """
    try:
        chunk = _decode(data)
    except (ValueError, RecursionError) as exc:
        raise ProtocolError(f"not an event of a chat reply ({exc}): {quoted(data)}") from exc
    if chunk.choices is None and not (
        chunk.usage or chunk.id or chunk.object or chunk.error_text()
    ):
        raise ProtocolError(f"not an event of a chat reply: {quoted(data)}")
    return chunk


@attrs.define
class _Call:
    """A tool call that is being put together."""

    id: str | None = None
    name: str = ""
    arguments: list[str] = attrs.field(factory=list)
    parsed: dict[str, Any] | None = None  # where a server sent an object

    def add(self, call_id: str | None, function: FunctionDelta | None) -> None:
        self.id = self.id or call_id or None
        if function is None:
            return
        # Some servers repeat the name in every piece.
        if function.name and function.name != self.name:
            self.name += function.name
        if isinstance(function.arguments, str):
            self.arguments.append(function.arguments)
        elif function.arguments is not None:
            self.parsed = {**(self.parsed or {}), **function.arguments}

    def written(self) -> str:
        """Return the arguments as text."""
        if self.parsed is not None:
            return msgspec.json.encode(self.parsed).decode()
        return "".join(self.arguments)

    def request(self) -> ToolCallRequest:
        """Return the call; its arguments must be complete."""
        return ToolCallRequest(self.name, self._arguments(), self.id)

    def _arguments(self) -> dict[str, Any]:
        if self.parsed is not None:
            return self.parsed
        text = self.written()
        try:
            # Some templates write null where there is nothing to pass.
            decoded = msgspec.json.decode(text, type=dict[str, Any] | None) if text.strip() else {}
        except (ValueError, RecursionError) as exc:
            raise ProtocolError(
                f"the arguments of a call to {self.name!r} are not a JSON object: "
                f"{reprlib.repr(text)}"
            ) from exc
        return decoded or {}


@attrs.define
class _Choice:
    """One reply, put together from its pieces."""

    role: str | None = None
    content: list[str] = attrs.field(factory=list)
    thinking: list[str] = attrs.field(factory=list)
    refusal: list[str] = attrs.field(factory=list)
    calls: list[_Call] = attrs.field(factory=list)
    by_index: dict[int, _Call] = attrs.field(factory=dict)
    old_call: _Call | None = None  # the only one, in the old form
    finish_reason: str | None = None
    logprobs: dict[str, list[Any]] | None = None
    raw: bool = False  # a raw prompt is answered

    def add(self, choice: ReplyChoice) -> tuple[str, str]:
        """Merge a piece; return the text and the thoughts it adds."""
        if choice.finish_reason:
            self.finish_reason = self.finish_reason or choice.finish_reason
        if choice.logprobs:
            self._add_logprobs(choice.logprobs)
        delta = choice.delta or choice.message
        if delta is None:
            text = choice.text or ""
            self.raw = self.raw or choice.text is not None
            if text:
                self.content.append(text)
            return text, ""
        if delta.role and self.role is None:
            self.role = delta.role
        content = delta.content
        text = content if isinstance(content, str) else _text_of_parts(content)
        if text:
            self.content.append(text)
        thoughts = delta.reasoning_content or delta.reasoning or ""
        if not thoughts and delta.reasoning_details:
            thoughts = _thoughts_in(delta.reasoning_details)
        if thoughts:
            self.thinking.append(thoughts)
        if delta.refusal:
            self.refusal.append(delta.refusal)
        if delta.tool_calls:
            for call in delta.tool_calls:
                self._call_of(call).add(call.id, call.function)
        if delta.function_call is not None:
            if self.old_call is None:
                self.old_call = _Call()
                self.calls.append(self.old_call)
            self.old_call.add(None, delta.function_call)
        return text, thoughts

    def _call_of(self, piece: ToolCallDelta) -> _Call:
        """Return the call that a piece belongs to."""
        known = self._known(piece)
        if known is None:
            known = _Call()
            self.calls.append(known)
        if piece.index is not None:
            self.by_index[piece.index] = known
        return known

    def _known(self, piece: ToolCallDelta) -> _Call | None:
        if piece.index is not None:
            known = self.by_index.get(piece.index)
            # There are servers that number every call 0.
            another = known is not None and piece.id and known.id and piece.id != known.id
            return None if another else known
        if piece.id:
            return next((call for call in self.calls if call.id == piece.id), None)
        # Without either, a piece that has a name begins a call, as whole calls do.
        named = piece.function is not None and piece.function.name
        return None if named or not self.calls else self.calls[-1]

    def _add_logprobs(self, logprobs: Any) -> None:
        # Lists of tokens under "content" and "refusal"; parallel lists for a raw prompt.
        if isinstance(logprobs, dict):
            self.logprobs = self.logprobs or {}
            for key, items in logprobs.items():
                if isinstance(items, list):
                    self.logprobs.setdefault(key, []).extend(items)

    def response(self, index: int) -> dict[str, Any]:
        """Return the choice as it stands in a reply that is not streamed."""
        outer = {
            "index": index,
            "finish_reason": self.finish_reason,
            "logprobs": self.logprobs,
        }
        text = "".join(self.content)
        if self.raw:
            return {**outer, "text": text}
        message: dict[str, Any] = {"role": self.role or "assistant", "content": text}
        if self.thinking:
            message["reasoning_content"] = "".join(self.thinking)
        if self.refusal:
            message["refusal"] = "".join(self.refusal)
        if self.calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.written()},
                }
                for call in self.calls
            ]
        return {**outer, "message": message}


@attrs.define
class ChatRecord:
    """The events of one reply, merged into one.

    Texts are joined and tool calls put together from their pieces; of every other field the
    first value stays, but for the usage, where the last one is the sum of them. A request
    may have asked for several choices: text, thoughts and tool calls are those of the first.

    Attributes:
        done: whether the reply is known to be complete: each choice has told why it ended,
            or the end of the stream was announced. Servers do either, or both; the
            usage may come in between.
        failure: the error that came together with the last text.
        choices_wanted: how many choices the request asked for.
    """

    choices_wanted: int = 1
    done: bool = attrs.field(default=False, init=False)
    failure: ReplyError | None = attrs.field(default=None, init=False)
    _first: _Choice = attrs.field(factory=_Choice, init=False, repr=False)
    _choices: dict[int, _Choice] = attrs.field(init=False, repr=False)
    _facts: dict[str, Any] = attrs.field(factory=dict, init=False)
    _usage: dict[str, Any] | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._choices = {0: self._first}

    def take(self, piece: bytes) -> tuple[str, str]:
        """Merge the next event of the reply; return the text and the thoughts it adds.

        Raises:
            ReplyError: the server reports an error.
            ProtocolError: it is no event of a reply.
        """
        if piece.__class__ is bytes and piece[:1] != b"{":
            stripped = piece.strip()
            if stripped == DONE:
                self.done = True
                return "", ""
            if not stripped:
                return "", ""
        return self.add(decode_event(piece))

    def add(self, chunk: ChatChunk) -> tuple[str, str]:
        """Do as `take` with an event that is decoded.

        Raises:
            ReplyError: the server reports an error, and says nothing else.
        """
        # The pieces between the first and the last say the same of the model again.
        facts = self._facts
        if "id" not in facts or "model" not in facts or chunk.usage is not None:
            self._add_facts(chunk)
        if chunk.usage is not None:
            self._usage = chunk.usage
        text = thoughts = ""
        finished = False
        for choice in chunk.choices or ():
            if not choice.index:
                more_text, more_thoughts = self._first.add(choice)
                text += more_text
                thoughts += more_thoughts
            else:
                self._choices.setdefault(choice.index, _Choice()).add(choice)
            finished = finished or bool(choice.finish_reason)
        if finished or chunk.error or chunk.choices is None:
            error = self._error_in(chunk)
            if error is not None:
                if not (text or thoughts):
                    raise error
                self.failure = error
            elif finished:
                self._finish()
        return text, thoughts

    def _error_in(self, chunk: ChatChunk) -> ReplyError | None:
        said = chunk.error_text() if chunk.error or chunk.choices is None else None
        if said:
            return ReplyError(f"the server reported an error: {said}", partial=self.text)
        if self._first.finish_reason == "error":
            return ReplyError(
                "the server ended the reply with an error and did not say which", partial=self.text
            )
        return None

    def _finish(self) -> None:
        finished = sum(each.finish_reason is not None for each in self._choices.values())
        self.done = self.done or finished >= self.choices_wanted

    def check(self) -> None:
        """Make sure that a complete reply can be used.

        Raises:
            ReplyRefused: the model says why it gives none.
            ProtocolError: the arguments of a tool call are not a JSON object.
        """
        if self._first.refusal:
            raise ReplyRefused(
                f"the model refused to answer: {line_of(self.refusal)}", refusal=self.refusal
            )
        for call in self._first.calls:
            call.request()

    def _add_facts(self, chunk: ChatChunk) -> None:
        for name in _FACTS:
            value = getattr(chunk, name)
            if value is not None:
                self._facts.setdefault(name, value)

    @property
    def begun(self) -> bool:
        """Whether anything of the reply has come, and not only that there will be one."""
        first = self._first
        return bool(first.content or first.thinking or first.calls or first.refusal)

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._first.content)

    @property
    def thinking(self) -> str:
        """What the model thought so far; ``""`` if it did not."""
        return "".join(self._first.thinking)

    @property
    def refusal(self) -> str:
        """In what words the model refused; ``""`` if it did not."""
        return "".join(self._first.refusal)

    @property
    def tool_calls(self) -> tuple[ToolCallRequest, ...]:
        """The calls that the model asked for, in its order; those whose arguments are whole."""
        calls = []
        for call in self._first.calls:
            with contextlib.suppress(ProtocolError):
                calls.append(call.request())
        return tuple(calls)

    @property
    def model(self) -> str | None:
        """The model that answers, in the server's words."""
        return self._facts.get("model")

    @property
    def response_id(self) -> str | None:
        """The server's name for the reply."""
        return self._facts.get("id")

    @property
    def finish_reasons(self) -> list[str] | None:
        """Why the reply ended, one for each choice; ``None`` while that is not known."""
        reasons = [self._choices[index].finish_reason for index in sorted(self._choices)]
        return [reason for reason in reasons if reason is not None] or None

    @property
    def usage(self) -> dict[str, Any] | None:
        """The tokens of the prompt, of the reply and of both; ``None`` while not known."""
        if self._usage is None:
            return None
        prompt = _count(self._usage.get("prompt_tokens"))
        completion = _count(self._usage.get("completion_tokens"))
        counts = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": _count(self._usage.get("total_tokens")) or prompt + completion,
        }
        return {**self._usage, **counts}

    def response(self) -> dict[str, Any]:
        """Return the reply so far as one record of the shape that a plain call gets."""
        raw = self._first.raw
        response = {
            "object": "text_completion" if raw else "chat.completion",
            **self._facts,
            "choices": [self._choices[index].response(index) for index in sorted(self._choices)],
        }
        if self._usage is not None:
            response["usage"] = self._usage
        return response


def _count(said: Any) -> int:
    """Return a number of tokens; what is none must not cost the reply."""
    return said if type(said) is int else 0


def _text_of_parts(content: list[Any] | None) -> str:
    return "".join(_texts(content, "text")) if content else ""


def _thoughts_in(details: list[Any]) -> str:
    return "".join(_texts(details, "text", "summary"))


def _texts(parts: Iterable[Any], *names: str) -> Iterable[str]:
    """Return the texts in a list of typed parts."""
    for part in parts:
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict):
            yield from (part[name] for name in names if isinstance(part.get(name), str))
