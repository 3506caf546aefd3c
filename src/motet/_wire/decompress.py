"""The content codings gzip and deflate: encoded bytes in, bounded pieces of the body out.

A few kilobytes may stand for gigabytes, so what comes out is handed over in pieces that
whoever takes them can stop counting at; the HTTP libraries decode each read in one go.
For the same reason a body that is encoded more than once is refused.

Reference: RFC 9110, section 8.4.1, "Content Codings"
"""

import zlib
from collections.abc import Iterator
from typing import Final

from .._values.errors import ProtocolError

MAX_PIECE_BYTES: Final = 64 * 1024

# zlib finds out by itself which of the two it is given: 32 added to the size of its window.
_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS
_RAW: Final = -zlib.MAX_WBITS


class Decompressor:
    """Decodes one body.

    Args:
        coding: the value of the header ``content-encoding``.

    Raises:
        ProtocolError: the body is encoded in another way, or more than once.
    """

    __slots__ = ("_begun", "_coding", "_zlib")

    def __init__(self, coding: str) -> None:
        self._coding = coding.strip().lower()
        if self._coding not in ("gzip", "x-gzip", "deflate"):
            raise ProtocolError(
                f"the body is encoded as {coding[:80]!r}, which was not asked for; "
                "motet reads gzip and deflate, once"
            )
        self._zlib = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take the next bytes and yield what they stand for, in pieces of a bounded size.

        Raises:
            ProtocolError: they are not encoded as was said.
        """
        while data:
            if self._zlib.eof:
                self._zlib = zlib.decompressobj(_GZIP_OR_ZLIB)  # one body after the other is gzip
            try:
                piece = self._zlib.decompress(data, MAX_PIECE_BYTES)
            except zlib.error as exc:
                if self._begun or self._coding != "deflate":
                    raise ProtocolError(f"the body is not {self._coding}: {exc}") from exc
                # Some servers leave out what deflate is to be wrapped in.
                self._begun, self._zlib = True, zlib.decompressobj(_RAW)
                continue
            self._begun = True
            data = self._zlib.unconsumed_tail or self._zlib.unused_data
            if piece:
                yield piece
