"""
Files of feedback: bytes in, items out.

Three formats: JSON Lines, CSV, and one text per line. This module knows how people
write them (byte order marks, semicolons, quotes that never close) and not what is done
with the items. One rule governs it: what stands in the file becomes an item. A line
that cannot be read is an item with an error; only a file with nothing to read at all
is an error of the whole.

Reference for CSV: https://www.rfc-editor.org/rfc/rfc4180
"""

import codecs
import csv
import enum
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from ._items import FeedbackItem

STANDARD_INPUT: Final = "-"

# The names under which people keep such texts, the likeliest first.
_TEXT_NAMES: Final = ("text", "feedback", "comment", "review", "message")
_ID_NAME: Final = "id"
_DELIMITERS: Final = (",", ";", "\t")  # spreadsheets of half of Europe write the second


class UnusableInput(ValueError):
    """A whole file gives no items; the message says what to do."""


class FileFormat(enum.StrEnum):
    """How the items stand in a file."""

    JSONL = "jsonl"
    CSV = "csv"
    LINES = "lines"


_FORMAT_OF_SUFFIX: Final = {
    ".jsonl": FileFormat.JSONL,
    ".ndjson": FileFormat.JSONL,
    ".json": FileFormat.JSONL,
    ".csv": FileFormat.CSV,
    ".tsv": FileFormat.CSV,
}


def read_feedback(
    source: str, *, file_format: FileFormat | None = None, column: str | None = None
) -> list[FeedbackItem]:
    """Read every item of a file, in its order.

    An item is named by its ``id`` if it has one, else by the line it begins on.

    Args:
        source: a path, or ``-`` for the standard input.
        file_format: how to read it; without it, the suffix of the path tells, and
            what has no suffix that is known here is plain lines.
        column: the column (CSV) or key (JSON Lines) that holds the text, for files
            where it has no usual name.

    Raises:
        UnusableInput: the file cannot be read, is no text, or holds no item.
    """
    chosen = file_format or _FORMAT_OF_SUFFIX.get(Path(source).suffix.lower(), FileFormat.LINES)
    if chosen is FileFormat.LINES and column is not None:
        raise UnusableInput(
            f"plain lines have no column {column!r}; say --format csv or --format jsonl"
        )
    items = parse_feedback(_read_bytes(source), chosen, column)
    if not items:
        raise UnusableInput(f"there is no feedback in {_say(source)}")
    return items


def parse_feedback(
    data: bytes, file_format: FileFormat, column: str | None = None
) -> list[FeedbackItem]:
    """Return the items in *data*, which is what `read_feedback` does after reading.

    Raises:
        UnusableInput: *data* is not UTF-8 at all, or is a CSV without a column of text.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UnusableInput("the file is UTF-16; save it as UTF-8")
    if b"\0" in data:
        raise UnusableInput("the file is not text: it has null bytes in it")
    # Splits bytes at line ends only. On text it would also split at U+2028 and the
    # like, which may stand inside a JSON string or a comment.
    lines = data.removeprefix(codecs.BOM_UTF8).splitlines(keepends=True)
    match file_format:
        case FileFormat.JSONL:
            return list(_each_line(lines, lambda number, line: _from_json(number, line, column)))
        case FileFormat.LINES:
            return list(_each_line(lines, lambda number, line: _item(number, line)))
        case FileFormat.CSV:
            return list(_from_csv(lines, column))


def _read_bytes(source: str) -> bytes:
    try:
        if source == STANDARD_INPUT:
            return sys.stdin.buffer.read()
        return Path(source).read_bytes()
    except (OSError, ValueError) as exc:  # ValueError: a path with a null byte
        why = exc.strerror if isinstance(exc, OSError) and exc.strerror else exc
        raise UnusableInput(f"cannot read {_say(source)}: {why}") from exc


def _say(source: str) -> str:
    return "the standard input" if source == STANDARD_INPUT else source


def _item(number: int, text: str, *, id_: object = None) -> FeedbackItem:
    """Make an item of a text that was found, or one with an error if it is unusable."""
    name = _name(number, id_)
    text = text.strip()
    if not text:
        return _broken(number, "the text is empty", name=name)
    if not _is_unicode(text):
        # JSON can write half of a surrogate pair. No encoding can.
        return _broken(number, "the text holds half a character (a lone surrogate)", name=name)
    return FeedbackItem(name, text)


def _broken(number: int, why: str, *, name: str | None = None) -> FeedbackItem:
    return FeedbackItem(name or str(number), "", f"line {number}: {why}")


def _name(number: int, id_: object) -> str:
    match id_:
        case bool():
            return str(number)
        case int():
            return str(id_)
        case str() if id_.strip() and _is_unicode(id_):
            return id_.strip()
        case _:
            return str(number)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _each_line(
    lines: Sequence[bytes], parse: Callable[[int, str], FeedbackItem]
) -> Iterator[FeedbackItem]:
    for number, raw in enumerate(lines, 1):
        if not raw.strip():
            continue
        try:
            line = raw.decode()
        except UnicodeDecodeError as exc:
            yield _broken(number, _say_undecodable(exc))
        else:
            # Some characters are blank to str and not to bytes.
            if line.strip():
                yield parse(number, line)


def _say_undecodable(error: UnicodeDecodeError) -> str:
    return f"not UTF-8: byte 0x{error.object[error.start]:02x} at position {error.start + 1}"


# --- JSON Lines


def _from_json(number: int, line: str, column: str | None) -> FeedbackItem:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as exc:
        return _broken(number, f"not JSON: {exc.msg} at position {exc.pos + 1}")
    except (ValueError, RecursionError) as exc:  # an endless number, a thousand brackets
        return _broken(number, f"not JSON that can be read: {exc}")
    match record:
        case str():
            return _item(number, record)
        case dict():
            return _from_object(number, record, column)
        case list():
            return _broken(number, "a list; write one object or string a line")
        case _:
            return _broken(number, f"{json.dumps(record)} is neither an object nor a string")


def _from_object(number: int, record: dict[str, Any], column: str | None) -> FeedbackItem:
    id_ = next((value for key, value in record.items() if key.casefold() == _ID_NAME), None)
    name = _name(number, id_)
    if column is None:
        key = _find_text_name([key for key, value in record.items() if value is not None])
    else:
        key = _find_name(list(record), column)
    if key is None:
        wanted = column or " or ".join(_TEXT_NAMES[:3])
        return _broken(number, f"the object has no {wanted}", name=name)
    text = record[key]
    if not isinstance(text, str):
        return _broken(number, f"{key} is {json.dumps(text)[:40]}, not a text", name=name)
    return _item(number, text, id_=id_)


def _find_name(names: Sequence[str], wanted: str) -> str | None:
    if wanted in names:
        return wanted
    folded = wanted.strip().casefold()
    return next((name for name in names if name.strip().casefold() == folded), None)


def _find_text_name(names: Sequence[str]) -> str | None:
    """Return the one of *names* that seems to hold the texts: ``Comment``, ``review_text``."""
    for wanted in _TEXT_NAMES:
        if (name := _find_name(names, wanted)) is not None:
            return name
    for wanted in _TEXT_NAMES:
        for name in names:
            if wanted in name.casefold():
                return name
    return None


# --- CSV


def _from_csv(lines: Sequence[bytes], column: str | None) -> Iterator[FeedbackItem]:
    # Decoded leniently here and judged record by record below: whether a line can be
    # decoded says nothing before it is known which lines make a record.
    texts = [raw.decode(errors="surrogateescape") for raw in lines]
    delimiter = _find_delimiter(texts)
    records = _csv_records(texts, delimiter)
    _, header = next(records, (0, []))
    if not header:
        return
    if isinstance(header, csv.Error):
        raise UnusableInput(f"the header of the CSV cannot be read: {header}")
    text_at, id_at = _find_columns(header, column)
    for number, fields in records:
        yield _from_record(number, fields, len(header), text_at, id_at)


def _from_record(
    number: int, fields: list[str] | csv.Error, width: int, text_at: int, id_at: int | None
) -> FeedbackItem:
    if isinstance(fields, csv.Error):
        # What the csv module calls the end of the file inside of quotes.
        unclosed = str(fields) == "unexpected end of data"
        why = "a quote is opened and never closed" if unclosed else f"not CSV: {fields}"
        return _broken(number, why)
    id_ = fields[id_at] if id_at is not None and id_at < len(fields) else None
    name = _name(number, id_)
    for field in fields:
        try:
            field.encode(errors="surrogateescape").decode()
        except UnicodeDecodeError as exc:
            return _broken(number, f"{_say_undecodable(exc)} of a field", name=name)
    if any(field.strip() for field in fields[width:]):
        return _broken(
            number,
            f"{len(fields)} fields under a header of {width}; "
            "a text with the delimiter in it needs quotes",
            name=name,
        )
    if text_at >= len(fields):
        return _broken(number, f"only {len(fields)} of {width} fields", name=name)
    return _item(number, fields[text_at], id_=id_)


def _csv_records(
    texts: Sequence[str], delimiter: str
) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Give each record, or what is wrong with it, with the number of its first line."""
    at = 0
    while at < len(texts):
        # A reader of its own for each record. A quote that is opened and never closed
        # swallows the rest of the file; so that it costs one item and not all the
        # others, reading goes on with the line after the one it stands in.
        rest = (texts[line] for line in range(at, len(texts)))
        reader = csv.reader(rest, delimiter=delimiter, strict=True)
        number = at + 1
        try:
            fields = next(reader)
        except csv.Error as exc:
            yield number, exc
            at += 1
        else:
            at += reader.line_num
            if len(fields) > 1 or any(field.strip() for field in fields):
                yield number, fields


def _find_delimiter(texts: Sequence[str]) -> str:
    """Return the delimiter that cuts the header into the most columns."""

    def columns(delimiter: str) -> int:
        _, header = next(_csv_records(texts, delimiter), (0, []))
        return 0 if isinstance(header, csv.Error) else len(header)

    return max(_DELIMITERS, key=columns)


def _find_columns(header: Sequence[str], column: str | None) -> tuple[int, int | None]:
    names = [name.strip() for name in header]
    text_name = _find_text_name(names) if column is None else _find_name(names, column)
    if text_name is None:
        there = ", ".join(names)
        if column is None:
            raise UnusableInput(
                f"no column of the CSV is called {', '.join(_TEXT_NAMES[:3])} or the like; "
                f"say which one it is with --column (there are: {there})"
            )
        raise UnusableInput(f"the CSV has no column {column!r} (there are: {there})")
    folded = [name.casefold() for name in names]
    return names.index(text_name), folded.index(_ID_NAME) if _ID_NAME in folded else None
