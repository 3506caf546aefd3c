"""
The OpenAI protocol, seen from the server: chat completions, completions, models.

This module knows paths, fields and their meaning. It knows neither sockets nor time,
but for the timestamps that each event carries, nor what the model says.

Reference: https://platform.openai.com/docs/api-reference/chat
"""

import itertools
import time
from collections.abc import Mapping
from typing import Any, Final

import attrs
import msgspec

from motet.testing.server._fields import Invalid, fields_of, get
from motet.testing.server._models import Catalogue
from motet.testing.server._protocol import Answer, Ask, Call, Delta, Kind, Stats, Turn

_CONTENT_TYPE: Final = "text/event-stream"
_ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")
_CHAT: Final = "/v1/chat/completions"
_REPLY_PATHS: Final = (_CHAT, "/v1/completions")

_encode: Final = msgspec.json.Encoder().encode


@attrs.frozen
class OpenAIDialect:
    """Understand requests to a server that speaks OpenAI's protocol."""

    catalogue: Catalogue
    _numbers: "itertools.count[int]" = attrs.field(factory=lambda: itertools.count(1), init=False)

    def wants_reply(self, method: str, path: str) -> bool:
        """Whether a request asks the model for something."""
        return method == "POST" and path in _REPLY_PATHS

    def understand(self, method: str, path: str, body: bytes) -> Call | Answer:
        """Return what a request wants."""
        method = "GET" if method == "HEAD" else method
        if method == "GET" and path == "/v1/models":
            return Answer(200, {"object": "list", "data": [*map(_entry, self.catalogue.listed)]})
        if method == "GET" and path.startswith("/v1/models/"):
            model = self.catalogue.find(path.removeprefix("/v1/models/"))
            return self._no_model(path) if model is None else Answer(200, _entry(model))
        if method == "POST" and path in _REPLY_PATHS:
            try:
                return self._post(path == _CHAT, fields_of(body))
            except Invalid as exc:
                return Answer(400, self.error(400, exc.message))
        return Answer(404, self.error(404, f"Invalid URL ({method} {path})"))

    def error(self, status: int, message: str) -> object:
        """Return the payload of a response with an error status."""
        kind = "server_error" if status >= 500 else "invalid_request_error"
        return {"error": {"message": message, "type": kind, "param": None, "code": None}}

    def _post(self, chat: bool, fields: Mapping[str, Any]) -> Call | Answer:
        asked = get(fields, "model", str, "")
        if not asked:
            raise Invalid("you must provide a model parameter")
        model = self.catalogue.find(asked)
        if model is None:
            return self._no_model(asked)
        if get(fields, "n", int, 1) != 1:
            raise Invalid("field 'n' must be 1: there is one reply to a request here")
        turns = _messages(fields) if chat else (Turn("user", _prompt(fields)),)
        if not turns:
            raise Invalid("field 'messages' must hold a message")
        stream_options = get(fields, "stream_options", dict, {})
        streamed = get(fields, "stream", bool, False)
        if stream_options and not streamed:
            raise Invalid("field 'stream_options' is only allowed when 'stream' is true")
        writer = _OpenAIWriter(
            model, chat, next(self._numbers), get(stream_options, "include_usage", bool, False)
        )
        return Call(_ask(fields, turns), model, streamed, writer)

    def _no_model(self, name: str) -> Answer:
        error = {
            "message": f"The model `{name}` does not exist or you do not have access to it.",
            "type": "invalid_request_error",
            "param": None,
            "code": "model_not_found",
        }
        return Answer(404, {"error": error})


@attrs.define
class _OpenAIWriter:
    """Write one reply, to a conversation or to a bare prompt."""

    model: str
    chat: bool
    number: int
    with_usage: bool
    stream_content_type: str = attrs.field(default=_CONTENT_TYPE, init=False)
    _head: bytes = attrs.field(init=False)
    _calls: int = attrs.field(default=0, init=False)
    _begun: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._head = _encode(self._facts(streamed=True))[:-1]

    def delta(self, delta: Delta) -> bytes:
        # The one event that is written once a token, hence by hand.
        if delta.kind is Kind.TOOL_CALL:
            return self._opening() + self._call(delta)
        text = _encode(delta.text)
        if not self.chat:  # thoughts have no place there
            return self._choice(b'"text":' + text) if delta.kind is Kind.TEXT else b""
        name = b'"content":' if delta.kind is Kind.TEXT else b'"reasoning_content":'
        return self._opening() + self._choice(b'"delta":{' + name + text + b"}")

    def last(self, stats: Stats) -> bytes:
        reason = _encode(self._reason(stats))
        nothing = b'"delta":{}' if self.chat else b'"text":""'
        data = self._opening() + self._choice(nothing, reason)
        if self.with_usage:
            data += _event(self._head + b',"choices":[],"usage":' + _encode(_usage(stats)) + b"}")
        return data + _event(b"[DONE]")

    def whole(self, deltas: list[Delta], stats: Stats | None) -> bytes:
        text = _joined(deltas, Kind.TEXT)
        calls = [
            self._written(delta)
            for delta in deltas
            if delta.kind is Kind.TOOL_CALL and delta.tool_call is not None
        ]
        choice: dict[str, Any] = {"index": 0, "logprobs": None}
        if self.chat:
            message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
            if thinking := _joined(deltas, Kind.THINKING):
                message["reasoning_content"] = thinking
            if calls:
                message["tool_calls"] = calls
            choice["message"] = message
        else:
            choice["text"] = text
        choice["finish_reason"] = None if stats is None else self._reason(stats)
        record = {**self._facts(streamed=False), "choices": [choice]}
        return _encode(record if stats is None else {**record, "usage": _usage(stats)})

    def error(self, message: str) -> bytes:
        error = {"message": message, "type": "server_error", "param": None, "code": None}
        return _event(_encode({"error": error}))

    def garbage(self) -> bytes:
        return _event(b"\xff\xfe<html>not what you asked for")

    def keep_alive(self) -> bytes:
        return b": still at work\n\n"

    def endless(self) -> bytes:
        return self.delta(Delta(Kind.TEXT)).rpartition(b'""')[0] + b'"'

    def _facts(self, *, streamed: bool) -> dict[str, Any]:
        kind = "chat.completion" if self.chat else "text_completion"
        return {
            "id": f"{'chatcmpl' if self.chat else 'cmpl'}-simulated-{self.number}",
            "object": kind + ".chunk" * (streamed and self.chat),
            "created": int(time.time()),
            "model": self.model,
        }

    def _opening(self) -> bytes:
        """Say who speaks, once, before everything else."""
        if self._begun or not self.chat:
            return b""
        self._begun = True
        return self._choice(b'"delta":{"role":"assistant","content":""}')

    def _choice(self, what: bytes, reason: bytes = b"null") -> bytes:
        choice = b'{"index":0,' + what + b',"logprobs":null,"finish_reason":' + reason + b"}"
        return _event(self._head + b',"choices":[' + choice + b"]}")

    def _call(self, delta: Delta) -> bytes:
        """Write a tool call as OpenAI does: its name first, then its arguments in pieces."""
        call = self._written(delta)
        index = self._calls - 1
        arguments = call["function"]["arguments"]
        first = {**call, "index": index, "function": {**call["function"], "arguments": ""}}
        middle = len(arguments) // 2
        rest = [
            {"index": index, "function": {"arguments": piece}}
            for piece in (arguments[:middle], arguments[middle:])
        ]
        return b"".join(
            self._choice(b'"delta":' + _encode({"tool_calls": [piece]})) for piece in (first, *rest)
        )

    def _written(self, delta: Delta) -> dict[str, Any]:
        given = delta.tool_call or {}
        function = given.get("function") or {}
        arguments = function.get("arguments")
        self._calls += 1
        return {
            "id": given.get("id") or f"call_{self.number}_{self._calls}",
            "type": "function",
            "function": {
                "name": function.get("name", ""),
                "arguments": arguments
                if isinstance(arguments, str)
                else _encode(arguments or {}).decode(),
            },
        }

    def _reason(self, stats: Stats) -> str:
        return "tool_calls" if self._calls and stats.done_reason == "stop" else stats.done_reason


def _event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def _joined(deltas: list[Delta], kind: Kind) -> str:
    return "".join(delta.text for delta in deltas if delta.kind is kind)


def _usage(stats: Stats) -> dict[str, int]:
    return {
        "prompt_tokens": stats.prompt_tokens,
        "completion_tokens": stats.reply_tokens,
        "total_tokens": stats.prompt_tokens + stats.reply_tokens,
    }


def _entry(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 1_767_225_600, "owned_by": "simulated"}


# --- requests


def _messages(fields: Mapping[str, Any]) -> tuple[Turn, ...]:
    turns = []
    for message in get(fields, "messages", list, []):
        if not isinstance(message, dict):
            raise Invalid("field 'messages' must hold objects")
        role = get(message, "role", str, "")
        if role not in _ROLES:
            raise Invalid(f"invalid role: {role!r}, must be one of {', '.join(_ROLES)}")
        if role == "tool" and not message.get("tool_call_id"):
            raise Invalid("a message with the role 'tool' must have a 'tool_call_id'")
        turns.append(Turn("system" if role == "developer" else role, _content(message)))
    return tuple(turns)


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    match content:
        case None:
            return ""
        case str():
            return content
        case list():
            texts = (part.get("text") for part in content if isinstance(part, dict))
            return "\n".join(text for text in texts if isinstance(text, str))
        case _:
            raise Invalid("field 'content' must be a string or a list of parts")


def _prompt(fields: Mapping[str, Any]) -> str:
    prompt = fields.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise Invalid("field 'prompt' must be a string: there is one reply to a request here")
    return prompt


def _ask(fields: Mapping[str, Any], turns: tuple[Turn, ...]) -> Ask:
    wanted = get(fields, "response_format", dict, {})
    kind = get(wanted, "type", str, "text")
    if kind not in ("text", "json_object", "json_schema"):
        raise Invalid(f"field 'response_format' has no type {kind!r}")
    schema = get(get(wanted, "json_schema", dict, {}), "schema", dict, {}) or None
    stop = fields.get("stop") or ()
    if isinstance(stop, str):
        stop = (stop,)
    if not all(isinstance(text, str) for text in stop):
        raise Invalid("field 'stop' must hold strings")
    limit = get(fields, "max_completion_tokens", int, get(fields, "max_tokens", int, 0))
    template = get(fields, "chat_template_kwargs", dict, {})
    effort = get(fields, "reasoning_effort", str, "none") != "none"
    return Ask(
        turns,
        schema=schema if kind == "json_schema" else None,
        wants_json=kind == "json_object",
        wants_thinking=get(template, "enable_thinking", bool, effort),
        seed=get(fields, "seed", int, 0),
        max_tokens=limit if limit > 0 else None,
        stop=tuple(text for text in stop if text),
    )
