"""The chunked transfer coding, tried against h11's and cut everywhere."""

import itertools

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motet import ProtocolError
from motet._wire.chunked import MAX_LINE_BYTES, MAX_TRAILER_BYTES, ChunkedDecoder

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def encoded(chunks: list[bytes]) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in chunks) + b"0\r\n\r\n"


def by_h11(body: bytes) -> tuple[bytes, bool] | None:
    """The payload and whether it is complete, None for what h11 refuses."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(HEAD + body)
    payload = b""
    try:
        while True:
            match connection.next_event():
                case h11.Data(data=data):
                    payload += bytes(data)
                case h11.EndOfMessage():
                    return payload, True
                case h11.NEED_DATA:
                    return payload, False
    except h11.RemoteProtocolError:
        return None


@pytest.mark.parametrize("cut", range(len(encoded([b"Hello", b" ", b"x" * 20])) + 1))
def test_a_body_may_be_cut_anywhere(cut: int) -> None:
    body = encoded([b"Hello", b" ", b"x" * 20])
    decoder = ChunkedDecoder()
    assert decoder.feed(body[:cut]) + decoder.feed(body[cut:]) == b"Hello " + b"x" * 20
    assert decoder.complete
    assert not decoder.surplus


def test_a_body_may_come_byte_by_byte_with_extensions_and_trailers() -> None:
    body = b"5\r\nHello\r\n0b;a=b\r\n, \r\nworld!!\r\n1 \r\n?\r\n0\r\nSum: 1\r\n\r\n"
    decoder = ChunkedDecoder()
    payload = b"".join(decoder.feed(bytes([each])) for each in body)
    assert payload == b"Hello, \r\nworld!!?"
    assert decoder.complete
    assert by_h11(body) == (payload, True)


def test_a_part_of_a_chunk_is_handed_on_at_once() -> None:
    decoder = ChunkedDecoder()
    assert decoder.feed(b"ff\r\nHel") == b"Hel"
    assert decoder.feed(b"lo") == b"lo"
    assert not decoder.complete


@given(st.lists(st.binary(min_size=1, max_size=40)), st.lists(st.integers(0, 400)))
@settings(deadline=None)
def test_what_h11_reads_it_reads_however_it_is_cut(chunks: list[bytes], cuts: list[int]) -> None:
    body = encoded(chunks)
    decoder = ChunkedDecoder()
    places = [0, *sorted(cut for cut in cuts if cut < len(body)), len(body)]
    payload = b"".join(decoder.feed(body[a:b]) for a, b in itertools.pairwise(places))
    assert (payload, decoder.complete) == by_h11(body) == (b"".join(chunks), True)


@given(st.binary(max_size=60) | st.text("0123456789abAB;\r\n\t x", max_size=60).map(str.encode))
@settings(deadline=None, max_examples=500)
def test_it_is_never_more_lenient_than_h11(body: bytes) -> None:
    decoder = ChunkedDecoder()
    try:
        payload = decoder.feed(body)
    except ProtocolError:
        return
    theirs = by_h11(body)
    if decoder.complete and not decoder.surplus:
        assert theirs == (payload, True)
    elif theirs is not None:
        # Of a body that is not complete each may hold back what it is not sure of.
        assert payload.startswith(theirs[0]) or theirs[0].startswith(payload)


@pytest.mark.parametrize(
    "body",
    [
        b"\r\n",
        b"x\r\n",
        b"-1\r\n",
        b"+1\r\na",
        b"0x1\r\n",
        b"1_0\r\n",
        b" 1\r\n",
        b"1;\x00\r\n",
        b"11111111111111111\r\n",
        b"1\r\nab\r\n",
        b"1\r\na\n\r\n",
        b"1\n",
        b"1 x\r\n",
    ],
)
def test_what_is_no_chunk_is_refused(body: bytes) -> None:
    decoder = ChunkedDecoder()
    with pytest.raises(ProtocolError):
        decoder.feed(body + b"0\r\n\r\n")


def test_an_endless_size_and_endless_trailers_are_refused() -> None:
    with pytest.raises(ProtocolError, match=str(MAX_LINE_BYTES)):
        ChunkedDecoder().feed(b"1" * MAX_LINE_BYTES)
    decoder = ChunkedDecoder()
    decoder.feed(b"0\r\n")
    with pytest.raises(ProtocolError, match=str(MAX_TRAILER_BYTES)):
        for _ in range(1000):
            decoder.feed(b"a: " + b"b" * 100 + b"\r\n")


def test_bytes_after_the_end_are_noted() -> None:
    decoder = ChunkedDecoder()
    assert decoder.feed(encoded([b"a"]) + b"HTTP/1.1") == b"a"
    assert decoder.complete
    assert decoder.surplus
    late = ChunkedDecoder()
    late.feed(encoded([]))
    assert not late.surplus
    assert late.feed(b"x") == b""
    assert late.surplus
