"""The chunked transfer coding: bytes of a body in, the payload in them out.

A model server sends each token as a chunk of its own, and a general parser that makes an
event of each spends more time on it than on everything else in a token's way. This one
takes a body apart and nothing more; the head of the response is h11's matter. It is
strict: what it does not understand is an error, never a guess, because guesses about
where a body ends are how one response becomes part of another.

Reference: RFC 9112, section 7.1, "Chunked Transfer Coding"
"""

import functools
import re
from typing import Final

from .._values.errors import ProtocolError, ReplyTooLarge

# A size with its extensions, and all trailers together. Servers send neither; what is
# longer than this comes from no server.
MAX_LINE_BYTES: Final = 4096
MAX_TRAILER_BYTES: Final = 16 * 1024

# Extensions are dropped, whatever they say. Sixteen digits are all that a size may have.
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?")


class ChunkedDecoder:
    """Takes one chunked body apart.

    Attributes:
        complete: whether the end of the body has come.
        surplus: whether bytes have come after it, which no server should send.
        rescued: after an error, the payload that came before it in the same bytes.
    """

    __slots__ = (
        "_closing",
        "_ending",
        "_left",
        "_rest",
        "_trailers",
        "complete",
        "rescued",
        "surplus",
    )

    def __init__(self) -> None:
        self.complete = False
        self.surplus = False
        self.rescued = b""
        self._rest = b""  # the beginning of a line that is not complete
        self._left = 0  # bytes of the current chunk that are still to come
        self._closing = False  # after a chunk: its line ending is to come
        self._ending = False  # after the last chunk: trailers are to come
        self._trailers = 0  # their bytes so far

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes and return the payload in them, also that of a part of a chunk.

        Args:
            data: any number of bytes, cut anywhere.

        Raises:
            ProtocolError: this is no chunked body.
            ReplyTooLarge: a line that only the coding needs is too long.
        """
        payload: list[bytes] = []
        try:
            self._take_apart(data, payload)
        except ProtocolError:
            self.rescued = b"".join(payload)
            raise
        return payload[0] if len(payload) == 1 else b"".join(payload)

    def _take_apart(self, data: bytes, payload: list[bytes]) -> None:
        if self.complete:
            self.surplus = self.surplus or bool(data)
            return
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        while True:
            if self._left:
                piece = data[at : at + self._left]
                if not piece:
                    break
                payload.append(piece)
                at += len(piece)
                self._left -= len(piece)
                self._closing = not self._left
            if self._closing:
                if end - at < 2:
                    break
                if data[at : at + 2] != b"\r\n":
                    raise ProtocolError("a chunk of the body is longer than its size says")
                at += 2
                self._closing = False
            if self._left:
                break
            line_end = data.find(b"\r\n", at, at + MAX_LINE_BYTES)
            if line_end < 0:
                if end - at >= MAX_LINE_BYTES:
                    raise ReplyTooLarge(
                        f"a chunk size or trailer exceeds {MAX_LINE_BYTES} bytes",
                        limit=MAX_LINE_BYTES,
                    )
                break
            line = data[at:line_end]
            at = line_end + 2
            if self._ending:
                if self._end_or_trailer(line):
                    self.surplus = at < end
                    at = end
                    break
            else:
                self._left = _size_of(line)
                self._ending = not self._left
        self._rest = data[at:]

    def _end_or_trailer(self, line: bytes) -> bool:
        """Take a line after the last chunk; true for the empty one that ends the body."""
        self.complete = not line
        self._trailers += len(line)
        if self._trailers > MAX_TRAILER_BYTES:
            raise ReplyTooLarge(
                f"the trailers of the body exceed {MAX_TRAILER_BYTES} bytes",
                limit=MAX_TRAILER_BYTES,
            )
        return self.complete


@functools.lru_cache(maxsize=4096)
def _size_of(line: bytes) -> int:
    # Cached, because the tokens of a reply have few different sizes.
    match = _SIZE.fullmatch(line)
    if match is None:
        raise ProtocolError(f"not the size of a chunk: {line[:40]!r}")
    return int(match[1], 16)
