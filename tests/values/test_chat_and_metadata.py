"""Messages, tool calls and what is known about a reply."""

import copy
import datetime
import pickle
import sys
from typing import Any

import attrs
import pytest

from motet._values.chat import ChatMessage, ToolCallRequest
from motet._values.metadata import (
    GenerateLog,
    GenerationMetadata,
    ModelToolCall,
    RawProviderResponse,
)


class Adder:
    def run(self, *args: Any, **kwargs: Any) -> Any:
        return kwargs["a"] + kwargs["b"]


FULL_MESSAGE = ChatMessage(
    "assistant", "look", images=["aGk="], tool_calls=[ToolCallRequest("a", {"x": 1}, "call_1")]
)
VALUES = [
    ToolCallRequest("a", {"x": [1]}),
    ChatMessage("user", "hello"),
    FULL_MESSAGE,
    ChatMessage("tool", "42", tool_name="a", tool_call_id="call_1"),
    GenerationMetadata(model="m", finish_reasons=["stop"], queued_ms=1.5),
    RawProviderResponse("ollama", {"done": True}),
    GenerateLog(datetime.datetime(2026, 8, 21, tzinfo=datetime.UTC), "prompt"),
]


@pytest.mark.parametrize("value", VALUES)
def test_values_pickle_and_copy(value: object) -> None:
    for again in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value)):
        assert again == value
        assert repr(again) == repr(value)


def test_a_message_needs_a_role_and_a_text_only() -> None:
    message = ChatMessage("user", "hello")
    assert (message.images, message.tool_calls, message.tool_name) == ((), (), None)


def test_a_message_keeps_its_lists_as_tuples() -> None:
    assert FULL_MESSAGE.images == ("aGk=",)
    assert FULL_MESSAGE.tool_calls == (ToolCallRequest("a", {"x": 1}, "call_1"),)


@pytest.mark.parametrize("value", [ChatMessage("user", "hello"), ToolCallRequest("a", {})])
def test_messages_and_tool_calls_do_not_change(value: Any) -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        value.name = "other"
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        value.content = "other"


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (
            GenerationMetadata,
            (
                "usage model provider ttfb_ms streaming response_model finish_reasons response_id "
                "logits raw_logits queued_ms failures answered_by"
            ),
        ),
        (RawProviderResponse, "provider response streamed_chunks"),
        (
            GenerateLog,
            "date prompt backend model_options model_output action result is_final_result extra",
        ),
        (ModelToolCall, "name func args id request"),
    ],
)
def test_records_have_their_fields_in_order_and_can_be_filled(kind: Any, fields: str) -> None:
    names = fields.split()
    assert [field.name for field in attrs.fields(kind)] == names
    record = kind(*range(len(names)))
    assert [getattr(record, name) for name in names] == list(range(len(names)))
    for name in names:
        setattr(record, name, "new")
        assert getattr(record, name) == "new"
    with pytest.raises(AttributeError):
        record.misspelt = 1


@pytest.mark.parametrize("kind", [GenerationMetadata, RawProviderResponse, GenerateLog])
def test_an_empty_record_knows_nothing(kind: Any) -> None:
    flags = {"streaming", "is_final_result"}
    for name, value in attrs.asdict(kind()).items():
        assert value is (False if name in flags else None)


def test_the_records_of_a_reply_are_small() -> None:
    # 32 bytes more for the collector and rounding; one of each exists for every reply.
    assert sys.getsizeof(GenerationMetadata()) <= 160
    assert sys.getsizeof(RawProviderResponse()) <= 96
    assert not hasattr(GenerationMetadata(), "__dict__")


def test_a_tool_call_runs_its_tool_with_its_arguments() -> None:
    call = ModelToolCall("add", Adder(), {"a": 1, "b": 2})
    assert call.call_func() == 3
    assert (call.name, call.args, call.id) == ("add", {"a": 1, "b": 2}, None)


def test_what_a_tool_raises_comes_out() -> None:
    with pytest.raises(KeyError):
        ModelToolCall("add", Adder(), {}).call_func()
