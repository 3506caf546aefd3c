"""Requests to servers that speak OpenAI's chat completions.

This module knows the bodies of ``/chat/completions`` and ``/completions``. It knows nothing
of connections, tasks or time.

OpenAI's own servers refuse fields they do not know; its imitators ignore them, and lack some
that OpenAI has. *strict* tells the two apart.

References: https://platform.openai.com/docs/api-reference/chat/create;
https://platform.openai.com/docs/guides/structured-outputs, "Supported schemas";
https://docs.vllm.ai, "OpenAI-compatible server"
"""

import re
import reprlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import attrs
import msgspec

from motet._values.chat import ChatMessage, ToolCallRequest
from motet._values.options import ModelOption, normalise

from .encoding import encode_body

OPENAI_ALIASES: Final[Mapping[str, str]] = {
    "system": ModelOption.SYSTEM_PROMPT,
    "reasoning_effort": ModelOption.THINKING,
    "seed": ModelOption.SEED,
    "max_completion_tokens": ModelOption.MAX_NEW_TOKENS,
    "max_tokens": ModelOption.MAX_NEW_TOKENS,
    "tools": ModelOption.TOOLS,
    "functions": ModelOption.TOOLS,
    "stream": ModelOption.STREAM,
    "stop": ModelOption.STOP_SEQUENCES,
}
"""From OpenAI's own name of an option to the one in `ModelOption`."""

OPTIONAL_FIELDS: Final = ("stream_options", "max_tokens", "chat_template_kwargs")
"""Fields that a request can do without, for servers that refuse them."""

_OPTION_NAMES: Final[Mapping[str, str]] = {
    ModelOption.SEED: "seed",
    ModelOption.STOP_SEQUENCES: "stop",
}
_EXTRA_BODY: Final = "extra_body"
_TEMPLATE: Final = "chat_template_kwargs"
_CHOICES: Final = ("none", "auto", "required")
_NOT_IN_A_NAME: Final = re.compile(r"[^a-zA-Z0-9_-]+")
_LONGEST_NAME: Final = 64


def chat_body(
    model: str,
    messages: Iterable[ChatMessage],
    options: Mapping[str, Any] | None = None,
    *,
    schema: Mapping[str, Any] | None = None,
    tools: Sequence[Mapping[str, Any]] = (),
    strict: bool = False,
    without: Collection[str] = (),
) -> bytes:
    """Return the body of a request to ``/chat/completions``, for a streamed reply.

    Of *options*, the system prompt becomes the first message, unless it is ``""``, and what
    has another name here is renamed; unknown names are sent as they are. ``extra_body`` is
    put over everything, its ``chat_template_kwargs`` key by key. ``None`` is not sent.

    Args:
        model: as the server calls it.
        messages: the conversation, oldest first.
        options: the options in force, under OpenAI's names or those in `ModelOption`.
        schema: the JSON schema that the reply must conform to.
        tools: the schemas of the tools that the model may call.
        strict: whether the server refuses what it does not know, as OpenAI's do.
        without: `OPTIONAL_FIELDS` that this server refuses.

    Raises:
        TypeError: an option has a wrong type, or cannot be written as JSON.
        ValueError: an option makes no sense, or a text has surrogate characters.
    """
    given = _given(options)
    system = given.get(ModelOption.SYSTEM_PROMPT)
    opening = (ChatMessage("system", system),) if system else ()
    body: dict[str, Any] = {
        "model": model,
        "messages": _messages((*opening, *messages)),
        **_stream_fields(),
    }
    if tools:
        body["tools"] = list(tools)
    choice = given.pop(ModelOption.TOOL_CHOICE, None)
    if tools and choice is not None:  # without tools OpenAI refuses it
        body["tool_choice"] = _tool_choice(choice)
    if schema is not None:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {
                "name": _schema_name(schema),
                "schema": strict_schema(schema) if strict else schema,
                "strict": True,
            },
        }
    limit = given.get(ModelOption.MAX_NEW_TOKENS)
    if limit is not None:
        body["max_completion_tokens"] = limit
        if not strict:
            body["max_tokens"] = limit  # all that Ollama, LM Studio and others look for
    body |= _thinking(given.get(ModelOption.THINKING), strict)
    return _encoded(body, given, without)


def completion_body(
    model: str,
    prompt: str,
    options: Mapping[str, Any] | None = None,
    *,
    schema: Mapping[str, Any] | None = None,
    without: Collection[str] = (),
) -> bytes:
    """Return the body of a request to ``/completions`` that continues a text as it is.

    There is no template around it, hence no system prompt, no thinking and no tools. A
    *schema* goes where vLLM and llama.cpp look for it; OpenAI's own servers know none here.

    Raises:
        TypeError, ValueError: as `chat_body`.
    """
    given = _given(options)
    given.pop(ModelOption.TOOL_CHOICE, None)
    body: dict[str, Any] = {"model": model, "prompt": prompt, **_stream_fields()}
    if ModelOption.MAX_NEW_TOKENS in given:
        body["max_tokens"] = given[ModelOption.MAX_NEW_TOKENS]
    if schema is not None:
        body |= {
            "structured_outputs": {"json": schema},  # vLLM
            "guided_json": schema,  # vLLM before 0.12
            "json_schema": schema,  # llama.cpp
        }
    return _encoded(body, given, [each for each in without if each != "max_tokens"])


def _stream_fields() -> dict[str, Any]:
    return {"stream": True, "stream_options": {"include_usage": True}}


def _given(options: Mapping[str, Any] | None) -> dict[str, Any]:
    given = normalise(options, OPENAI_ALIASES)
    extra = given.get(_EXTRA_BODY)
    if extra is not None and not isinstance(extra, Mapping):
        raise TypeError(
            f"model option 'extra_body' must be a mapping, not {reprlib.repr(extra)} "
            f"({type(extra).__name__}); it is put over the body of the request"
        )
    return {key: value for key, value in given.items() if value is not None}


def _encoded(body: dict[str, Any], given: dict[str, Any], without: Collection[str]) -> bytes:
    extra = dict(given.pop(_EXTRA_BODY, {}))
    # One that is a plain option goes on top of ours key by key, as does one in extra_body.
    template = dict(body.pop(_TEMPLATE, {}))
    options = ModelOption.remove_special_keys(ModelOption.replace_keys(given, _OPTION_NAMES))
    for over in (options, extra):
        above = over.pop(_TEMPLATE, None)
        template = {**template, **above} if isinstance(above, Mapping) else above or template
    body |= {_TEMPLATE: template} if template else {}
    for name in without:
        body.pop(name, None)
    # What the program writes itself is sent, whatever the server said before.
    body |= options | extra
    return encode_body(body, options | extra)


def _thinking(wanted: bool | str | None, strict: bool) -> dict[str, Any]:
    """Return how much the model shall think before it speaks.

    There are two ways to say it: OpenAI's, and an argument of the chat templates that vLLM
    and llama.cpp fill in.
    """
    match wanted:
        case None:
            return {}
        case str():
            return {"reasoning_effort": wanted}
        case _ if strict:
            return {"reasoning_effort": "medium" if wanted else "none"}
        case True:
            return {"reasoning_effort": "medium", _TEMPLATE: {"enable_thinking": True}}
        case _:
            return {_TEMPLATE: {"enable_thinking": False}}


def _tool_choice(choice: Any) -> Any:
    if isinstance(choice, str) and choice not in _CHOICES:
        return {"type": "function", "function": {"name": choice}}
    return choice


def _schema_name(schema: Mapping[str, Any]) -> str:
    title = schema.get("title")
    name = _NOT_IN_A_NAME.sub("_", title)[:_LONGEST_NAME] if isinstance(title, str) else ""
    return name.strip("_") or "reply"


# ---- Messages ----


def _messages(messages: Iterable[ChatMessage]) -> list[dict[str, Any]]:
    names = _CallNames()
    return [_message(message, names) for message in messages]


@attrs.define
class _CallNames:
    """Ids for calls that came without one: a result must name the call it belongs to."""

    _made: int = 0
    # Of the calls whose results have not come, by the name of the tool, oldest first.
    _open: dict[str, list[str]] = attrs.field(factory=dict)

    def of_call(self, call: ToolCallRequest) -> str:
        if call.id:
            return call.id
        self._made += 1
        name = f"call_{self._made}"
        self._open.setdefault(call.name, []).append(name)
        return name

    def of_result(self, message: ChatMessage) -> str | None:
        if message.tool_call_id:
            return message.tool_call_id
        waiting = self._open.get(message.tool_name or "")
        return waiting.pop(0) if waiting else None


def _message(message: ChatMessage, names: _CallNames) -> dict[str, Any]:
    written: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.images:
        texts = [{"type": "text", "text": message.content}] if message.content else []
        images = [
            {"type": "image_url", "image_url": {"url": _image_url(image)}}
            for image in message.images
        ]
        written["content"] = [*texts, *images]
    if message.tool_calls:
        written["tool_calls"] = [
            {
                "id": names.of_call(call),
                "type": "function",
                "function": {"name": call.name, "arguments": _arguments(call)},
            }
            for call in message.tool_calls
        ]
    if message.role == "tool":
        call_id = names.of_result(message)
        if call_id is not None:
            written["tool_call_id"] = call_id
    return written


def _arguments(call: ToolCallRequest) -> str:
    try:
        return msgspec.json.encode(dict(call.arguments)).decode()
    except (TypeError, UnicodeEncodeError, RecursionError) as exc:
        raise ValueError(
            f"the arguments of a call to {call.name!r} cannot be written as JSON: {exc}"
        ) from exc


def _image_url(image: str) -> str:
    # Base64 has no colon, and "https:" and "data:" have theirs early.
    return image if ":" in image[:16] else f"data:image/png;base64,{image}"


# ---- Schemas ----

# Where a schema holds schemas: in a mapping, in a list, or as it is.
_MAPPINGS: Final = ("properties", "$defs", "definitions", "patternProperties")
_LISTS: Final = ("anyOf", "allOf", "oneOf", "prefixItems")
_SINGLE: Final = ("items", "not", "if", "then", "else")


def strict_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a JSON schema as OpenAI's strict mode wants it.

    In every object nothing may come beside the properties, and all of them must come. A
    default has no meaning then and is refused, so it is left out.
    """
    copied = {key: value for key, value in schema.items() if key != "default"}
    for key in _MAPPINGS:
        if isinstance(copied.get(key), Mapping):
            copied[key] = {name: _strict(inner) for name, inner in copied[key].items()}
    for key in _LISTS:
        if isinstance(copied.get(key), list):
            copied[key] = [_strict(inner) for inner in copied[key]]
    for key in _SINGLE:
        if key in copied:
            copied[key] = _strict(copied[key])
    if copied.get("type") == "object" or "properties" in copied:
        copied.setdefault("additionalProperties", False)
        copied["required"] = list(copied.get("properties", ()))
    return copied


def _strict(schema: Any) -> Any:
    return strict_schema(schema) if isinstance(schema, Mapping) else schema
