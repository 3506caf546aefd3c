r"""Cutting a text into chunks while it arrives: sentences, words, paragraphs and others.

A *strategy* says where a chunk ends. Users write one as two functions of the text so far,
`ChunkingStrategy.split` and `ChunkingStrategy.flush`; ours are written the other way
round, as *cutters* that are fed each delta once, keep only what is not finished, and so
cost time linear in the text. What comes out never depends on how the text was cut into
deltas. This module knows text; nothing of tasks, models or validation.

White space is what `str.isspace` says it is, and so does ``\s``.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Final, Protocol

import attrs


class Cutter(Protocol):
    """Cuts one text. Each text needs its own."""

    def feed(self, delta: str) -> list[str]:
        """Take the next piece of the text and return the chunks it completes, oldest first."""

    def flush(self) -> list[str]:
        """Take the end of the text and return what had no end."""


class ChunkingStrategy(ABC):
    """Says where a chunk ends; the base of those that come with motet and of yours.

    A subclass needs `split` alone. It has no state: one strategy may cut several texts at
    the same time.

    Attributes:
        forgets: the promise that what follows a finished chunk is cut as if the text began
            there, and that chunks are pieces of the text as it stands. Then a finished
            chunk is not scanned again with every delta. Set it in a subclass if it is so.
    """

    forgets: ClassVar[bool] = False

    @abstractmethod
    def split(self, accumulated_text: str) -> list[str]:
        """Return the chunks that are complete, whatever may follow.

        Args:
            accumulated_text: the text so far, from its beginning.
        """

    def flush(self, accumulated_text: str) -> list[str]:
        """Return what `split` held back, now that the text is complete; nothing by default.

        Args:
            accumulated_text: the whole text.
        """
        return []

    def begin(self) -> Cutter:
        """Return a cutter for one text."""
        return _Forgetting(self) if self.forgets else _Rescanning(self)


class _OwnStrategy(ChunkingStrategy):
    """A strategy that is defined by its cutter."""

    @abstractmethod
    def _cutter(self) -> Cutter: ...

    def split(self, accumulated_text: str) -> list[str]:
        return self._cutter().feed(accumulated_text)

    def flush(self, accumulated_text: str) -> list[str]:
        cutter = self._cutter()
        cutter.feed(accumulated_text)
        return cutter.flush()

    def begin(self) -> Cutter:
        cls = type(self)
        if cls.split is _OwnStrategy.split and cls.flush is _OwnStrategy.flush:
            return self._cutter()
        return super().begin()  # a subclass of the user's has its own idea of a chunk

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class SentenceChunker(_OwnStrategy):
    """Sentences: they end with ``.``, ``!`` or ``?``, maybe one closing quote or bracket.

    White space must follow; it is in no chunk. White space before the first sentence stays
    with it, and what is at the end of the text is stripped.
    """

    def _cutter(self) -> Cutter:
        return _Sentences()


class SentenceChunking(_OwnStrategy):
    """Sentences as `SentenceChunker` cuts them, without white space before the first."""

    def _cutter(self) -> Cutter:
        return _Sentences(between=True)


class WordChunker(_OwnStrategy):
    """Words: whatever stands between white space."""

    def _cutter(self) -> Cutter:
        return _Words()


class ParagraphChunker(_OwnStrategy):
    r"""Paragraphs: they end with two or more ``"\n"``, which are in no chunk."""

    def _cutter(self) -> Cutter:
        return _Paragraphs()


class LineChunker(_OwnStrategy):
    r"""Lines, without the ``"\n"`` or ``"\r\n"`` that ends them; empty ones are dropped."""

    def _cutter(self) -> Cutter:
        return _Lines()


class JSONValueChunker(_OwnStrategy):
    """JSON values that follow each other, separated by white space, commas or nothing.

    Objects, arrays and strings end with their last character; anything else, text that is
    no JSON too, where white space, a comma or one of those begins. Values are not parsed:
    a bracket of the wrong kind closes as well as the right one.

    Args:
        elements: whether to go into an array at the top, so that its elements are the chunks.
    """

    def __init__(self, *, elements: bool = False) -> None:
        self._elements = elements

    def _cutter(self) -> Cutter:
        return _JSONValues(elements=self._elements)

    def __repr__(self) -> str:
        return f"JSONValueChunker(elements={self._elements})"


class RegexChunker(_OwnStrategy):
    """What stands between the matches of a regular expression; empty chunks are dropped.

    Whether there is a match at some place is decided when *longest* characters from there
    on have arrived, so chunks come that much later than they could with a pattern of a
    fixed width, and a longer match is cut off.

    Args:
        separator: the regular expression, as text or compiled.
        longest: how many characters a match may have, with what it looks at before and
            behind itself.

    Raises:
        ValueError: *longest* is less than 1.
        re.error: *separator* is no regular expression.
    """

    def __init__(self, separator: str | re.Pattern[str], *, longest: int = 16) -> None:
        if longest < 1:
            raise ValueError(f"longest should be at least 1 character, not {longest}")
        self._separator = re.compile(separator)
        self._longest = longest

    def _cutter(self) -> Cutter:
        return _Separated(self._separator, self._longest)

    def __repr__(self) -> str:
        return f"RegexChunker({self._separator.pattern!r}, longest={self._longest})"


WordChunking = WordChunker
ParagraphChunking = ParagraphChunker

_CHUNKERS: Final[dict[str, Callable[[], ChunkingStrategy]]] = {
    "sentence": SentenceChunker,
    "word": WordChunker,
    "paragraph": ParagraphChunker,
}
_CHUNKINGS: Final = {**_CHUNKERS, "sentence": SentenceChunking}


def chunker_of(chunking: str | ChunkingStrategy) -> ChunkingStrategy:
    """Return the strategy that `stream_with_chunking` means by *chunking*.

    Raises:
        ValueError: it is a string and no alias; the message has those that there are.
        TypeError: it is neither a string nor a strategy.
    """
    return _resolved(chunking, _CHUNKERS)


def resolve_chunking_strategy(chunking: str | ChunkingStrategy) -> ChunkingStrategy:
    """Return the strategy that `stream` means by *chunking*.

    Raises:
        ValueError: it is a string and no alias; the message has those that there are.
        TypeError: it is neither a string nor a strategy.
    """
    return _resolved(chunking, _CHUNKINGS)


def _resolved(
    chunking: object, aliases: dict[str, Callable[[], ChunkingStrategy]]
) -> ChunkingStrategy:
    match chunking:
        case ChunkingStrategy():
            return chunking
        case str() if chunking in aliases:
            return aliases[chunking]()
        case str():
            raise ValueError(
                f"there is no chunking {chunking!r}; use {', '.join(map(repr, aliases))} "
                "or a ChunkingStrategy"
            )
        case _:
            raise TypeError(
                f"chunking should be a string or a ChunkingStrategy, not {type(chunking).__name__}"
            )


class Chunker:
    """Cuts one text by a strategy, delta by delta, and keeps only what is not finished.

    Args:
        strategy: where chunks end; it is shown the text from the last chunk's end on.
    """

    def __init__(self, strategy: ChunkingStrategy) -> None:
        cutter = strategy.begin()
        self._cutter = _Forgetting(strategy) if isinstance(cutter, _Rescanning) else cutter

    def feed(self, delta: str) -> list[str]:
        """Take the next piece of the text and return the chunks it completes, oldest first.

        Raises:
            ValueError: the strategy returned an empty chunk, or one that is not in the text.
        """
        return self._cutter.feed(delta)

    def flush(self) -> list[str]:
        """Take the end of the text and return what had no end.

        Raises:
            ValueError: as `feed`.
        """
        return self._cutter.flush()


# Cutters for strategies of users.


@attrs.define
class _Rescanning:
    """Shows the strategy the whole text again with every delta, as its contract says."""

    _strategy: ChunkingStrategy
    _text: str = attrs.field(default="", init=False)
    _count: int = attrs.field(default=0, init=False)

    def feed(self, delta: str) -> list[str]:
        self._text += delta
        chunks = self._strategy.split(self._text)
        new = chunks[self._count :]
        self._count += len(new)
        return new

    def flush(self) -> list[str]:
        return self._strategy.flush(self._text)


@attrs.define
class _Forgetting:
    """Shows the strategy the text from the end of the last chunk on."""

    _strategy: ChunkingStrategy
    _text: str = attrs.field(default="", init=False)

    def feed(self, delta: str) -> list[str]:
        self._text += delta
        chunks = self._strategy.split(self._text)
        self._text = self._text[self._end_of(chunks) :]
        return chunks

    def flush(self) -> list[str]:
        chunks = self._strategy.flush(self._text)
        self._end_of(chunks)
        self._text = ""
        return chunks

    def _end_of(self, chunks: list[str]) -> int:
        end = 0
        for chunk in chunks:
            if not chunk:
                raise ValueError(
                    f"{self._strategy!r} returned an empty chunk; leave out what is empty"
                )
            begin = self._text.find(chunk, end)
            if begin < 0:
                raise ValueError(
                    f"{self._strategy!r} returned the chunk {chunk[:80]!r}, which is not a verbatim "
                    "piece of the text after the chunk before it; return chunks as they stand"
                )
            end = begin + len(chunk)
        return end


# Our own. What is known to hold no boundary is kept in pieces and joined once, or a long
# chunk in tiny deltas would be copied with each of them.

_SENTENCE_END: Final = re.compile(r"[.!?][\"'”’)]?(?=\s)")
_PARAGRAPH_END: Final = re.compile(r"\n\n+")


@attrs.define
class _Sentences:
    _between: bool = attrs.field(default=False, alias="between")  # white space means nothing here
    _held: list[str] = attrs.field(factory=list, init=False)
    _tail: str = attrs.field(default="", init=False)  # what may begin the end of a sentence

    def feed(self, delta: str) -> list[str]:
        text = self._tail + delta
        chunks = []
        start = 0
        if self._between:
            text = text.lstrip()
            self._between = not text
        for end in _SENTENCE_END.finditer(text):
            chunk = text[start : end.end()]
            if start:
                chunk = chunk.lstrip()
            elif self._held:
                chunk = "".join(self._held) + chunk
                self._held.clear()
            chunks.append(chunk)
            start = end.end()
        if start:
            text = text[start:].lstrip()
            self._between = not text
        self._tail = text[-2:]
        if len(text) > 2:
            self._held.append(text[:-2])
        return chunks

    def flush(self) -> list[str]:
        rest = ("".join(self._held) + self._tail).rstrip()
        self._held.clear()
        self._tail = ""
        return [rest] if rest else []


@attrs.define
class _Words:
    _held: list[str] = attrs.field(factory=list, init=False)  # of the last word

    def feed(self, delta: str) -> list[str]:
        if not delta:
            return []
        words = delta.split()
        if self._held:
            if delta[0].isspace():
                words.insert(0, "".join(self._held))
                self._held.clear()
            elif len(words) > 1 or delta[-1].isspace():
                words[0] = "".join(self._held) + words[0]
                self._held.clear()
        if not delta[-1].isspace():
            self._held.append(words.pop())
        return words

    def flush(self) -> list[str]:
        rest = "".join(self._held)
        self._held.clear()
        return [rest] if rest else []


@attrs.define
class _Paragraphs:
    _between: bool = attrs.field(default=False, init=False)  # one more "\n" means nothing here
    _held: list[str] = attrs.field(factory=list, init=False)
    _tail: str = attrs.field(default="", init=False)  # a "\n" that may be the first of two

    def feed(self, delta: str) -> list[str]:
        if not delta:
            return []
        if self._between:
            delta = delta.lstrip("\n")
            self._between = not delta
            if not delta:
                return []
        text = self._tail + delta
        *ended, rest = _PARAGRAPH_END.split(text)
        if ended:
            ended[0] = "".join(self._held) + ended[0]
            self._held.clear()
            self._between = not rest
        self._tail = "\n" if rest.endswith("\n") else ""
        if rest := rest.removesuffix("\n"):
            self._held.append(rest)
        return [chunk for chunk in ended if chunk]

    def flush(self) -> list[str]:
        rest = "".join(self._held) + self._tail
        self._held.clear()
        self._tail = ""
        return [rest] if rest else []


@attrs.define
class _Lines:
    _held: list[str] = attrs.field(factory=list, init=False)

    def feed(self, delta: str) -> list[str]:
        *lines, rest = delta.split("\n")
        if lines and self._held:
            lines[0] = "".join(self._held) + lines[0]
            self._held.clear()
        if rest:
            self._held.append(rest)
        return [chunk for line in lines if (chunk := line.removesuffix("\r"))]

    def flush(self) -> list[str]:
        rest = "".join(self._held)
        self._held.clear()
        return [rest] if rest else []


_OPENING: Final = "[{"
_IN_NOTHING: Final = re.compile(r"[^\s,]")  # where a value begins
_IN_WORD: Final = re.compile(r"[\s,\[{\"]")  # where `true` or `12` ends
_IN_STRING: Final = re.compile(r"[\"\\]")
_IN_VALUE: Final = re.compile(r"[\[\]{}\"]")


@attrs.define
class _JSONValues:
    _elements: bool = attrs.field(alias="elements")
    _held: list[str] = attrs.field(factory=list, init=False)
    _depth: int = attrs.field(default=0, init=False)  # open brackets
    _in_string: bool = attrs.field(default=False, init=False)
    _in_word: bool = attrs.field(default=False, init=False)
    _escaped: bool = attrs.field(default=False, init=False)  # the last character was a "\\"
    _inside: bool = attrs.field(default=False, init=False)  # the array at the top is open

    def feed(self, delta: str) -> list[str]:
        chunks: list[str] = []
        start = at = 0  # where the value begins in this delta, and what is to be looked at

        def end_value(end: int) -> None:
            nonlocal start
            chunks.append("".join(self._held) + delta[start:end])
            self._held.clear()
            start = end

        while at < len(delta):
            if self._escaped:
                self._escaped = False
                at += 1
            elif self._in_string:
                if (found := _IN_STRING.search(delta, at)) is None:
                    break
                at = found.end()
                self._escaped = found[0] == "\\"
                self._in_string = self._escaped
                if not self._in_string and not self._depth:
                    end_value(at)
            elif self._depth:
                if (found := _IN_VALUE.search(delta, at)) is None:
                    break
                at = found.end()
                self._in_string = found[0] == '"'
                if not self._in_string:
                    self._depth += 1 if found[0] in _OPENING else -1
                    if not self._depth:
                        end_value(at)
            elif self._in_word:
                at = self._end_of_word(delta, at)
                if at < len(delta):
                    self._in_word = False
                    end_value(at)
            else:
                if (found := _IN_NOTHING.search(delta, at)) is None:
                    start = len(delta)
                    break
                start, at = found.start(), found.end()
                start = self._begin(found[0], start)
        if start < len(delta) and (self._depth or self._in_string or self._in_word):
            self._held.append(delta[start:])
        return chunks

    def _begin(self, first: str, start: int) -> int:
        """Note what kind of value begins, and return where; for a bracket that we drop, behind it."""
        if self._elements and first in ("]" if self._inside else "["):
            self._inside = not self._inside
            return start + 1
        self._in_string = first == '"'
        self._depth = int(first in _OPENING)
        self._in_word = not self._in_string and not self._depth
        return start

    def _end_of_word(self, delta: str, at: int) -> int:
        found = _IN_WORD.search(delta, at)
        end = len(delta) if found is None else found.start()
        if self._inside and (closing := delta.find("]", at, end)) >= 0:
            return closing
        return end

    def flush(self) -> list[str]:
        rest = "".join(self._held).rstrip()
        self._held.clear()
        self._depth = 0
        self._in_string = self._in_word = self._escaped = self._inside = False
        return [rest] if rest else []


@attrs.define
class _Separated:
    _separator: re.Pattern[str]
    _longest: int
    _held: list[str] = attrs.field(factory=list, init=False)
    _text: str = attrs.field(default="", init=False)
    _begin: int = attrs.field(default=0, init=False)  # of the chunk, as far as it is in the text
    _at: int = attrs.field(default=0, init=False)  # a separator may begin from here on

    def feed(self, delta: str) -> list[str]:
        self._text += delta
        chunks = self._cut(len(self._text) - self._longest)
        # What a pattern may look back at stays.
        if (known := self._at - self._longest) > self._begin:
            self._held.append(self._text[self._begin : known])
            self._begin = known
        if (done := min(known, self._begin)) > 0:
            self._text = self._text[done:]
            self._begin -= done
            self._at -= done
        return chunks

    def flush(self) -> list[str]:
        chunks = self._cut(len(self._text))
        rest = "".join(self._held) + self._text[self._begin :]
        self._held.clear()
        self._text, self._begin, self._at = "", 0, 0
        return [*chunks, rest] if rest else chunks

    def _cut(self, last: int) -> list[str]:
        """Cut at the separators that begin at *last* or before."""
        chunks = []
        while self._at <= last:
            found = self._separator.search(self._text, self._at)
            if found is None or found.start() > last:
                self._at = last + 1
                break
            begin = found.start()
            # Looked at again with nothing but what is always there in time.
            found = self._separator.match(self._text, begin, begin + self._longest)
            self._at = begin + 1
            if found is not None:
                if chunk := "".join(self._held) + self._text[self._begin : begin]:
                    chunks.append(chunk)
                self._held.clear()
                self._begin = found.end()
                self._at = max(self._at, self._begin)
        return chunks
