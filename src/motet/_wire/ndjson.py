r"""Newline-delimited JSON: bytes in, lines out.

This module knows where a line ends and nothing of what is in it, nor of sockets, tasks
or time. A line ends at ``b"\n"`` and nowhere else: the characters U+0085, U+2028 and
U+2029, at which `str.splitlines` cuts, are legal inside a JSON string.

Reference: https://github.com/ndjson/ndjson-spec
"""

from typing import Final

import attrs

from motet._values.errors import ReplyTooLarge

# A delta takes some hundred bytes. The longest honest lines are a whole reply that was
# not streamed, a tool call that carries a file, and a last line that lists the numbers of
# a full context: a megabyte or so. What is longer comes from a broken or hostile server,
# and would only fill the memory.
MAX_LINE_BYTES: Final = 8 * 1024 * 1024


@attrs.define
class LineSplitter:
    r"""Cut a byte stream into lines.

    Attributes:
        max_line_bytes: the most bytes a line may have before its ``b"\n"``.
    """

    max_line_bytes: int = attrs.field(default=MAX_LINE_BYTES, kw_only=True)
    # The beginning of a line whose end has not come, or of one that is too long. It grows
    # in place, so a long line in tiny pieces costs no more than one in a single piece.
    _unended: bytearray = attrs.field(factory=bytearray, init=False, repr=False)

    def feed(self, data: bytes) -> list[bytes]:
        r"""Take the next bytes and return the lines they complete, oldest first.

        Lines come without their ``b"\n"`` or ``b"\r\n"``; blank ones do not come at all.
        What is returned does not depend on how the stream was cut into *data*, and costs
        time linear in the stream.

        Args:
            data: any number of bytes; a line or a character may be cut in two.

        Raises:
            ReplyTooLarge: a line has no end within *max_line_bytes*. The lines before it
                are returned first and the error comes with the next call, so that nothing
                that arrived is lost; every later call raises it again.
        """
        if self._unended:
            if b"\n" not in data:
                self._unended += data
                self._check()
                return []
            self._check()
            data = bytes(self._unended) + data
            self._unended.clear()
        # The usual case first, which is one line: servers send each token by itself. Its
        # last byte, above all that is blank, shows that there is nothing to strip.
        end = data.find(b"\n")
        if 0 < end == len(data) - 1 and end <= self.max_line_bytes and data[end - 1] > 0x20:
            return [data[:end]]
        lines = data.split(b"\n")
        self._unended += lines.pop()
        if len(data) > self.max_line_bytes:
            self._stop_at_the_first_too_long(lines)
        lines = [line.rstrip(b"\r") for line in lines if line and not line.isspace()]
        if not lines:
            self._check()
        return lines

    @property
    def silent(self) -> bool:
        """Whether what has come since the last line is nothing, or blank."""
        return not self._unended or self._unended[:1].isspace()

    def finish(self) -> bytes:
        """Take the end of the stream and return the line that it left without an end.

        It is ``b""`` if the last line was complete, as it should be.

        Raises:
            ReplyTooLarge: as `feed`.
        """
        self._check()
        rest = bytes(self._unended).rstrip(b"\r")
        self._unended.clear()
        return b"" if rest.isspace() else rest

    def _stop_at_the_first_too_long(self, lines: list[bytes]) -> None:
        for index, line in enumerate(lines):
            if len(line) > self.max_line_bytes:
                self._unended[:] = line
                del lines[index:]
                break

    def _check(self) -> None:
        if len(self._unended) > self.max_line_bytes:
            raise ReplyTooLarge(
                f"a line of the reply has no end within {self.max_line_bytes} bytes",
                limit=self.max_line_bytes,
            )
