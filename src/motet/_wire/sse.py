"""Server-sent events: bytes in, the data of events out.

This module knows where an event ends and what in it is data. It knows nothing of what the
data says, nor of sockets, tasks or time. Bytes are split, never text: a line ends at CR, LF
or CRLF and nowhere else, and all three may be cut anywhere, as may a character.

What an event is called (``event``), its ``id`` and ``retry`` are for browsers and skipped.

A body without any event is no stream: an error in JSON, the page of a proxy, a reply from a
server that does not stream. It is handed out whole when it ends.

Reference: https://html.spec.whatwg.org/multipage/server-sent-events.html, "Parsing an event
stream" and "Interpreting an event stream".
"""

import re
from typing import Final

import attrs

from motet._values.errors import ReplyTooLarge

# As for a line of NDJSON: what is longer comes from a broken or hostile server.
MAX_EVENT_BYTES: Final = 8 * 1024 * 1024

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_FIELDS: Final = (b"data", b"event", b"id", b"retry")
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")


@attrs.define
class EventSplitter:
    """Cut a byte stream into the data of its events.

    Attributes:
        max_event_bytes: the most bytes a line may have before its end, and the data of an
            event.
        silent: whether what was fed last held nothing but comments and blank lines: the
            connection lives, and nobody says anything.
    """

    max_event_bytes: int = attrs.field(default=MAX_EVENT_BYTES, kw_only=True)
    silent: bool = attrs.field(default=False, init=False)
    # The beginning of a line whose end has not come; it grows in place.
    _unended: bytearray = attrs.field(factory=bytearray, init=False, repr=False)
    # The lines of data of an event whose end has not come, and how long they are.
    _data: list[bytes] = attrs.field(factory=list, init=False, repr=False)
    _size: int = attrs.field(default=0, init=False, repr=False)
    # Whether a line was ended by a CR that a LF may still belong to.
    _after_cr: bool = attrs.field(default=False, init=False, repr=False)
    _begun: bool = attrs.field(default=False, init=False, repr=False)
    # What came instead of events; None since the first one.
    _plain: bytearray | None = attrs.field(factory=bytearray, init=False, repr=False)
    _failure: str | None = attrs.field(default=None, init=False, repr=False)

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes and return the data of the events they complete, oldest first.

        Several lines of data in one event are joined with a line feed. What is returned
        does not depend on how the stream was cut, and costs time linear in the stream.

        Args:
            data: any number of bytes.

        Raises:
            ReplyTooLarge: a line or an event has no end within *max_event_bytes*. The events
                before it are returned first and the error comes with the next call; every
                later call raises it again.
        """
        # The usual case first, which is one event of one line: servers send each token by
        # itself.
        if (
            not (self._unended or self._data or self._after_cr or self._failure)
            and data[:6] == b"data: "
            and data.find(b"\n") == len(data) - 2
            and data[-1] == 0x0A
            and b"\r" not in data
            and len(data) <= self.max_event_bytes
        ):
            self._begun = True
            self._plain = None
            self.silent = False
            return [data[6:-2]]
        return self._feed(data)

    def _feed(self, data: bytes) -> list[bytes]:
        self._check()
        if self._after_cr and data:
            self._after_cr = False
            if data[0] == 0x0A:
                data = data[1:]
        if not self._begun and data:
            data = bytes(self._unended) + data
            self._unended.clear()
            if _BYTE_ORDER_MARK.startswith(data):
                self._unended += data  # more of the mark may be on its way
                return []
            self._begun = True
            data = data.removeprefix(_BYTE_ORDER_MARK)
        if not data:
            return []
        self._after_cr = data[-1] == 0x0D
        if self._unended and _LINE_END.search(data) is None:
            self._unended += data
            self.silent = self._unended[0] == 0x3A
            self._limit(len(self._unended))
            self._check()
            return []
        data = bytes(self._unended) + data
        self._unended.clear()
        events = self._usual(data)
        if events:
            return events
        lines = _LINE_END.split(data) if b"\r" in data else data.split(b"\n")
        rest = lines.pop()
        self.silent = not rest or rest[0] == 0x3A
        events = self._interpret(lines)
        self._unended += rest
        self._limit(len(rest))
        if events:
            self.silent = False
        else:
            self._check()
        return events

    def _usual(self, data: bytes) -> list[bytes]:
        """Return the events of *data* if all of them are as servers mostly send them.

        That is one line each, ended by a line feed; there may be the beginning of another.
        Not looking at each line by itself saves half of the time that a burst takes here.
        """
        if self._data or b"\r" in data or len(data) > self.max_event_bytes:
            return []
        lines = data.split(b"\n")
        rest = lines.pop()
        heads = lines[::2]
        if len(lines) % 2 or any(lines[1::2]):
            return []
        events = [line[6:] for line in heads if line[:6] == b"data: "]
        if not events or len(events) != len(heads):
            return []
        self._begun = True
        self._plain = None
        self.silent = False
        self._unended += rest
        return events

    def finish(self) -> bytes:
        """Take the end of the stream and return the event that it left without an end.

        It is ``b""`` if there is none, as it should be. The standard has such an event
        dropped. Here it counts if its last line is whole, because there are servers that
        save themselves the last blank line. A body without any event is returned whole.

        Raises:
            ReplyTooLarge: as `feed`.
        """
        self._check()
        if not self._begun and self._unended == _BYTE_ORDER_MARK:
            self._unended.clear()
        if self._plain is not None and not self._unended.startswith(_FIELDS):
            self._plain += self._unended
            self._unended.clear()
            whole = bytes(self._plain).strip()
            self._plain.clear()
            return whole
        events = self._interpret([b""])
        self._unended.clear()
        return events[0] if events else b""

    def _interpret(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        for line in lines:
            if not line:
                if self._data:
                    events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                    self._data.clear()
                    self._size = 0
                continue
            self._limit(len(line))
            if line[0] != 0x3A:
                self.silent = False
                name, _, value = line.partition(b":")
                if name == b"data":
                    self._plain = None
                    self._size += len(value) + 1
                    self._limit(self._size)
                    self._data.append(value[1:] if value[:1] == b" " else value)
                elif self._plain is not None and name not in _FIELDS:
                    self._plain += line + b"\n"
                    self._limit(len(self._plain))
            if self._failure is not None:
                break
        return events

    def _limit(self, size: int) -> None:
        if size > self.max_event_bytes and self._failure is None:
            self._failure = f"an event of the reply has no end within {self.max_event_bytes} bytes"

    def _check(self) -> None:
        if self._failure is not None:
            self._unended.clear()
            self._data.clear()
            raise ReplyTooLarge(self._failure, limit=self.max_event_bytes)
