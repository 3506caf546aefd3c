"""Bodies of requests: which option goes where, and how messages are written."""

import copy
import json
from typing import Any

import pytest

from motet import Timeouts
from motet._values.chat import ChatMessage, ToolCallRequest
from motet._values.options import ModelOption
from motet._wire.ollama import OLLAMA_ALIASES, chat_body

HELLO = ChatMessage("user", "hello")


def body(options: dict[str, Any] | None = None, **more: Any) -> Any:
    return json.loads(chat_body("m", [HELLO], options, **more))


def test_the_smallest_body_has_options_and_tools() -> None:
    assert body() == {
        "model": "m",
        "stream": True,
        "options": {},
        "messages": [{"role": "user", "content": "hello"}],
        "tools": [],
    }


def test_a_full_body() -> None:
    options = {
        "temperature": 0.1,
        "top_k": 4,
        ModelOption.MAX_NEW_TOKENS: 12,
        ModelOption.SEED: 3,
        ModelOption.CONTEXT_WINDOW: 99,
        ModelOption.STOP_SEQUENCES: ["x"],
        ModelOption.SYSTEM_PROMPT: "SYS",
        ModelOption.THINKING: True,
        ModelOption.STREAM: True,
        "logprobs": True,
        "top_logprobs": 2,
        "keep_alive": "5m",
    }
    message = ChatMessage("user", "look", images=("aGk=",))
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    written = chat_body("m", [message], options, stream=False, schema=schema, tools=[{"x": 1}])
    assert json.loads(written) == {
        "model": "m",
        "stream": False,
        "options": {
            "temperature": 0.1,
            "top_k": 4,
            "num_predict": 12,
            "seed": 3,
            "num_ctx": 99,
            "stop": ["x"],
        },
        "messages": [
            {"role": "system", "content": "SYS"},
            {"role": "user", "content": "look", "images": ["aGk="]},
        ],
        "tools": [{"x": 1}],
        "think": True,
        "format": schema,
        "logprobs": True,
        "top_logprobs": 2,
        "keep_alive": "5m",
    }


# What each option adds to the smallest body, and nothing else.
PLACES = [
    (ModelOption.TOOLS, [], {}),
    (ModelOption.TOOL_CHOICE, "auto", {"options": {"tool_choice": "auto"}}),
    (ModelOption.MAX_NEW_TOKENS, 5, {"options": {"num_predict": 5}}),
    (ModelOption.TEMPERATURE, 0.5, {"options": {"temperature": 0.5}}),
    (ModelOption.TEMPERATURE, 1, {"options": {"temperature": 1}}),
    (ModelOption.CONTEXT_WINDOW, 5, {"options": {"num_ctx": 5}}),
    (ModelOption.THINKING, True, {"think": True}),
    (ModelOption.THINKING, False, {"think": False}),
    (ModelOption.THINKING, "low", {"think": "low"}),
    (ModelOption.SEED, 5, {"options": {"seed": 5}}),
    (ModelOption.SEED, 0, {"options": {"seed": 0}}),
    (ModelOption.STREAM, True, {}),
    (ModelOption.STREAM, False, {}),
    (ModelOption.STREAM_TIMEOUT, 5, {}),
    (ModelOption.STREAM_TIMEOUT, None, {}),
    (ModelOption.STOP_SEQUENCES, ["a", "b"], {"options": {"stop": ["a", "b"]}}),
    (ModelOption.STOP_SEQUENCES, "a", {"options": {"stop": ["a"]}}),
    (ModelOption.RETRIES, 3, {}),
    (ModelOption.TIMEOUTS, Timeouts(gap=3), {}),
    (ModelOption.LOGITS, True, {}),
    (ModelOption.RAW_LOGITS, True, {}),
    ("system", "", {}),
    ("think", "high", {"think": "high"}),
    ("num_ctx", 5, {"options": {"num_ctx": 5}}),
    ("num_predict", 5, {"options": {"num_predict": 5}}),
    ("seed", 5, {"options": {"seed": 5}}),
    ("tools", [], {}),
    ("stream", False, {}),
    ("stop", ["a"], {"options": {"stop": ["a"]}}),
    ("min_p", 0.1, {"options": {"min_p": 0.1}}),
    ("what_is_new", {"a": [1]}, {"options": {"what_is_new": {"a": [1]}}}),
    ("logprobs", True, {"logprobs": True}),
    ("top_logprobs", 3, {"top_logprobs": 3}),
    ("keep_alive", 0, {"keep_alive": 0}),
    ("truncate", False, {"truncate": False}),
    ("shift", False, {"shift": False}),
    ("format", "json", {"format": "json"}),
]


@pytest.mark.parametrize(("key", "value", "added"), PLACES)
def test_each_option_has_its_place(key: str, value: object, added: dict[str, Any]) -> None:
    assert body({key: value}) == body() | added


def test_every_option_and_alias_has_a_row() -> None:
    rows = {key for key, _, _ in PLACES} | {ModelOption.SYSTEM_PROMPT}
    names = {value for name, value in vars(ModelOption).items() if name.isupper()}
    assert names | set(OLLAMA_ALIASES) <= rows


@pytest.mark.parametrize("key", sorted({key for key, _, _ in PLACES}))
def test_an_option_of_none_is_not_sent(key: str) -> None:
    assert body({key: None}) == body()


@pytest.mark.parametrize("key", [ModelOption.SYSTEM_PROMPT, "system"])
def test_a_system_prompt_is_the_first_message(key: str) -> None:
    assert body({key: "be brief"})["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hello"},
    ]
    assert body({key: "be brief"})["options"] == {}


@pytest.mark.parametrize("key", [ModelOption.SYSTEM_PROMPT, "system"])
@pytest.mark.parametrize("prompt", ["", None])
def test_an_empty_system_prompt_sends_no_message(key: str, prompt: str | None) -> None:
    assert body({key: prompt}) == body()


def test_the_schema_of_the_call_wins_over_the_option() -> None:
    assert body({"format": "json"}, schema={"type": "object"})["format"] == {"type": "object"}


def test_nothing_that_is_passed_is_modified() -> None:
    options = {
        "seed": 1,
        ModelOption.STOP_SEQUENCES: "x",
        ModelOption.SYSTEM_PROMPT: "s",
        "keep_alive": 1,
        "new": {"a": [1]},
    }
    arguments = {"x": [1]}
    messages = [ChatMessage("assistant", "", tool_calls=[ToolCallRequest("a", arguments)])]
    schema, tools = {"type": "object"}, [{"type": "function"}]
    given = (options, arguments, messages, schema, tools)
    before = copy.deepcopy(given)
    chat_body("m", messages, options, schema=schema, tools=tools)
    assert given == before


def test_messages_keep_their_order_and_need_not_be_a_list() -> None:
    messages = (ChatMessage("user", str(number)) for number in range(3))
    written = json.loads(chat_body("m", messages))["messages"]
    assert [message["content"] for message in written] == ["0", "1", "2"]


def test_a_tool_call_and_its_result_are_written_with_name_and_id() -> None:
    call = ToolCallRequest("lookup", {"key": "a"}, "call_1")
    messages = [
        ChatMessage("assistant", "", tool_calls=(call,), thinking="I had better look."),
        ChatMessage("tool", "42", tool_name="lookup", tool_call_id="call_1"),
    ]
    assert json.loads(chat_body("m", messages))["messages"] == [
        {
            "role": "assistant",
            "content": "",
            "thinking": "I had better look.",
            "tool_calls": [
                {"id": "call_1", "function": {"name": "lookup", "arguments": {"key": "a"}}}
            ],
        },
        {"role": "tool", "content": "42", "tool_name": "lookup", "tool_call_id": "call_1"},
    ]


def test_a_tool_call_without_an_id_is_written_without_one() -> None:
    message = ChatMessage("assistant", "", tool_calls=(ToolCallRequest("a", {}),))
    (written,) = json.loads(chat_body("m", [message]))["messages"]
    assert written["tool_calls"] == [{"function": {"name": "a", "arguments": {}}}]


@pytest.mark.parametrize(
    "image", ["https://host/a.png", "http://host/a.png", "data:image/png;base64,aGk="]
)
def test_an_image_that_is_no_base64_is_refused(image: str) -> None:
    with pytest.raises(ValueError, match="base64"):
        chat_body("m", [ChatMessage("user", "look", images=(image,))])


@pytest.mark.parametrize("text", ["é\u2028\U0001f600", 'a"b\\c\n\x00', "\u007f"])
def test_any_text_is_written_as_json(text: str) -> None:
    assert json.loads(chat_body("m", [ChatMessage("user", text)]))["messages"][0]["content"] == text


def test_a_surrogate_is_refused_by_the_message_it_is_in() -> None:
    with pytest.raises(ValueError, match="message 1 "):
        chat_body("m", [HELLO, ChatMessage("user", "\ud800")])


def test_an_option_that_is_no_json_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="'top_k'"):
        chat_body("m", [HELLO], {"seed": 1, "top_k": object()})


def test_an_option_that_contains_itself_is_refused_by_name() -> None:
    endless: dict[str, Any] = {}
    endless["again"] = endless
    with pytest.raises(ValueError, match="'new'"):
        chat_body("m", [HELLO], {"seed": 1, "new": endless})


def test_an_option_name_that_cannot_be_sent_is_named() -> None:
    with pytest.raises(ValueError, match=r"model option '\\ud800'"):
        chat_body("m", [HELLO], {"\ud800": 1})


def test_a_model_name_that_cannot_be_sent_is_named() -> None:
    with pytest.raises(ValueError, match="'model'"):
        chat_body("\ud800", [HELLO])


def test_a_schema_that_is_no_json_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="'format'"):
        chat_body("m", [HELLO], schema={"a": object()})


def test_an_option_of_the_wrong_type_is_refused_by_the_name_it_was_given() -> None:
    with pytest.raises(TypeError, match=r"SEED \(given as 'seed'\)"):
        chat_body("m", [HELLO], {"seed": "x"})


@pytest.mark.parametrize(
    ("native", "option"),
    [
        ("system", ModelOption.SYSTEM_PROMPT),
        ("think", ModelOption.THINKING),
        ("num_ctx", ModelOption.CONTEXT_WINDOW),
        ("num_predict", ModelOption.MAX_NEW_TOKENS),
        ("seed", ModelOption.SEED),
        ("tools", ModelOption.TOOLS),
        ("stream", ModelOption.STREAM),
        ("stop", ModelOption.STOP_SEQUENCES),
    ],
)
def test_a_native_name_means_the_same_as_the_option(native: str, option: str) -> None:
    assert OLLAMA_ALIASES[native] == option
    assert len(OLLAMA_ALIASES) == 8
