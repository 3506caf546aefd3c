"""
The Ollama protocol, seen from the server.

This module knows paths, fields and their meaning. It knows neither sockets nor time,
but for the timestamps that each line carries, nor what the model says.

Reference: https://github.com/ollama/ollama/blob/main/docs/api.md
"""

import datetime
import functools
import hashlib
from collections.abc import Mapping
from typing import Any, Final

import attrs
import msgspec

from motet.testing.server._fields import Invalid, fields_of, get
from motet.testing.server._models import SUFFIX, Catalogue
from motet.testing.server._protocol import Answer, Ask, Call, Delta, Kind, Stats, Turn

VERSION: Final = "0.20.0" + SUFFIX
_CONTENT_TYPE: Final = "application/x-ndjson"
_ROLES: Final = ("system", "user", "assistant", "tool")
_REPLY_PATHS: Final = {"/api/chat": True, "/api/generate": False}

_encode: Final = msgspec.json.Encoder().encode


@attrs.frozen
class OllamaDialect:
    """Understand requests to an Ollama server."""

    catalogue: Catalogue

    def wants_reply(self, method: str, path: str) -> bool:
        """Whether a request asks the model for something."""
        return method == "POST" and path in _REPLY_PATHS

    def understand(self, method: str, path: str, body: bytes) -> Call | Answer:
        """Return what a request wants."""
        match "GET" if method == "HEAD" else method, path:
            case "GET", "/":
                return Answer(200, text="The simulated model server is running")
            case "GET", "/api/version":
                return Answer(200, {"version": VERSION})
            case "GET", "/api/tags":
                return Answer(200, {"models": [_entry(name) for name in self.catalogue.listed]})
            case "GET", "/api/ps":
                return Answer(200, {"models": [_loaded(name) for name in self.catalogue.listed]})
            case "POST", "/api/show" | "/api/chat" | "/api/generate" | "/api/pull":
                try:
                    return self._post(path, fields_of(body))
                except Invalid as exc:
                    return Answer(400, {"error": exc.message})
            case _:
                return Answer(404, text="404 page not found")

    def error(self, status: int, message: str) -> object:
        """Return the payload of a response with an error status."""
        return {"error": message}

    def _post(self, path: str, fields: Mapping[str, Any]) -> Call | Answer:
        asked = get(fields, "model", str, "") or get(fields, "name", str, "")
        if not asked:
            return Answer(400, {"error": "model is required"})
        if path == "/api/pull":
            return _pull(self.catalogue, asked, get(fields, "stream", bool, True))
        model = self.catalogue.find(asked)
        if model is None:
            return Answer(404, {"error": f"model '{asked}' not found"})
        if path == "/api/show":
            return Answer(200, _show(model))
        chat = _REPLY_PATHS[path]
        turns = _messages(fields) if chat else _generate_turns(fields)
        streamed = get(fields, "stream", bool, True)
        if not turns:
            return _loading(fields, model, chat, streamed)
        return Call(_ask(fields, turns), model, streamed, _OllamaWriter(model, chat))


@attrs.define
class _OllamaWriter:
    """Write one reply, for `/api/chat` or `/api/generate`."""

    model: str
    chat: bool
    stream_content_type: str = attrs.field(default=_CONTENT_TYPE, init=False)
    _head: bytes = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._head = b'{"model":' + _encode(self.model) + b',"created_at":"'

    def delta(self, delta: Delta) -> bytes:
        # The one line that is written once a token, hence by hand.
        if delta.kind is Kind.TEXT:
            text = _encode(delta.text)
            what = (
                b'","message":{"role":"assistant","content":' + text + b"}"
                if self.chat
                else b'","response":' + text
            )
        else:
            what = b'",' + _encode(self._parts([delta]))[1:-1]
        return self._head + _now().encode() + what + b',"done":false}\n'

    def last(self, stats: Stats) -> bytes:
        return _encode(self._record([], stats)) + b"\n"

    def whole(self, deltas: list[Delta], stats: Stats | None) -> bytes:
        return _encode(self._record(deltas, stats))

    def error(self, message: str) -> bytes:
        return _encode({"error": message}) + b"\n"

    def garbage(self) -> bytes:
        return b"\xff\xfe<html>not what you asked for\n"

    def keep_alive(self) -> bytes:
        return b"\n"

    def endless(self) -> bytes:
        return self.delta(Delta(Kind.TEXT)).partition(b'""')[0] + b'"'

    def _record(self, deltas: list[Delta], stats: Stats | None) -> dict[str, Any]:
        record = {
            "model": self.model,
            "created_at": _now(),
            **self._parts(deltas),
            "done": stats is not None,
        }
        return record | _metrics(stats) if stats else record

    def _parts(self, deltas: list[Delta]) -> dict[str, Any]:
        parts: dict[str, Any] = {"content" if self.chat else "response": _joined(deltas, Kind.TEXT)}
        if thinking := _joined(deltas, Kind.THINKING):
            parts["thinking"] = thinking
        if calls := [delta.tool_call for delta in deltas if delta.kind is Kind.TOOL_CALL]:
            parts["tool_calls"] = calls
        return {"message": {"role": "assistant", **parts}} if self.chat else parts


def _joined(deltas: list[Delta], kind: Kind) -> str:
    return "".join(delta.text for delta in deltas if delta.kind is kind)


def _metrics(stats: Stats) -> dict[str, object]:
    prompt = round(stats.prompt_duration * 1e9)
    reply = round(stats.reply_duration * 1e9)
    return {
        "done_reason": stats.done_reason,
        "total_duration": prompt + reply,
        "load_duration": 0,
        "prompt_eval_count": stats.prompt_tokens,
        "prompt_eval_duration": prompt,
        "eval_count": stats.reply_tokens,
        "eval_duration": reply,
    }


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat().replace("+00:00", "Z")


# --- requests


def _messages(fields: Mapping[str, Any]) -> tuple[Turn, ...]:
    turns = []
    for message in get(fields, "messages", list, []):
        if not isinstance(message, dict):
            raise Invalid("field 'messages' must hold objects")
        role = get(message, "role", str, "")
        if role not in _ROLES:
            raise Invalid(f"invalid role: {role!r}, must be one of {', '.join(_ROLES)}")
        turns.append(Turn(role, get(message, "content", str, "")))
    return tuple(turns)


def _generate_turns(fields: Mapping[str, Any]) -> tuple[Turn, ...]:
    prompt = get(fields, "prompt", str, "")
    if not prompt:
        return ()
    system = get(fields, "system", str, "")
    return (*((Turn("system", system),) if system else ()), Turn("user", prompt))


def _ask(fields: Mapping[str, Any], turns: tuple[Turn, ...]) -> Ask:
    options = get(fields, "options", dict, {})
    schema = fields.get("format")
    if schema not in (None, "", "json") and not isinstance(schema, dict):
        raise Invalid("field 'format' must be \"json\" or a JSON schema")
    stop = options.get("stop") or ()
    if isinstance(stop, str):
        stop = (stop,)
    if not all(isinstance(text, str) for text in stop):
        raise Invalid("option 'stop' must hold strings")
    num_predict = get(options, "num_predict", int, -1)
    return Ask(
        turns,
        schema=schema if isinstance(schema, dict) else None,
        wants_json=schema == "json",
        wants_thinking=fields.get("think") not in (None, False),
        seed=get(options, "seed", int, 0),
        max_tokens=num_predict if num_predict > 0 else None,
        stop=tuple(text for text in stop if text),
    )


# --- answers that need no model


def _loading(fields: Mapping[str, Any], model: str, chat: bool, streamed: bool) -> Answer:
    """Answer a request without a prompt, which loads or unloads the model."""
    record = {
        "model": model,
        "created_at": _now(),
        **({"message": {"role": "assistant", "content": ""}} if chat else {"response": ""}),
        "done": True,
        "done_reason": "unload" if fields.get("keep_alive") in (0, "0") else "load",
    }
    if streamed:
        return Answer(200, text=_encode(record).decode() + "\n", content_type=_CONTENT_TYPE)
    return Answer(200, record)


def _pull(catalogue: Catalogue, name: str, streamed: bool) -> Answer:
    """Answer a request for a model as if it came from a library, in no time."""
    digest = "sha256:" + hashlib.sha256(name.encode()).hexdigest()
    pull = functools.partial(catalogue.pull, name)
    layer = {"status": f"pulling {digest[7:19]}", "digest": digest, "total": 1000}
    lines = [
        {"status": "pulling manifest"},
        layer,
        *({**layer, "completed": completed} for completed in (400, 1000)),
        {"status": "verifying sha256 digest"},
        {"status": "writing manifest"},
        {"status": "success"},
    ]
    if not streamed:
        return Answer(200, lines[-1], effect=pull)
    text = "".join(_encode(line).decode() + "\n" for line in lines)
    return Answer(200, text=text, content_type=_CONTENT_TYPE, effect=pull)


_DETAILS: Final = {
    "parent_model": "",
    "format": "none",
    "family": "simulated",
    "families": ["simulated"],
    "parameter_size": "0",
    "quantization_level": "none",
}


def _entry(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "model": name,
        "modified_at": "2026-01-01T00:00:00Z",
        "size": 0,
        "digest": hashlib.sha256(name.encode()).hexdigest(),
        "details": _DETAILS,
    }


def _loaded(name: str) -> dict[str, Any]:
    entry = _entry(name)
    del entry["modified_at"]
    return {**entry, "expires_at": "2318-01-01T00:00:00Z", "size_vram": 0, "context_length": 131072}


def _show(name: str) -> dict[str, Any]:
    return {
        "modelfile": f"# {name} is no model: its replies follow a few rules",
        "parameters": "",
        "template": "{{ .Prompt }}",
        "details": _DETAILS,
        "model_info": {"general.architecture": "simulated", "general.parameter_count": 0},
        "capabilities": ["completion", "tools", "thinking"],
        "modified_at": "2026-01-01T00:00:00Z",
    }
