"""Where chunks end, for whatever text and however it is cut into deltas."""

import re
from collections.abc import Sequence
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet._wire.chunking import (
    Chunker,
    ChunkingStrategy,
    JSONValueChunker,
    LineChunker,
    ParagraphChunker,
    ParagraphChunking,
    RegexChunker,
    SentenceChunker,
    SentenceChunking,
    WordChunker,
    WordChunking,
    chunker_of,
    resolve_chunking_strategy,
)

Row = tuple[str, list[str], list[str]]

SENTENCES: Final[list[Row]] = [
    ("", [], []),
    (" ", [], []),
    ("Hello", [], ["Hello"]),
    ("Hello.", [], ["Hello."]),
    ("Hello. ", ["Hello."], []),
    ("Hello. World", ["Hello."], ["World"]),
    ("Hello.  World! ", ["Hello.", "World!"], []),
    ("Hello.World. ", ["Hello.World."], []),
    ("Dr. Smith left. ", ["Dr.", "Smith left."], []),
    ("Pi is 3.14 today. ", ["Pi is 3.14 today."], []),
    ("Wait... what? ", ["Wait...", "what?"], []),
    ("What?! No. ", ["What?!", "No."], []),
    ('He said "Hi." Then left. ', ['He said "Hi."', "Then left."], []),
    ("He said “Hi.” Then", ["He said “Hi.”"], ["Then"]),
    ("(Really?) Yes. ", ["(Really?)", "Yes."], []),
    ('He said ("Hi.") Then. ', ['He said ("Hi.") Then.'], []),
    ("'Quoted.' Next. ", ["'Quoted.'", "Next."], []),
    ("A.\nB.\n", ["A.", "B."], []),
    ("One.\r\nTwo.\r\n", ["One.", "Two."], []),
    ("A.\tB", ["A."], ["B"]),
    ("  Leading. Next. ", ["  Leading.", "Next."], []),
    ("  Hello", [], ["  Hello"]),
    (" . A", [" ."], ["A"]),
    ("Hello.\u00a0World. ", ["Hello.", "World."], []),
    ("Hello.\u200bWorld. ", ["Hello.\u200bWorld."], []),
    ("你好。世界。 ", [], ["你好。世界。"]),
    ("… … x", [], ["… … x"]),
    ("One: a; b, c", [], ["One: a; b, c"]),
    ("a\n\nb. c", ["a\n\nb."], ["c"]),
    ("A. B. C.", ["A.", "B."], ["C."]),
    ("Trailing space  ", [], ["Trailing space"]),
    ("! ? .", ["!", "?"], ["."]),
    ("...", [], ["..."]),
    ("... ", ["..."], []),
    ("a.b. c", ["a.b."], ["c"]),
]

WORDS: Final[list[Row]] = [
    ("", [], []),
    (" ", [], []),
    ("\n", [], []),
    ("a", [], ["a"]),
    ("a ", ["a"], []),
    ("a b", ["a"], ["b"]),
    (" a b ", ["a", "b"], []),
    ("  a", [], ["a"]),
    ("a\n\nb c", ["a", "b"], ["c"]),
    ("a\u00a0b ", ["a", "b"], []),
    ("a\u200bb ", ["a\u200bb"], []),
    ("a\tb\r\nc", ["a", "b"], ["c"]),
]

PARAGRAPHS: Final[list[Row]] = [
    ("", [], []),
    ("\n\n", [], []),
    ("\n", [], ["\n"]),
    ("a", [], ["a"]),
    ("a\n", [], ["a\n"]),
    ("a\n\n", ["a"], []),
    ("a\n\n\n", ["a"], []),
    ("a\n\nb", ["a"], ["b"]),
    ("a\n\n\nb", ["a"], ["b"]),
    ("a\n\nb\n", ["a"], ["b\n"]),
    ("a\n\nb\n\n", ["a", "b"], []),
    ("a\n\n\n\nb\n\n", ["a", "b"], []),
    ("\n\na\n\n", ["a"], []),
    ("\na\n\nb", ["\na"], ["b"]),
    (" \n\nb\n\n", [" ", "b"], []),
    ("a\r\n\r\nb", [], ["a\r\n\r\nb"]),
    ("a\n \nb", [], ["a\n \nb"]),
    ("a\n\n  b  ", ["a"], ["  b  "]),
]

LINES: Final[list[Row]] = [
    ("", [], []),
    ("\n\n", [], []),
    ("a", [], ["a"]),
    ("a\n", ["a"], []),
    ("a\r\nb\r\n\r\nc", ["a", "b"], ["c"]),
    (" a \n \nb", [" a ", " "], ["b"]),
    ("a\u2028b\rc\n", ["a\u2028b\rc"], []),
]

VALUES: Final[list[Row]] = [
    ("", [], []),
    ('{"a": 1}', ['{"a": 1}'], []),
    ('{"a": [1, "}"]} [2]', ['{"a": [1, "}"]}', "[2]"], []),
    ('{"a": "\\"}"}{}', ['{"a": "\\"}"}', "{}"], []),
    ('1, true\n"x y" null', ["1", "true", '"x y"'], ["null"]),
    ('{"a": ', [], ['{"a":']),
    ('"a\\\\" "b', ['"a\\\\"'], ['"b']),
    ('```json\n{"a": 1}\n```', ["```json", '{"a": 1}'], ["```"]),
    ("] }", ["]"], ["}"]),
]

ELEMENTS: Final[list[Row]] = [
    ('[{"a": 1}, [2], 3, "]"]', ['{"a": 1}', "[2]", "3", '"]"'], []),
    ("[12", [], ["12"]),
    ("[1][2] {}", ["1", "2", "{}"], []),
    ("[]", [], []),
]

RULES: Final[list[Row]] = [
    ("a----b", [], ["a", "b"]),
    ("a----b" + "c" * 16, ["a"], ["b" + "c" * 16]),
    ("--a---", [], ["a"]),
    ("a" * 40, [], ["a" * 40]),
]

HEADINGS: Final = RegexChunker(r"(?m)(?=^## )", longest=4)
RULE: Final = RegexChunker(r"-{2,}")

TABLES: Final[list[tuple[ChunkingStrategy, Row]]] = [
    *((SentenceChunker(), row) for row in SENTENCES),
    *((WordChunker(), row) for row in WORDS),
    *((ParagraphChunker(), row) for row in PARAGRAPHS),
    *((LineChunker(), row) for row in LINES),
    *((JSONValueChunker(), row) for row in VALUES),
    *((JSONValueChunker(elements=True), row) for row in ELEMENTS),
    *((RULE, row) for row in RULES),
    (SentenceChunking(), ("  Leading. Next. ", ["Leading.", "Next."], [])),
    (SentenceChunking(), ("  Hello", [], ["Hello"])),
    (SentenceChunking(), (" . A", ["."], ["A"])),
    (HEADINGS, ("intro\n## a\nb\n## c\nd", ["intro\n", "## a\nb\n"], ["## c\nd"])),
]

OURS: Final[list[ChunkingStrategy]] = [
    SentenceChunker(),
    SentenceChunking(),
    WordChunker(),
    ParagraphChunker(),
    LineChunker(),
    JSONValueChunker(),
    JSONValueChunker(elements=True),
    RULE,
    RegexChunker(r"a+b?", longest=3),
    HEADINGS,
]

# What the rules speak of, and little else, so that a short text meets many of them.
texts: Final = st.text(alphabet=" \n\r\t.!?\"”’)'ab-,[]{}\\#\u00a0\u200b1", max_size=40)
cuts: Final = st.lists(st.integers(0, 40), max_size=6).map(sorted)


def pieces(text: str, cuts: Sequence[int]) -> list[str]:
    return [text[i:j] for i, j in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def name(value: object) -> str | None:
    return repr(value) if isinstance(value, ChunkingStrategy) else None


@pytest.mark.parametrize(("strategy", "row"), TABLES, ids=name)
def test_boundaries_are_those_of_the_table(strategy: ChunkingStrategy, row: Row) -> None:
    text, split, flush = row
    assert strategy.split(text) == split
    assert strategy.flush(text) == flush
    for deltas in ([text], list(text)):
        cutter = strategy.begin()
        assert [chunk for delta in deltas for chunk in cutter.feed(delta)] == split
        assert cutter.flush() == flush


@pytest.mark.parametrize("strategy", OURS, ids=name)
@given(texts, cuts)
def test_chunks_do_not_depend_on_how_the_text_is_cut(
    strategy: ChunkingStrategy, text: str, cuts: list[int]
) -> None:
    cutter = strategy.begin()
    chunks: list[str] = []
    arrived = ""
    for delta in pieces(text, cuts):
        arrived += delta
        chunks += cutter.feed(delta)
        assert chunks == strategy.split(arrived)
    assert cutter.flush() == strategy.flush(text)
    assert cutter.flush() == []


@pytest.mark.parametrize("strategy", OURS, ids=name)
@given(texts)
def test_chunks_stand_in_the_text_one_after_the_other(
    strategy: ChunkingStrategy, text: str
) -> None:
    at = 0
    for chunk in [*strategy.split(text), *strategy.flush(text)]:
        assert chunk
        at = text.index(chunk, at) + len(chunk)


# The same rules as functions of the whole text, written independently.


def sentences(text: str) -> tuple[list[str], list[str]]:
    chunks, at = [], 0
    for found in re.finditer(r"([.!?][\"'”’)]?)\s+", text):
        chunks.append(text[at : found.end(1)])
        at = found.end()
    rest = text[at:].rstrip()
    return chunks, [rest] if rest else []


def words(text: str) -> tuple[list[str], list[str]]:
    complete = re.findall(r"\S+(?=\s)", text)
    return complete, text.split()[len(complete) :]


def paragraphs(text: str) -> tuple[list[str], list[str]]:
    *complete, rest = re.split(r"\n{2,}", text)
    return [chunk for chunk in complete if chunk], [rest] if rest else []


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [(SentenceChunker(), sentences), (WordChunker(), words), (ParagraphChunker(), paragraphs)],
    ids=name,
)
@given(texts)
def test_chunks_are_those_of_a_plain_function_of_the_whole_text(
    strategy: ChunkingStrategy, expected: Any, text: str
) -> None:
    assert (strategy.split(text), strategy.flush(text)) == expected(text)


# Aliases.


def test_aliases_name_the_chunkers_of_both_entry_points() -> None:
    assert isinstance(chunker_of("sentence"), SentenceChunker)
    assert isinstance(resolve_chunking_strategy("sentence"), SentenceChunking)
    for resolve in (chunker_of, resolve_chunking_strategy):
        assert isinstance(resolve("word"), WordChunker)
        assert isinstance(resolve("paragraph"), ParagraphChunker)
        own = LineChunker()
        assert resolve(own) is own
    assert WordChunking is WordChunker
    assert ParagraphChunking is ParagraphChunker


@pytest.mark.parametrize("resolve", [chunker_of, resolve_chunking_strategy])
def test_an_unknown_alias_is_refused_with_those_that_there_are(resolve: Any) -> None:
    with pytest.raises(ValueError, match=r"'chapter'.*'sentence', 'word', 'paragraph'"):
        resolve("chapter")
    with pytest.raises(TypeError, match="not int"):
        resolve(3)


def test_a_regex_chunker_refuses_what_cannot_work() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        RegexChunker("x", longest=0)
    with pytest.raises(re.error):
        RegexChunker("(")


# Strategies of users.


class Colons(ChunkingStrategy):
    """Ends chunks at colons, and remembers what it was shown."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def split(self, accumulated_text: str) -> list[str]:
        self.seen.append(accumulated_text)
        return [f"{part}:" for part in accumulated_text.split(":")[:-1]]

    def flush(self, accumulated_text: str) -> list[str]:
        rest = accumulated_text.rpartition(":")[2]
        return [rest] if rest else []


class ForgetfulColons(Colons):
    forgets = True


class NoFlush(ChunkingStrategy):
    def split(self, accumulated_text: str) -> list[str]:
        return accumulated_text.split(":")[:-1]


class Numbered(Colons):
    """Its chunks are no pieces of the text, which `split` and `flush` allow."""

    def split(self, accumulated_text: str) -> list[str]:
        return [f"{n} {chunk}" for n, chunk in enumerate(super().split(accumulated_text))]


class Shouting(WordChunker):
    def split(self, accumulated_text: str) -> list[str]:
        return [word.upper() for word in super().split(accumulated_text)]


def cut(strategy: ChunkingStrategy, deltas: Sequence[str]) -> list[list[str]]:
    cutter = strategy.begin()
    return [*(cutter.feed(delta) for delta in deltas), cutter.flush()]


def test_a_strategy_is_shown_the_whole_text_and_each_chunk_comes_once() -> None:
    strategy = Colons()
    assert cut(strategy, ["a:b", ":c:", "d"]) == [["a:"], ["b:", "c:"], [], ["d"]]
    assert strategy.seen == ["a:b", "a:b:c:", "a:b:c:d"]


def test_a_strategy_that_forgets_is_shown_what_is_not_finished() -> None:
    strategy = ForgetfulColons()
    assert cut(strategy, ["a:b", ":c:", "d"]) == [["a:"], ["b:", "c:"], [], ["d"]]
    assert strategy.seen == ["a:b", "b:c:", "d"]


def test_a_strategy_without_flush_drops_the_rest() -> None:
    assert cut(NoFlush(), ["a:b"]) == [["a"], []]


def test_chunks_need_not_be_pieces_of_the_text() -> None:
    assert cut(Numbered(), ["a:b:", "c:"]) == [["0 a:", "1 b:"], ["2 c:"], []]


def test_a_subclass_of_a_chunker_may_override_what_is_documented() -> None:
    assert cut(Shouting(), ["a b", " c"]) == [["A"], ["B"], ["c"]]


@pytest.mark.parametrize("strategy", OURS, ids=name)
@given(texts, cuts)
def test_a_chunker_object_gives_what_its_strategy_gives(
    strategy: ChunkingStrategy, text: str, cuts: list[int]
) -> None:
    chunker = Chunker(strategy)
    fed = [chunk for delta in pieces(text, cuts) for chunk in chunker.feed(delta)]
    assert fed == strategy.split(text)
    assert chunker.flush() == strategy.flush(text)


def test_a_chunker_object_keeps_only_what_is_pending() -> None:
    strategy = Colons()
    chunker = Chunker(strategy)
    assert [chunker.feed(delta) for delta in ["a:b", ":c:", "d"]] == [["a:"], ["b:", "c:"], []]
    assert strategy.seen == ["a:b", "b:c:", "d"]
    assert chunker.flush() == ["d"]
    assert chunker.flush() == []


class Empty(ChunkingStrategy):
    def split(self, accumulated_text: str) -> list[str]:
        return [""]


def test_a_chunker_object_refuses_chunks_that_are_empty_or_not_in_the_text() -> None:
    with pytest.raises(ValueError, match="empty chunk"):
        Chunker(Empty()).feed("a")
    with pytest.raises(ValueError, match="not a verbatim"):
        Chunker(Numbered()).feed("a:")


@pytest.mark.parametrize("strategy", OURS, ids=name)
def test_a_long_chunk_is_not_copied_with_every_delta(strategy: ChunkingStrategy) -> None:
    cutter = strategy.begin()
    for _ in range(2_000):
        cutter.feed("x")
    kept = [getattr(cutter, each, "") for each in ("_text", "_tail")]
    assert all(len(text) <= 64 for text in kept)
