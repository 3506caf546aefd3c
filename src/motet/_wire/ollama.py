"""Ollama's chat protocol: requests to bytes, lines of a reply to one record.

This module knows what ``/api/chat`` and ``/api/generate`` want and send. It knows nothing
of connections, tasks or time, and waits for nothing.

References: https://github.com/ollama/ollama/blob/main/docs/api.md, "Generate a chat
completion"; https://docs.ollama.com/api/errors; ``api/types.go`` of Ollama for the types
of the fields.
"""

import reprlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import attrs
import msgspec

from motet._values.chat import ChatMessage, ToolCallRequest
from motet._values.errors import ProtocolError, ReplyError
from motet._values.options import ModelOption, normalise

from .encoding import encode_body
from .wording import line_of, quoted

OLLAMA_ALIASES: Final[Mapping[str, str]] = {
    "system": ModelOption.SYSTEM_PROMPT,
    "think": ModelOption.THINKING,
    "num_ctx": ModelOption.CONTEXT_WINDOW,
    "num_predict": ModelOption.MAX_NEW_TOKENS,
    "seed": ModelOption.SEED,
    "tools": ModelOption.TOOLS,
    "stream": ModelOption.STREAM,
    "stop": ModelOption.STOP_SEQUENCES,
}
"""From Ollama's own name of an option to the one in `ModelOption`."""

OLLAMA_OPTION_NAMES: Final[Mapping[str, str]] = {
    ModelOption.MAX_NEW_TOKENS: "num_predict",
    ModelOption.CONTEXT_WINDOW: "num_ctx",
    ModelOption.SEED: "seed",
    ModelOption.STOP_SEQUENCES: "stop",
}
"""From `ModelOption` to the names inside the ``options`` of a request."""

# Inside "options" the server does not look for these.
_TOP_LEVEL: Final = ("format", "logprobs", "top_logprobs", "keep_alive", "truncate", "shift")


# ---- Replies ----

# None of these structs can be part of a reference cycle, so the collector need not look at
# them: there are as many as tokens. A field may be missing or null in any line; what is
# not listed is skipped without being built.


class OllamaFunction(msgspec.Struct, gc=False):
    """The function that a tool call names."""

    index: int | None = None
    name: str | None = None
    arguments: dict[str, Any] | str | None = None  # text where a template went wrong


class OllamaToolCall(msgspec.Struct, gc=False):
    """A tool call; they come whole, one or more in a line."""

    id: str | None = None
    function: OllamaFunction | None = None


class OllamaMessage(msgspec.Struct, gc=False):
    """What one line adds to the reply."""

    role: str | None = None
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[OllamaToolCall] | None = None


class OllamaChunk(msgspec.Struct, gc=False):
    """One line of a reply.

    The figures are numbers, the durations in nanoseconds; they are of any type here, because
    one that is no number must not cost the reply.
    """

    model: str | None = None
    message: OllamaMessage | None = None
    response: str | None = None  # the text where a raw prompt is answered
    thinking: str | None = None  # likewise
    done: bool | None = None
    done_reason: str | None = None
    total_duration: Any = None
    load_duration: Any = None
    prompt_eval_count: Any = None
    prompt_eval_duration: Any = None
    eval_count: Any = None
    eval_duration: Any = None
    logprobs: list[Any] | None = None
    remote_model: str | None = None
    error: Any = None

    def error_text(self) -> str | None:
        """Return what went wrong if the server reports an error in this line.

        The status of the response is 200 all the same.
        """
        return line_of(self.error) if self.error else None


_FACTS: Final = (
    "model",
    "remote_model",
    "done_reason",
    "total_duration",
    "load_duration",
    "prompt_eval_count",
    "prompt_eval_duration",
    "eval_count",
    "eval_duration",
)

_decode: Final = msgspec.json.Decoder(OllamaChunk).decode


def decode_chunk(line: bytes) -> OllamaChunk:
    """Return what one line of a reply says.

    Args:
        line: one JSON object, without its line ending.

    Raises:
        ProtocolError: *line* is not JSON, or nothing that a chat reply consists of.
    """
    try:
        chunk = _decode(line)
    except (ValueError, RecursionError) as exc:
        raise ProtocolError(f"not a line of a chat reply ({exc}): {quoted(line)}") from exc
    nothing = chunk.message is None and chunk.response is None and chunk.done is None
    if nothing and not chunk.error:
        raise ProtocolError(f"not a line of a chat reply: {quoted(line)}")
    return chunk


@attrs.define
class ReplyRecord:
    """The lines of one reply, merged into one.

    Texts are joined, tool calls and log probabilities gathered, and of every other field
    the first value stays.

    Attributes:
        done: whether the line that marks a complete reply has come.
        failure: the error that came together with the last text.
    """

    done: bool = attrs.field(default=False, init=False)
    failure: ReplyError | None = attrs.field(default=None, init=False)
    _content: list[str] = attrs.field(factory=list, init=False, repr=False)
    _thinking: list[str] = attrs.field(factory=list, init=False, repr=False)
    _calls: tuple[ToolCallRequest, ...] = attrs.field(default=(), init=False, repr=False)
    _raw_calls: tuple[dict[str, Any], ...] = attrs.field(default=(), init=False, repr=False)
    _logprobs: list[Any] | None = attrs.field(default=None, init=False, repr=False)
    _role: str | None = attrs.field(default=None, init=False)
    _raw: bool = attrs.field(default=False, init=False)  # a raw prompt is answered
    _facts: dict[str, Any] = attrs.field(factory=dict, init=False)

    def take(self, piece: bytes) -> tuple[str, str]:
        """Merge the next line of the reply; return the text and the thoughts it adds.

        Raises:
            ReplyError: the server reports an error, and says nothing else.
            ProtocolError: it is no line of a reply.
        """
        chunk = decode_chunk(piece)
        message = chunk.message
        if message is None:
            text, thoughts = chunk.response or "", chunk.thinking or ""
        else:
            text, thoughts = message.content or "", message.thinking or ""
        if chunk.error:
            error = ReplyError(f"the server reported an error: {chunk.error_text()}")
            if not (text or thoughts):
                raise error
            self.failure, chunk.done = error, None
        self.add(chunk)
        return text, thoughts

    def add(self, chunk: OllamaChunk) -> None:
        """Merge the next line of the reply.

        Raises:
            ProtocolError: the arguments of a tool call are not an object.
        """
        message = chunk.message
        if message is not None:
            if message.content:
                self._content.append(message.content)
            if message.thinking:
                self._thinking.append(message.thinking)
            if message.tool_calls:
                self._add_calls(message.tool_calls)
        else:
            self._add_raw(chunk)
        if chunk.logprobs:
            self._logprobs = self._logprobs or []
            self._logprobs += chunk.logprobs
        # The lines between the first and the last hold text and the same model and role
        # again: looking for figures in each would double the cost of a token.
        if self._role is None or chunk.done or self.done or "model" not in self._facts:
            self._add_facts(chunk)

    def check(self) -> None:
        """Make sure that a complete reply can be used: nothing that has not been checked."""

    @property
    def begun(self) -> bool:
        """Whether anything of the reply has come, and not only that there will be one."""
        return bool(self._content or self._thinking or self._calls)

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._content)

    @property
    def thinking(self) -> str:
        """What the model thought so far; ``""`` if it did not."""
        return "".join(self._thinking)

    @property
    def tool_calls(self) -> tuple[ToolCallRequest, ...]:
        """The calls that the model asked for, in its order."""
        return self._calls

    @property
    def model(self) -> str | None:
        """The model that answers, in the server's words."""
        return self._facts.get("model")

    @property
    def finish_reasons(self) -> list[str] | None:
        """Why the reply ended, as a list of one; ``None`` while that is not known."""
        reason = self._facts.get("done_reason")
        return None if reason is None else [reason]

    @property
    def response_id(self) -> None:
        """The server's name for the reply: Ollama gives none."""

    @property
    def usage(self) -> dict[str, int] | None:
        """The tokens of the prompt, of the reply and of both; ``None`` while not known.

        The server leaves out a count of zero, so one that is missing beside the other is 0,
        and so is one that cannot be read.
        """
        prompt = _count(self._facts.get("prompt_eval_count"))
        completion = _count(self._facts.get("eval_count"))
        if prompt is None and completion is None:
            return None
        counts = (prompt or 0, completion or 0)
        return {
            "prompt_tokens": counts[0],
            "completion_tokens": counts[1],
            "total_tokens": sum(counts),
        }

    @property
    def tokens_per_second(self) -> float | None:
        """How fast the server made the reply; ``None`` where it does not say."""
        count = _count(self._facts.get("eval_count"))
        nanoseconds = self._facts.get("eval_duration")
        if count is None or type(nanoseconds) not in (int, float) or not nanoseconds:
            return None
        return float(count / nanoseconds * 1e9)

    def response(self) -> dict[str, Any]:
        """Return the reply so far as one record of the shape that a plain call gets.

        What no line said is not in it, except for ``done`` and the role and content of the
        message.
        """
        if self._raw:
            thoughts = {"thinking": self.thinking} if self._thinking else {}
            return {**self._facts, "response": self.text, **thoughts, "done": self.done}
        message: dict[str, Any] = {"role": self._role or "assistant", "content": self.text}
        if self._thinking:
            message["thinking"] = self.thinking
        if self._raw_calls:
            message["tool_calls"] = list(self._raw_calls)
        response = {**self._facts, "message": message, "done": self.done}
        if self._logprobs:
            response["logprobs"] = list(self._logprobs)
        return response

    def _add_raw(self, chunk: OllamaChunk) -> None:
        self._raw = self._raw or chunk.response is not None
        if chunk.response:
            self._content.append(chunk.response)
        if chunk.thinking:
            self._thinking.append(chunk.thinking)

    def _add_facts(self, chunk: OllamaChunk) -> None:
        self.done = self.done or bool(chunk.done)
        if self._role is None and chunk.message is not None:
            self._role = chunk.message.role
        for name in _FACTS:
            value = getattr(chunk, name)
            if value is not None:
                self._facts.setdefault(name, value)

    def _add_calls(self, calls: Iterable[OllamaToolCall]) -> None:
        for call in calls:
            function = call.function or OllamaFunction()
            name = function.name or ""
            arguments = _arguments(name, function.arguments)
            self._calls += (ToolCallRequest(name, arguments, call.id),)
            raw: dict[str, Any] = {} if call.id is None else {"id": call.id}
            raw["function"] = {} if function.index is None else {"index": function.index}
            raw["function"] |= {"name": name, "arguments": arguments}
            self._raw_calls += (raw,)


def _count(said: Any) -> int | None:
    """Return a number of tokens, ``None`` for what is none."""
    if type(said) is int or (isinstance(said, float) and said.is_integer()):
        return int(said)
    return None


def _arguments(name: str, given: dict[str, Any] | str | None) -> dict[str, Any]:
    if not isinstance(given, str):
        return given or {}
    try:
        return msgspec.json.decode(given, type=dict[str, Any]) if given.strip() else {}
    except (ValueError, RecursionError) as exc:
        raise ProtocolError(
            f"the arguments of a call to {name!r} are not a JSON object: {reprlib.repr(given)}"
        ) from exc


# ---- Requests ----


def chat_body(
    model: str,
    messages: Iterable[ChatMessage],
    options: Mapping[str, Any] | None = None,
    *,
    stream: bool = True,
    schema: Mapping[str, Any] | str | None = None,
    tools: Sequence[Mapping[str, Any]] = (),
) -> bytes:
    """Return the body of a request to ``/api/chat``.

    Of *options*, the system prompt becomes the first message, unless it is ``""``, and
    thinking and what else has a place of its own at the top goes there. ``STREAM``,
    ``STREAM_TIMEOUT`` and ``TOOLS`` are for the caller of this function and not sent. The
    rest goes inside ``options``, unknown names as they are. ``None`` is not sent.

    Args:
        model: as the server calls it.
        messages: the conversation, oldest first.
        options: the options in force, under Ollama's names or those in `ModelOption`.
        stream: whether the reply is to come in lines. Ollama stops the work on a reply
            that nobody reads only if it streams, so this is true unless there is a reason.
        schema: what the reply must conform to: a JSON schema, or ``"json"``.
        tools: the schemas of the tools that the model may call.

    Raises:
        TypeError: an option has a wrong type, or cannot be written as JSON.
        ValueError: an option makes no sense or contains itself, an image is not base64,
            or a text has surrogate characters, which cannot be sent.
    """
    given = _given(options)
    system = given.get(ModelOption.SYSTEM_PROMPT)
    opening = (ChatMessage("system", system),) if system else ()
    body: dict[str, Any] = {
        "model": model,
        "stream": stream,
        "options": {},
        "messages": [_message(message) for message in (*opening, *messages)],
        "tools": list(tools),
    }
    return _encoded(body, given, schema)


def generate_body(
    model: str,
    prompt: str,
    options: Mapping[str, Any] | None = None,
    *,
    schema: Mapping[str, Any] | str | None = None,
) -> bytes:
    """Return the body of a request to ``/api/generate`` that continues a text as it is.

    There is no template around it, hence no system prompt and no tools.

    Raises:
        TypeError, ValueError: as `chat_body`.
    """
    body = {"model": model, "stream": True, "options": {}, "prompt": prompt, "raw": True}
    return _encoded(body, _given(options), schema)


def _given(options: Mapping[str, Any] | None) -> dict[str, Any]:
    given = normalise(options, OLLAMA_ALIASES)
    return {key: value for key, value in given.items() if value is not None}


def _encoded(
    body: dict[str, Any], given: dict[str, Any], schema: Mapping[str, Any] | str | None
) -> bytes:
    if ModelOption.THINKING in given:
        body["think"] = given[ModelOption.THINKING]
    body |= {key: given.pop(key) for key in _TOP_LEVEL if key in given}
    if schema is not None:
        body["format"] = schema
    renamed = ModelOption.replace_keys(given, OLLAMA_OPTION_NAMES)
    body["options"] = ModelOption.remove_special_keys(renamed)
    return encode_body(body, body["options"])


def _message(message: ChatMessage) -> dict[str, Any]:
    written: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.thinking:
        written["thinking"] = message.thinking
    if message.images:
        written["images"] = [_base64(image) for image in message.images]
    if message.tool_calls:
        written["tool_calls"] = [_tool_call(call) for call in message.tool_calls]
    if message.tool_name is not None:
        written["tool_name"] = message.tool_name
    if message.tool_call_id is not None:
        written["tool_call_id"] = message.tool_call_id
    return written


def _base64(image: str) -> str:
    # Base64 has no colon, and "https:" and "data:" have theirs early.
    if ":" in image[:16]:
        raise ValueError(
            f"Ollama takes images as base64 text and fetches none: {reprlib.repr(image)}; "
            "load the image and pass its data"
        )
    return image


def _tool_call(call: ToolCallRequest) -> dict[str, Any]:
    written: dict[str, Any] = {} if call.id is None else {"id": call.id}
    written["function"] = {"name": call.name, "arguments": dict(call.arguments)}
    return written
