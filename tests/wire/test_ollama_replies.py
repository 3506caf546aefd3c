"""Lines of a reply, the record they make, and errors of every shape."""

import json
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motet._values.chat import ToolCallRequest
from motet._values.errors import ProtocolError
from motet._wire.ndjson import LineSplitter
from motet._wire.ollama import OllamaChunk, OllamaMessage, ReplyRecord, decode_chunk
from motet._wire.wording import error_text

# As a server writes them, shortened.
FIRST = (
    b'{"model":"granite4.1:3b","created_at":"2026-08-21T10:00:00.000000001Z",'
    b'"message":{"role":"assistant","content":"Hel"},"done":false}'
)
MIDDLE = (
    b'{"model":"granite4.1:3b","created_at":"2026-08-21T10:00:00.100000001Z",'
    b'"message":{"role":"assistant","content":"lo \xe2\x80\xa8\xc3\xa9"},"done":false}'
)
LAST = (
    b'{"model":"granite4.1:3b","created_at":"2026-08-21T10:00:00.200000001Z",'
    b'"message":{"role":"assistant","content":""},"done":true,"done_reason":"stop",'
    b'"total_duration":2000000000,"load_duration":5000000,"prompt_eval_count":7,'
    b'"prompt_eval_duration":100000000,"eval_count":3,"eval_duration":1500000000}'
)
WIRE = b"\n".join([FIRST, MIDDLE, LAST, b""])

RESPONSE = {
    "model": "granite4.1:3b",
    "message": {"role": "assistant", "content": "Hello \u2028é"},
    "done": True,
    "done_reason": "stop",
    "total_duration": 2000000000,
    "load_duration": 5000000,
    "prompt_eval_count": 7,
    "prompt_eval_duration": 100000000,
    "eval_count": 3,
    "eval_duration": 1500000000,
}


def record_of(*lines: bytes | dict[str, Any]) -> ReplyRecord:
    record = ReplyRecord()
    for line in lines:
        record.add(decode_chunk(line if isinstance(line, bytes) else json.dumps(line).encode()))
    return record


def said(content: str, **more: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": content}, "done": False, **more}


# ---- Lines ----


@pytest.mark.parametrize("cut", range(len(WIRE) + 1))
def test_a_reply_may_be_cut_anywhere(cut: int) -> None:
    splitter = LineSplitter()
    record = record_of(*splitter.feed(WIRE[:cut]), *splitter.feed(WIRE[cut:]))
    assert splitter.finish() == b""
    assert record.response() == RESPONSE


@settings(deadline=None)
@given(st.text(), st.booleans())
def test_any_text_comes_through(content: str, escaped: bool) -> None:
    if any("\ud800" <= character <= "\udfff" for character in content):
        return
    line = json.dumps(said(content), ensure_ascii=escaped).encode()
    (again,) = LineSplitter().feed(line + b"\n")
    message = decode_chunk(again).message
    assert message is not None
    assert message.content == content


@pytest.mark.parametrize(
    ("line", "chunk"),
    [
        (b'{"done":false}', OllamaChunk(done=False)),
        (b' {"done" : true} \r', OllamaChunk(done=True)),
        (b'{"message":{}}', OllamaChunk(message=OllamaMessage())),
        (b'{"message":{"content":null,"role":null}}', OllamaChunk(message=OllamaMessage())),
        (b'{"message":null,"done":true}', OllamaChunk(done=True)),
        (b'{"done":true,"eval_count":null}', OllamaChunk(done=True)),
        (b'{"done":true,"eval_duration":1.5e9}', OllamaChunk(done=True, eval_duration=1.5e9)),
        (b'{"done":true,"context":[1,2],"x":{"y":[null]}}', OllamaChunk(done=True)),
        (b'{"message":{"content":"null"}}', OllamaChunk(message=OllamaMessage(content="null"))),
        (b'{"done":true,"remote_model":"big"}', OllamaChunk(done=True, remote_model="big")),
        (b'{"error":"no"}', OllamaChunk(error="no")),
    ],
)
def test_fields_may_be_missing_null_or_unknown(line: bytes, chunk: OllamaChunk) -> None:
    assert decode_chunk(line) == chunk


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"not json",
        b"<html>502 Bad Gateway</html>",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b'{"model":"m"}',
        b'{"detail":"Not Found"}',
        b'{"error":null}',
        b'{"done":"yes"}',
        b'{"message":"text"}',
        b'{"message":{"content":1}}',
        b'{"message":{"content":"\xff"}}',
        b'{"message":{"content":"cut \xc3"}}',
        b'{"message":{"content":"\\ud800"}}',
        b'{"message":{"content":"a"}',
        b'{"done":true}{"done":true}',
        b'{"x":' * 100_000,
        b'data: {"done":true}',
    ],
)
def test_what_is_no_line_of_a_reply_is_a_protocol_error_that_quotes_it(line: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_chunk(line)
    assert repr(line[:40])[:-1] in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_long_line_is_quoted_shortened_with_its_length() -> None:
    with pytest.raises(ProtocolError, match=r"\.\.\. \(100000 bytes\)$"):
        decode_chunk(b"x" * 100_000)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ("out of memory", "out of memory"),
        ({"message": "out of memory", "code": 500}, "out of memory"),
        ({"code": 500}, '{"code":500}'),
        (" two\n lines ", "two lines"),
    ],
)
def test_an_error_in_a_line_gives_its_text(error: object, text: str) -> None:
    assert decode_chunk(json.dumps({"error": error}).encode()).error_text() == text


def test_an_error_that_is_nested_too_deep_is_an_error_all_the_same() -> None:
    error: dict[str, Any] = {}
    for _ in range(100_000):
        error = {"error": error}
    text = OllamaChunk(error=error).error_text()
    assert text is not None
    assert "nested" in text


@pytest.mark.parametrize("error", [None, "", {}, False])
def test_an_empty_error_is_none(error: object) -> None:
    chunk = decode_chunk(json.dumps({"error": error, "done": False}).encode())
    assert chunk.error_text() is None


def test_a_chunk_pickles() -> None:
    chunk = decode_chunk(LAST)
    assert pickle.loads(pickle.dumps(chunk)) == chunk


# ---- Records ----


def test_a_record_joins_the_texts_and_keeps_the_figures() -> None:
    record = record_of(FIRST, MIDDLE, LAST)
    assert record.text == "Hello \u2028é"
    assert record.thinking == ""
    assert record.done
    assert record.model == "granite4.1:3b"
    assert record.finish_reasons == ["stop"]
    assert record.usage == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    assert record.tokens_per_second == 2.0
    assert record.response() == RESPONSE


def test_a_plain_reply_gives_the_same_record_as_a_streamed_one() -> None:
    assert record_of(RESPONSE).response() == RESPONSE


def test_a_record_knows_little_before_the_end() -> None:
    record = record_of(FIRST)
    assert not record.done
    assert (record.usage, record.finish_reasons, record.tokens_per_second) == (None, None, None)
    assert record.response() == {
        "model": "granite4.1:3b",
        "message": {"role": "assistant", "content": "Hel"},
        "done": False,
    }


def test_a_record_of_nothing_is_an_empty_reply() -> None:
    record = ReplyRecord()
    assert record.model is None
    assert record.tool_calls == ()
    assert record.response() == {"message": {"role": "assistant", "content": ""}, "done": False}


def test_thinking_is_joined_apart_from_the_text() -> None:
    record = record_of(
        {"message": {"role": "assistant", "content": "", "thinking": "Let me "}},
        {"message": {"role": "assistant", "content": "", "thinking": "see."}},
        said("Yes."),
    )
    assert (record.thinking, record.text) == ("Let me see.", "Yes.")
    assert record.response()["message"] == {
        "role": "assistant",
        "content": "Yes.",
        "thinking": "Let me see.",
    }


def test_tool_calls_of_all_lines_are_gathered_in_order() -> None:
    def call(name: str, arguments: object, **more: Any) -> dict[str, Any]:
        function = {"name": name, "arguments": arguments}
        return {"message": {"tool_calls": [{"function": function, **more}]}, "done": False}

    record = record_of(call("a", {"x": 1}, id="call_1"), said(""), call("a", {"x": [2, None]}))
    assert record.tool_calls == (
        ToolCallRequest("a", {"x": 1}, "call_1"),
        ToolCallRequest("a", {"x": [2, None]}, None),
    )
    assert record.response()["message"]["tool_calls"] == [
        {"id": "call_1", "function": {"name": "a", "arguments": {"x": 1}}},
        {"function": {"name": "a", "arguments": {"x": [2, None]}}},
    ]


@pytest.mark.parametrize(
    ("given_", "arguments"),
    [(None, {}), ({}, {}), ("", {}), (" ", {}), ('{"x": 1}', {"x": 1}), ({"x": 1}, {"x": 1})],
)
def test_arguments_may_be_missing_or_text(given_: object, arguments: dict[str, Any]) -> None:
    function = {"index": 0, "name": "a", "arguments": given_}
    record = record_of({"message": {"tool_calls": [{"id": None, "function": function}]}})
    assert record.tool_calls == (ToolCallRequest("a", arguments),)
    assert record.response()["message"]["tool_calls"] == [
        {"function": {"index": 0, "name": "a", "arguments": arguments}}
    ]


@pytest.mark.parametrize("arguments", ["{", "[1]", "null", '{"x":' * 100_000])
def test_arguments_that_are_no_object_are_an_error_that_names_the_tool(arguments: str) -> None:
    line = {"message": {"tool_calls": [{"function": {"name": "lookup", "arguments": arguments}}]}}
    with pytest.raises(ProtocolError, match="'lookup'"):
        record_of(line)


def test_a_tool_call_without_a_function_is_kept_without_a_name() -> None:
    record = record_of({"message": {"tool_calls": [{"function": None}]}})
    assert record.tool_calls == (ToolCallRequest("", {}),)


def test_log_probabilities_of_all_lines_are_gathered() -> None:
    record = record_of(said("a", logprobs=[{"token": "a"}]), said("b", logprobs=[{"token": "b"}]))
    assert record.response()["logprobs"] == [{"token": "a"}, {"token": "b"}]


def test_the_first_value_of_a_field_stays() -> None:
    record = record_of(
        {"message": {"content": "a"}, "model": None},
        {"message": {"role": "assistant", "content": "b"}, "model": "one"},
        {"message": {"role": "tool", "content": "c"}, "model": "two", "done": True},
        {"done": False, "model": "three", "done_reason": "length", "eval_count": 1},
        {"done": True, "done_reason": "stop", "eval_count": 2},
    )
    assert record.response() == {
        "model": "one",
        "message": {"role": "assistant", "content": "abc"},
        "done": True,
        "done_reason": "length",
        "eval_count": 1,
    }


def test_done_stays_once_it_is_true() -> None:
    record = record_of({"done": True})
    record.add(OllamaChunk(done=False))
    record.add(OllamaChunk())
    assert record.done


@pytest.mark.parametrize(
    ("prompt", "completion", "usage"),
    [
        (None, None, None),
        (0, 0, (0, 0, 0)),
        (5, 6, (5, 6, 11)),
        (None, 6, (0, 6, 6)),  # a prompt that was in the server's cache
        (5, None, (5, 0, 5)),
    ],
)
def test_a_count_that_is_left_out_beside_the_other_is_zero(
    prompt: int | None, completion: int | None, usage: tuple[int, int, int] | None
) -> None:
    record = record_of({"done": True, "prompt_eval_count": prompt, "eval_count": completion})
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    assert record.usage == (usage and dict(zip(names, usage, strict=True)))


@pytest.mark.parametrize(
    ("count", "duration", "rate"),
    [(10, 2_000_000_000, 5.0), (10, 0, None), (10, None, None), (None, 5, None), (0, 5, 0.0)],
)
def test_the_rate_is_tokens_by_the_time_it_took_to_make_them(
    count: int | None, duration: int | None, rate: float | None
) -> None:
    record = record_of({"done": True, "eval_count": count, "eval_duration": duration})
    assert record.tokens_per_second == rate


@pytest.mark.parametrize("wrong", ["3", 2.5, True, [], {}, "", "1.5s"])
@pytest.mark.parametrize("name", [name for name in RESPONSE if name.endswith(("count", "ation"))])
def test_a_figure_that_is_no_number_costs_only_what_it_is_for(name: str, wrong: Any) -> None:
    record = record_of(FIRST, MIDDLE, {**json.loads(LAST), name: wrong})
    assert record.done
    assert record.response() == {**RESPONSE, name: wrong}  # as the server said it
    prompt = 0 if name == "prompt_eval_count" else 7
    completion = 0 if name == "eval_count" else 3
    assert record.usage == {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    rate: float | None = 2.0
    if name == "eval_count":
        rate = None
    elif name == "eval_duration":
        rate = 3 / 2.5 * 1e9 if wrong == 2.5 else None  # a duration may be a fraction
    assert record.tokens_per_second == rate


def test_a_usage_without_a_number_is_none() -> None:
    record = record_of({"done": True, "prompt_eval_count": "7", "eval_count": 2.5})
    assert record.usage is None
    assert record_of({"done": True, "eval_count": 3.0}).usage == {
        "prompt_tokens": 0,
        "completion_tokens": 3,
        "total_tokens": 3,
    }


def test_what_a_record_returns_does_not_change_with_it() -> None:
    record = record_of(said("a", logprobs=[1]))
    response = record.response()
    record.add(decode_chunk(LAST))
    assert response == {
        "message": {"role": "assistant", "content": "a"},
        "done": False,
        "logprobs": [1],
    }


@settings(deadline=None)
@given(st.lists(st.sampled_from(["content", "thinking", "role", "model", "done"]), max_size=8))
def test_merging_agrees_with_the_plainest_merge(fields: list[str]) -> None:
    record, plain = ReplyRecord(), {"content": "", "thinking": "", "role": None, "model": None}
    done = False
    for number, field in enumerate(fields):
        message = {field: f"<{number}>"} if field in ("content", "thinking", "role") else {}
        line: dict[str, Any] = {"message": message, "done": field == "done"}
        if field == "model":
            line["model"] = f"<{number}>"
        record.add(decode_chunk(json.dumps(line).encode()))
        done = done or field == "done"
        if field in ("content", "thinking"):
            plain[field] = f"{plain[field]}<{number}>"
        elif field != "done":
            plain[field] = plain[field] or f"<{number}>"
    assert record.text == plain["content"]
    assert record.thinking == plain["thinking"]
    assert record.model == plain["model"]
    assert record.done == done
    assert record.response()["message"]["role"] == (plain["role"] or "assistant")


# ---- Bodies of error responses ----


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", ""),
        (b"  \n", ""),
        (b"null", ""),
        (b"{}", ""),
        (b"[]", ""),
        (b'{"error":"model not found"}', "model not found"),
        (b'{"error":{"message":"no such key","code":401}}', "no such key"),
        (b'{"error":{"code":401}}', '{"code":401}'),
        (b'{"error":{"error":"inside"}}', "inside"),
        (b'{"error":"","message":"said here"}', "said here"),
        (b'{"error":null,"detail":"said there"}', "said there"),
        (b'{"error":["one","two"]}', "one; two"),
        (b'{"detail":"Not Found"}', "Not Found"),
        (b'{"detail":[{"loc":["body"],"msg":"field required"}]}', "field required"),
        (b'{"message":"busy"}', "busy"),
        (b'{"code":503,"reason":"busy"}', '{"code":503,"reason":"busy"}'),
        (b'"busy"', "busy"),
        (b"503", "503"),
        (b"Internal Server Error", "Internal Server Error"),
        (b"two\r\nlines\n", "two lines"),
        (b'{"error":"cut', '{"error":"cut'),
        (b"caf\xe9", "caf\ufffd"),
        ('{"error":"é\u2028é"}'.encode(), "é é"),
    ],
)
def test_the_text_of_an_error_is_found_in_any_shape(body: bytes, text: str) -> None:
    assert error_text(body) == text


@pytest.mark.parametrize("body", [b"x" * 10_000, b'{"error":"' + b"x" * 10_000 + b'"}'])
def test_the_text_of_an_error_is_shortened(body: bytes) -> None:
    text = error_text(body)
    assert len(text) == 500
    assert text.endswith("...")


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["error", "message", "detail", "msg", "x"]), inner, max_size=3
            )
        ),
    )
)
def test_every_json_body_has_a_text(body: object) -> None:
    text = error_text(json.dumps(body).encode())
    assert "\n" not in text
    assert len(text) <= 500


@settings(deadline=None)
@given(st.binary())
def test_every_body_has_a_text(body: bytes) -> None:
    assert len(error_text(body)) <= 500


@pytest.mark.parametrize("depth", [10, 100, 300, 500, 800, 900, 1000, 10_000])
def test_a_nested_error_is_survived_at_any_depth(depth: int) -> None:
    body = b'{"error":' * depth + b'"deep"' + b"}" * depth
    assert len(error_text(body)) <= 500
