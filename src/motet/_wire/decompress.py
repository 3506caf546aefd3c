"""The content codings gzip and deflate: encoded bytes in, bounded pieces of the body out.

A few kilobytes may stand for gigabytes, so what comes out is handed over in pieces that
whoever takes them can stop counting at; the HTTP libraries decode each read in one go.
For the same reason a body that is encoded more than once is refused.

References: RFC 9110, section 8.4.1, "Content Codings"; RFC 1950, section 2.2
"""

import zlib
from collections.abc import Iterator
from typing import Final

from .._values.errors import ProtocolError

MAX_PIECE_BYTES: Final = 64 * 1024

_GZIP: Final = 16 + zlib.MAX_WBITS
_WRAPPED: Final = zlib.MAX_WBITS
_RAW: Final = -zlib.MAX_WBITS


class Decompressor:
    """Decodes one body.

    Args:
        coding: the value of the header ``content-encoding``.

    Raises:
        ProtocolError: the body is encoded in another way, or more than once.
    """

    __slots__ = ("_coding", "_head", "_zlib")

    def __init__(self, coding: str) -> None:
        self._coding = coding.strip().lower()
        if self._coding not in ("gzip", "x-gzip", "deflate"):
            raise ProtocolError(
                f"the body is encoded as {coding[:80]!r}, which was not asked for; "
                "motet reads gzip and deflate, once"
            )
        # What deflate is wrapped in, or that it is not, as some servers have it, is seen by
        # its first two bytes.
        self._head: bytes | None = b"" if self._coding == "deflate" else None
        self._zlib = zlib.decompressobj(_GZIP)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take the next bytes and yield what they stand for, in pieces of a bounded size.

        Raises:
            ProtocolError: they are not encoded as was said.
        """
        if self._head is not None:
            data = self._head + data
            if len(data) < 2:
                self._head = data
                return
            self._head = None
            wrapped = data[0] & 0x0F == zlib.DEFLATED and int.from_bytes(data[:2]) % 31 == 0
            self._zlib = zlib.decompressobj(_WRAPPED if wrapped else _RAW)
        while data:
            if self._zlib.eof:
                if self._coding == "deflate":
                    raise ProtocolError("bytes come after the end of the deflate body")
                self._zlib = zlib.decompressobj(_GZIP)  # one after the other is gzip, too
            try:
                piece = self._zlib.decompress(data, MAX_PIECE_BYTES)
            except zlib.error as exc:
                raise ProtocolError(f"the body is not {self._coding}: {exc}") from exc
            data = self._zlib.unconsumed_tail or self._zlib.unused_data
            if piece:
                yield piece
