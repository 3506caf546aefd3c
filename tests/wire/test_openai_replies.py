"""Events of a reply and the record they make, of OpenAI and of its imitators."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motet._values.chat import ToolCallRequest
from motet._values.errors import ProtocolError, ReplyError, ReplyRefused
from motet._wire.openai_replies import ChatRecord, decode_event
from motet._wire.sse import EventSplitter


def event(*choices: dict[str, Any], **more: Any) -> dict[str, Any]:
    facts = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "m"}
    return {**facts, "choices": list(choices), **more}


def said(finish_reason: str | None = None, index: int = 0, **delta: Any) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": finish_reason}


USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
EVENTS: list[Any] = [
    event(said(role="assistant", content="")),
    event(said(content="Hel")),
    event(said(content="lo \u2028é")),
    event(said("stop")),
    event(usage=USAGE),
    b"[DONE]",
]


def written(events: list[Any]) -> bytes:
    lines = (each if isinstance(each, bytes) else json.dumps(each).encode() for each in events)
    return b"".join(b"data: " + line + b"\n\n" for line in lines)


def record_of(*events: Any, **more: Any) -> ChatRecord:
    record = ChatRecord(**more)
    for each in events:
        record.take(each if isinstance(each, bytes) else json.dumps(each).encode())
    return record


def test_a_reply_is_put_together_as_a_plain_call_gets_it() -> None:
    record = record_of(*EVENTS)
    assert record.done
    assert (record.text, record.thinking, record.tool_calls) == ("Hello \u2028é", "", ())
    assert (record.model, record.response_id, record.finish_reasons) == (
        "m",
        "chatcmpl-1",
        ["stop"],
    )
    assert record.usage == USAGE
    assert record.response() == {
        "object": "chat.completion",
        "id": "chatcmpl-1",
        "created": 7,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "logprobs": None,
                "message": {"role": "assistant", "content": "Hello \u2028é"},
            }
        ],
        "usage": USAGE,
    }


WIRE = written(EVENTS)


@pytest.mark.parametrize("cut", range(len(WIRE) + 1))
def test_a_reply_may_be_cut_anywhere(cut: int) -> None:
    splitter, record = EventSplitter(), ChatRecord()
    for piece in (WIRE[:cut], WIRE[cut:]):
        for each in splitter.feed(piece):
            record.take(each)
    assert (record.text, record.done, record.usage) == ("Hello \u2028é", True, USAGE)


def test_a_plain_reply_makes_the_same_record() -> None:
    message = {"role": "assistant", "content": "Hello \u2028é", "refusal": None}
    whole = event({"index": 0, "message": message, "finish_reason": "stop"}, usage=USAGE)
    assert record_of(whole).response() == record_of(*EVENTS).response()


@pytest.mark.parametrize("end", [3, 4, 5, 6])
def test_a_reason_to_finish_or_the_end_mark_completes_a_reply(end: int) -> None:
    assert record_of(*EVENTS[:end]).done is (end >= 4)
    assert record_of(*EVENTS[:3], b"[DONE]").done


def test_text_after_a_choice_has_finished_still_counts() -> None:
    record = record_of(event(said("stop", content="a")), event(said(content="b")), b" [DONE]")
    assert record.text == "ab"


def test_with_several_choices_the_first_counts_and_all_must_finish() -> None:
    events = [
        event(said(content="b", index=1)),
        event(said("stop", content="a")),
        event(said("length", content="c", index=1)),
    ]
    assert not record_of(*events[:2], choices_wanted=2).done
    record = record_of(*events, choices_wanted=2)
    assert record.done
    assert (record.text, record.finish_reasons) == ("a", ["stop", "length"])
    contents = [each["message"]["content"] for each in record.response()["choices"]]
    assert contents == ["a", "bc"]


REASONING: dict[str, list[dict[str, Any]]] = {
    "DeepSeek, older vLLM": [{"reasoning_content": "Hm"}, {"reasoning_content": "m."}],
    "newer vLLM, Ollama": [{"reasoning": "Hm"}, {"reasoning": "m.", "content": ""}],
    "OpenRouter": [
        {"reasoning": "Hm", "reasoning_details": [{"type": "reasoning.text", "text": "Hm"}]},
        {"reasoning": "m.", "reasoning_details": [{"type": "reasoning.text", "text": "m."}]},
    ],
    "OpenRouter, summarised": [
        {"reasoning_details": [{"type": "reasoning.summary", "summary": "Hm"}]},
        {"reasoning_details": [{"type": "reasoning.text", "text": "m."}, {"data": "x"}]},
    ],
    "twice": [{"reasoning": "Hm", "reasoning_content": "Hm"}, {"reasoning": "m."}],
}


@pytest.mark.parametrize("server", REASONING)
def test_reasoning_has_several_names(server: str) -> None:
    record = ChatRecord()
    given = [record.take(json.dumps(event(said(**each))).encode()) for each in REASONING[server]]
    assert [thoughts for _, thoughts in given] == ["Hm", "m."]
    assert (record.text, record.thinking) == ("", "Hmm.")
    assert record.response()["choices"][0]["message"]["reasoning_content"] == "Hmm."


def call(name: str | None = None, arguments: Any = None, **more: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {**more, "function": {key: each for key, each in function.items() if each is not None}}


CALLS: dict[str, list[dict[str, Any]]] = {
    "OpenAI's pieces": [
        {"tool_calls": [call("f", "", index=0, id="c1", type="function")]},
        {"tool_calls": [call(arguments='{"a": ', index=0)]},
        {"tool_calls": [call("g", "", index=1, id="c2", type="function")]},
        {"tool_calls": [call(arguments="1}", index=0)]},
        {"tool_calls": [call(arguments='{"b": 2}', index=1)]},
    ],
    "both in one event": [
        {
            "tool_calls": [
                call("f", '{"a": 1}', index=0, id="c1"),
                call("g", '{"b": 2}', index=1, id="c2"),
            ]
        }
    ],
    "whole, without an index": [
        {"tool_calls": [call("f", '{"a": 1}', id="c1"), call("g", '{"b": 2}', id="c2")]}
    ],
    "pieces, without an index": [
        {"tool_calls": [call("f", '{"a"', id="c1")]},
        {"tool_calls": [call(arguments=": 1}")]},
        {"tool_calls": [call("g", '{"b": 2}', id="c2")]},
    ],
    "every one number 0": [
        {"tool_calls": [call("f", '{"a": 1}', index=0, id="c1")]},
        {"tool_calls": [call("g", '{"b": 2}', index=0, id="c2")]},
    ],
    "objects for arguments": [
        {"tool_calls": [call("f", {"a": 1}, id="c1"), call("g", {"b": 2}, id="c2")]}
    ],
    "the name in every piece": [
        {"tool_calls": [call("f", '{"a"', index=0, id="c1")]},
        {"tool_calls": [call("f", ": 1}", index=0, id="c1")]},
        {"tool_calls": [call("g", '{"b": 2}', index=1, id="c2")]},
    ],
}


@pytest.mark.parametrize("server", CALLS)
def test_tool_calls_come_whole_or_in_pieces(server: str) -> None:
    record = record_of(*(event(said(**delta)) for delta in CALLS[server]))
    assert record.tool_calls == (
        ToolCallRequest("f", {"a": 1}, "c1"),
        ToolCallRequest("g", {"b": 2}, "c2"),
    )
    record.check()
    first = record.response()["choices"][0]["message"]["tool_calls"][0]
    assert (first["id"], json.loads(first["function"]["arguments"])) == ("c1", {"a": 1})


def test_whole_calls_need_neither_index_nor_id() -> None:
    events = [event(said(tool_calls=[call("f", '{"a": 1}'), call("f", "")]))]
    assert record_of(*events).tool_calls == (
        ToolCallRequest("f", {"a": 1}),
        ToolCallRequest("f", {}),
    )


def test_a_function_call_of_the_old_form_is_a_tool_call() -> None:
    events = [
        event(said(function_call={"name": "f", "arguments": '{"a"'})),
        event(said("function_call", function_call={"arguments": ": 1}"})),
    ]
    record = record_of(*events)
    assert record.done
    assert record.tool_calls == (ToolCallRequest("f", {"a": 1}),)


@pytest.mark.parametrize("arguments", ['{"a": ', "[1]", '"x"'])
def test_arguments_that_are_no_object_are_found_at_the_end(arguments: str) -> None:
    record = record_of(event(said("tool_calls", tool_calls=[call("f", arguments, index=0)])))
    assert record.tool_calls == ()
    with pytest.raises(ProtocolError, match="call to 'f'"):
        record.check()


def test_a_refusal_is_no_text() -> None:
    record = record_of(
        event(said(role="assistant", content=None, refusal="I can")),
        event(said("stop", refusal="not.")),
    )
    assert record.text == ""
    with pytest.raises(ReplyRefused, match=r"I cannot\.") as caught:
        record.check()
    assert caught.value.refusal == "I cannot."
    assert record.response()["choices"][0]["message"]["refusal"] == "I cannot."


def test_content_may_come_in_typed_parts() -> None:
    parts = [{"type": "text", "text": "a"}, "b", {"type": "image"}]
    assert record_of(event(said(content=parts))).text == "ab"


def test_a_raw_prompt_is_answered_with_text() -> None:
    facts = {"id": "cmpl-1", "object": "text_completion", "model": "m"}
    pieces = [{"index": 0, "text": "a"}, {"index": 0, "text": "b", "finish_reason": "length"}]
    record = record_of(*({**facts, "choices": [each]} for each in pieces))
    assert (record.text, record.done, record.finish_reasons) == ("ab", True, ["length"])
    assert record.response()["object"] == "text_completion"
    assert record.response()["choices"][0]["text"] == "ab"


def test_log_probabilities_are_gathered() -> None:
    def choice(token: str) -> dict[str, Any]:
        return {**said(content=token), "logprobs": {"content": [{"token": token}], "refusal": None}}

    record = record_of(event(choice("a")), event(choice("b")))
    logprobs = record.response()["choices"][0]["logprobs"]
    assert logprobs == {"content": [{"token": "a"}, {"token": "b"}]}


ERRORS: dict[str, dict[str, Any]] = {
    "OpenAI": {"error": {"message": "out of luck", "type": "server_error", "code": None}},
    "text": {"error": "out of luck"},
    "OpenRouter": event(said("error", content=""), error={"code": 502, "message": "out of luck"}),
    "older vLLM": {"object": "error", "message": "out of luck", "code": 400},
    "FastAPI": {"detail": "out of luck"},
}


@pytest.mark.parametrize("server", ERRORS)
def test_an_error_among_the_events_is_an_error(server: str) -> None:
    record = record_of(event(said(content="a")))
    with pytest.raises(ReplyError, match="out of luck"):
        record.take(json.dumps(ERRORS[server]).encode())
    assert (record.text, record.done) == ("a", False)


def test_text_that_comes_with_an_error_is_kept() -> None:
    record = record_of(event(said(content="a")))
    assert record.take(json.dumps(event(said(content="b"), error="x")).encode()) == ("b", "")
    assert record.failure is not None
    assert (record.failure.partial, record.done) == ("ab", False)


def test_all_that_an_event_says_of_the_first_choice_is_text() -> None:
    record = record_of()
    both = {"choices": [{"delta": {"content": text}} for text in "ab"]}
    assert record.take(json.dumps(both).encode()) == ("ab", "")
    assert record.text == "ab"


def test_a_usage_that_is_no_number_does_not_cost_the_reply() -> None:
    record = record_of({"choices": [], "usage": {"prompt_tokens": "5", "completion_tokens": 2}})
    assert record.usage == {"prompt_tokens": 0, "completion_tokens": 2, "total_tokens": 2}


def test_an_error_may_be_no_more_than_a_reason_to_finish() -> None:
    with pytest.raises(ReplyError, match="did not say which"):
        record_of(event(said("error")))


@pytest.mark.parametrize(
    "data",
    [b"{", b"<html>", b"[]", b"{}", b'"x"', b'{"choices": 1}', b'{"id":"\xff"}', b"[" * 9999],
)
def test_what_is_no_event_of_a_reply_is_quoted(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="not an event of a chat reply"):
        decode_event(data)


@pytest.mark.parametrize("data", [b"", b"  ", b" [DONE] "])
def test_blank_data_says_nothing(data: bytes) -> None:
    record = record_of(data)
    assert (record.text, record.done) == ("", b"DONE" in data)


def test_counts_that_are_missing_are_worked_out() -> None:
    assert record_of(event()).usage is None
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "cost": 0.1}
    assert record_of(event(usage=usage)).usage == {**usage, "total_tokens": 7}


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "choices",
                        "delta",
                        "message",
                        "content",
                        "index",
                        "tool_calls",
                        "function",
                        "name",
                        "arguments",
                        "id",
                        "error",
                        "usage",
                        "finish_reason",
                        "refusal",
                        "reasoning_details",
                        "text",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_read_or_refused_by_name(value: Any) -> None:
    record = ChatRecord()
    try:
        for each in (value, {"choices": value}, {"choices": [value]}, event(said(content=value))):
            record.take(json.dumps(each).encode())
        record.check()
    except (ProtocolError, ReplyError, ReplyRefused):
        pass
    json.dumps(record.response())
    assert isinstance(record.tool_calls, tuple)
