"""Bytes to events: every cut, every line ending, every limit."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motet._values.errors import ProtocolError
from motet._wire.sse import MAX_EVENT_BYTES, EventSplitter

WIRE = (
    "\ufeff: a comment\r\ndata: né\r\n\r\n:\n\ndata:one\ndata: two\n\nevent: x\nid\nretry: 7\n\n"
    "data: \u2028\x85\r\rdata\ndata\n\ndata:  [DONE]\r\n\r\n"
).encode()
EVENTS = ["né".encode(), b"one\ntwo", "\u2028\x85".encode(), b"\n", b" [DONE]"]


def fed(splitter: EventSplitter, *pieces: bytes) -> list[bytes]:
    return [event for piece in pieces for event in splitter.feed(piece)]


def expected(wire: bytes) -> list[bytes]:
    """Say the same as the splitter, in the words of the standard."""
    events, data = [], []
    lines = re.split(rb"\r\n|\n|\r", wire.removeprefix("\ufeff".encode()))
    for line in lines[:-1]:
        name, _, value = line.partition(b":")
        if not line and data:
            events.append(b"\n".join(data))
            data = []
        elif name == b"data":
            data.append(value.removeprefix(b" "))
    return events


@pytest.mark.parametrize("first", range(len(WIRE) + 1))
def test_a_stream_may_be_cut_anywhere_in_three(first: int) -> None:
    for second in range(first, len(WIRE) + 1):
        splitter = EventSplitter()
        assert fed(splitter, WIRE[:first], WIRE[first:second], WIRE[second:]) == EVENTS
        assert splitter.finish() == b""


@settings(deadline=None)
@given(st.lists(st.text("data: \r\n\ufeffé", max_size=12).map(str.encode), max_size=12))
def test_the_events_do_not_depend_on_the_cuts(pieces: list[bytes]) -> None:
    assert fed(EventSplitter(), *pieces) == expected(b"".join(pieces))


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from([b"data: a\n\n", b"data: b\n", b"data: c", b"\n", b"data:d\n\n", b":\n\n"]),
        max_size=12,
    ),
    st.integers(1, 40),
)
def test_a_burst_is_read_as_its_events_one_by_one(pieces: list[bytes], size: int) -> None:
    wire = b"".join(pieces)
    cut = [wire[start : start + size] for start in range(0, len(wire), size)]
    assert fed(EventSplitter(), *cut) == fed(EventSplitter(), wire) == expected(wire)


@settings(deadline=None)
@given(st.lists(st.sampled_from([b"data", b":", b" ", b"\r", b"\n", b"x", b"\xff"]), max_size=40))
def test_any_bytes_are_read_as_the_standard_says(pieces: list[bytes]) -> None:
    wire = b"".join(pieces)
    assert fed(EventSplitter(), *pieces) == fed(EventSplitter(), wire) == expected(wire)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_an_event_is_there_as_soon_as_its_end_is(end: bytes) -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: x" + end + end) == [b"x"]
    assert splitter.feed(b"data: y" + end + end) == [b"y"]


@pytest.mark.parametrize("rest", [b"data: [DONE]", b"data: x\n", b"data: x\nda", b"dat"])
def test_an_event_without_its_end_counts_if_its_line_is_whole(rest: bytes) -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: 1\n\n" + rest) == [b"1"]
    assert splitter.finish() == (b"x" if b"x\n" in rest else b"")


def test_a_body_without_events_is_handed_out_whole() -> None:
    splitter = EventSplitter()
    assert fed(splitter, b'{\n  "error": ', b'"no"\r\n}\n') == []
    assert splitter.finish() == b'{\n  "error": \n"no"\n}'.replace(b": \n", b": ")
    assert splitter.finish() == b""


def test_what_is_between_events_is_no_body() -> None:
    splitter = EventSplitter()
    assert fed(splitter, b"data: 1\n\nwhat\n\n") == [b"1"]
    assert splitter.finish() == b""


@pytest.mark.parametrize(
    ("data", "silent"),
    [
        (b": waiting\n\n", True),
        (b"\n", True),
        (b": wait", True),
        (b"data: x\n", False),
        (b"data: x\n\n", False),
        (b"da", False),
        (b": waiting\n\ndata", False),
    ],
)
def test_comments_and_blank_lines_say_nothing(data: bytes, silent: bool) -> None:
    splitter = EventSplitter()
    splitter.feed(b"data: first\n\n")
    splitter.feed(data)
    assert splitter.silent is silent
    splitter = EventSplitter()
    splitter.feed(data)
    assert splitter.silent is silent


@pytest.mark.parametrize(
    "endless", [b"data: " + b"x" * 40, b"data: xxxxxxx\n" * 8, b": " + b"x" * 40, b"x\n" * 40]
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_event_has_a_limit_and_those_before_it_come_first(endless: bytes, size: int) -> None:
    splitter = EventSplitter(max_event_bytes=32)
    wire = b"data: 1\n\n" * (b"x\n" not in endless[:2]) + endless + b"\n\ndata: 2\n\n"
    events = []
    with pytest.raises(ProtocolError, match="within 32 bytes"):
        for start in range(0, len(wire), size):
            events += splitter.feed(wire[start : start + size])
        splitter.feed(b"")
    assert events == [b"1"] * (wire[:1] == b"d")
    for again in (b"data: 3\n\n", b""):
        with pytest.raises(ProtocolError):
            splitter.feed(again)
    with pytest.raises(ProtocolError):
        splitter.finish()


def test_a_long_event_in_tiny_pieces_takes_linear_time() -> None:
    def seconds(count: int) -> float:
        splitter, began = EventSplitter(), time.process_time()
        for _ in range(count):
            splitter.feed(b"data: xx")
        return time.process_time() - began

    # Quadratic would be sixteen times as long; twice as generous as needed.
    assert seconds(40_000) < 12 * max(seconds(10_000), 0.002)
    assert MAX_EVENT_BYTES > 320_000
