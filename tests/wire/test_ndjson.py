"""Bytes to lines: every cut, every ending, every limit."""

import json
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motet._values.errors import ProtocolError
from motet._wire.ndjson import MAX_LINE_BYTES, LineSplitter

WIRE = '{"a": "né"}\r\n\n{"b": "\u2028\u2029\x85"}\n \t\r\n\r\n{"c": 1}\nrest'.encode()
LINES = ['{"a": "né"}'.encode(), '{"b": "\u2028\u2029\x85"}'.encode(), b'{"c": 1}']


def fed(splitter: LineSplitter, *pieces: bytes) -> list[bytes]:
    return [line for piece in pieces for line in splitter.feed(piece)]


def expected(wire: bytes) -> tuple[list[bytes], bytes]:
    """Say the same as the splitter, in the plainest way."""
    *lines, rest = (line.rstrip(b"\r") for line in wire.split(b"\n"))
    return [line for line in lines if line.strip()], rest if rest.strip() else b""


@pytest.mark.parametrize("first", range(len(WIRE) + 1))
def test_a_stream_may_be_cut_anywhere_in_three(first: int) -> None:
    for second in range(first, len(WIRE) + 1):
        splitter = LineSplitter()
        assert fed(splitter, WIRE[:first], WIRE[first:second], WIRE[second:]) == LINES
        assert splitter.finish() == b"rest"


@pytest.mark.parametrize("size", range(1, len(WIRE) + 1))
def test_a_stream_may_come_in_pieces_of_any_size(size: int) -> None:
    splitter = LineSplitter()
    assert fed(splitter, *(WIRE[i : i + size] for i in range(0, len(WIRE), size))) == LINES
    assert splitter.finish() == b"rest"


@settings(deadline=None)
@given(st.lists(st.text("a\r\n \t\u2028é", max_size=12).map(str.encode), max_size=12))
def test_the_lines_do_not_depend_on_the_cuts(pieces: list[bytes]) -> None:
    splitter = LineSplitter()
    lines = fed(splitter, *pieces)
    assert (lines, splitter.finish()) == expected(b"".join(pieces))


@settings(deadline=None)
@given(st.lists(st.binary(max_size=12), max_size=12))
def test_any_bytes_are_cut_at_newlines_only(pieces: list[bytes]) -> None:
    splitter = LineSplitter()
    lines = fed(splitter, *pieces)
    assert (lines, splitter.finish()) == expected(b"".join(pieces))


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1e"])
def test_what_other_splitters_take_for_a_line_ending_stays_in_its_line(separator: str) -> None:
    line = f'{{"content": "one{separator}two"}}'.encode()
    assert LineSplitter().feed(line + b"\n") == [line]


def test_a_line_is_returned_as_soon_as_its_newline_is_there() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b'{"a": 1}') == []
    assert splitter.feed(b"\n") == [b'{"a": 1}']


def test_a_carriage_return_and_its_newline_may_come_apart() -> None:
    splitter = LineSplitter()
    assert fed(splitter, b"one\r", b"\ntwo\r", b"\n") == [b"one", b"two"]


@pytest.mark.parametrize("blank", [b"", b"\n", b"\r\n", b" \n", b"\t \r\n", b"\n\n\n", b"\r\r\n"])
def test_blank_lines_do_not_come(blank: bytes) -> None:
    splitter = LineSplitter()
    assert splitter.feed(blank) == []
    assert fed(splitter, b"one\n", blank, b"two\n") == [b"one", b"two"]


@pytest.mark.parametrize(
    ("wire", "rest"),
    [(b"", b""), (b"one\n", b""), (b"one\ntwo", b"two"), (b"two\r", b"two"), (b" \r", b"")],
)
def test_finish_returns_the_line_that_has_no_end(wire: bytes, rest: bytes) -> None:
    splitter = LineSplitter()
    splitter.feed(wire)
    assert splitter.finish() == rest
    assert splitter.finish() == b""


@pytest.mark.parametrize("size", [1, 3, 10, 11, 12, 100])
def test_a_line_of_the_greatest_length_is_accepted_in_any_pieces(size: int) -> None:
    wire = b"x" * 10 + b"\n" + b"y" * 10 + b"\n" + b"z" * 10
    splitter = LineSplitter(max_line_bytes=10)
    lines = fed(splitter, *(wire[i : i + size] for i in range(0, len(wire), size)))
    assert (lines, splitter.finish()) == ([b"x" * 10, b"y" * 10], b"z" * 10)


@pytest.mark.parametrize("size", [1, 3, 10, 11, 12, 100])
@pytest.mark.parametrize("end", [b"", b"\n", b"\nthree\n"])
def test_a_longer_line_is_an_error_after_the_lines_before_it(size: int, end: bytes) -> None:
    wire = b"one\ntwo\n" + b"x" * 11 + end
    splitter = LineSplitter(max_line_bytes=10)
    lines: list[bytes] = []
    with pytest.raises(ProtocolError, match="10 bytes"):
        for start in range(0, len(wire), size):
            lines += splitter.feed(wire[start : start + size])
        splitter.finish()
    assert lines == [b"one", b"two"]


@pytest.mark.parametrize("after", [b"", b"x", b"\n", b"three\n"])
def test_after_a_line_that_is_too_long_every_call_raises(after: bytes) -> None:
    splitter = LineSplitter(max_line_bytes=10)
    assert splitter.feed(b"one\n" + b"x" * 11) == [b"one"]
    for _ in range(2):
        with pytest.raises(ProtocolError):
            splitter.feed(after)
        with pytest.raises(ProtocolError):
            splitter.finish()


@settings(deadline=None)
@given(
    st.lists(st.text("ab\r\n", max_size=8).map(str.encode), max_size=8),
    st.integers(min_value=1, max_value=6),
)
def test_where_the_error_of_a_long_line_comes_does_not_depend_on_the_cuts(
    pieces: list[bytes], limit: int
) -> None:
    def outcome(pieces: list[bytes]) -> tuple[list[bytes], bytes | None]:
        splitter = LineSplitter(max_line_bytes=limit)
        lines: list[bytes] = []
        try:
            for piece in pieces:
                lines += splitter.feed(piece)
            return lines, splitter.finish()
        except ProtocolError:
            return lines, None

    assert outcome(pieces) == outcome([b"".join(pieces)])


def test_a_large_tool_call_is_within_the_usual_limit() -> None:
    line = b'"' + b"x" * (MAX_LINE_BYTES - 2) + b'"'
    assert LineSplitter().feed(line + b"\n") == [line]
    with pytest.raises(ProtocolError, match=str(MAX_LINE_BYTES)):
        LineSplitter().feed(line + b"x\n")


def test_a_long_line_in_tiny_pieces_is_not_copied_for_each_piece() -> None:
    splitter = LineSplitter()
    unended = splitter._unended
    for _ in range(1000):
        splitter.feed(b"xyz")
        assert splitter._unended is unended  # grown in place
    assert splitter.feed(b"\n") == [b"xyz" * 1000]
    assert unended == b""


def test_a_splitter_pickles_with_what_it_holds() -> None:
    splitter = LineSplitter(max_line_bytes=100)
    splitter.feed(b'{"a": ')
    again = pickle.loads(pickle.dumps(splitter))
    assert again == splitter
    assert [json.loads(line) for line in again.feed(b"1}\n")] == [{"a": 1}]
