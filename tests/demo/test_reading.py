"""Reading files of feedback: nothing that stands in a file is lost, whatever it is."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet.demo._items import FeedbackItem, built_in_items
from motet.demo._reading import FileFormat, UnusableInput, parse_feedback, read_feedback


def parse(data: str | bytes, form: str, column: str | None = None) -> list[FeedbackItem]:
    raw = data.encode() if isinstance(data, str) else data
    return parse_feedback(raw, FileFormat(form), column)


def texts(items: list[FeedbackItem]) -> list[str]:
    assert [item.error for item in items if item.error] == []
    return [item.text for item in items]


# --- what comes with the package


def test_the_built_in_feedback_is_varied_and_usable() -> None:
    items = built_in_items()
    assert len(items) >= 44
    assert len({item.id for item in items}) == len(items)
    assert len({item.text for item in items}) == len(items)
    assert all(item.error is None and item.text.strip() == item.text != "" for item in items)
    assert any("{{" in item.text for item in items)
    lengths = [len(item.text) for item in items]
    assert min(lengths) < 10
    assert max(lengths) > 300


def test_the_built_in_feedback_is_a_file_that_can_be_read() -> None:
    lines = [json.dumps({"id": item.id, "text": item.text}) for item in built_in_items()]
    assert parse("\n".join(lines), "jsonl") == built_in_items()


# --- plain lines


def test_plain_lines_are_items_named_by_their_number() -> None:
    assert parse("good\n\n  \n bad \n", "lines") == [
        FeedbackItem("1", "good"),
        FeedbackItem("4", "bad"),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_usual_line_end_ends_a_line(end: str) -> None:
    assert texts(parse(f"one{end}two", "lines")) == ["one", "two"]


def test_a_line_separator_of_unicode_does_not_end_a_line() -> None:
    assert texts(parse("one\u2028still one\x0bstill\n", "lines")) == ["one\u2028still one\x0bstill"]


@pytest.mark.parametrize("form", ["lines", "jsonl", "csv"])
def test_a_byte_order_mark_is_no_text(form: str) -> None:
    data = {"lines": "hello", "jsonl": '{"text": "hello"}', "csv": "text\nhello\n"}[form]
    assert texts(parse("\ufeff" + data, form)) == ["hello"]


def test_an_undecodable_line_is_an_item_with_an_error() -> None:
    first, broken, last = parse(b"one\ncaf\xe9\nthree\n", "lines")
    assert (first.text, last.text) == ("one", "three")
    assert broken == FeedbackItem("2", "", "line 2: not UTF-8: byte 0xe9 at position 4")


# --- JSON Lines


def test_json_lines_may_be_objects_or_strings() -> None:
    data = """
        {"id": "a", "text": "one"}
        {"feedback": "two", "id": 7}
        {"Comment": "three", "ID": " c "}
        "four"
    """
    assert parse(data, "jsonl") == [
        FeedbackItem("a", "one"),
        FeedbackItem("7", "two"),
        FeedbackItem("c", "three"),
        FeedbackItem("5", "four"),
    ]


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ('{"comment": "c", "text": "t"}', "t"),
        ('{"text": null, "comment": "c"}', "c"),
        ('{"customer_feedback": "f", "stars": 3}', "f"),
        ('{"text": "  {{ not a template }} 🙂 "}', "{{ not a template }} 🙂"),
    ],
)
def test_the_likeliest_key_holds_the_text(record: str, text: str) -> None:
    assert texts(parse(record, "jsonl")) == [text]


@pytest.mark.parametrize("id_", ["null", "true", "1.5", '""', '" "', "[1]", '"\\ud800"'])
def test_an_id_that_is_no_name_is_replaced_by_the_line(id_: str) -> None:
    assert parse(f'\n{{"text": "x", "id": {id_}}}', "jsonl") == [FeedbackItem("2", "x")]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "not JSON"),
        ("plain words", "not JSON"),
        ("[1, 2]", "a list; write one object or string a line"),
        ("42", "42 is neither an object nor a string"),
        ("null", "null is neither an object nor a string"),
        ("{}", "the object has no text or feedback or comment"),
        ('{"stars": 5}', "the object has no text or feedback or comment"),
        ('{"text": 5}', "text is 5, not a text"),
        ('{"text": ["a"]}', 'text is ["a"], not a text'),
        ('{"text": "  "}', "the text is empty"),
        ('""', "the text is empty"),
        ('{"text": "\\ud83d"}', "half a character"),
        ("[" * 100_000, "not JSON"),
        ("1" * 10_000, "not JSON"),
    ],
)
def test_a_bad_record_is_an_item_with_an_error(line: str, why: str) -> None:
    first, broken, last = parse(f'"one"\n{line}\n"three"', "jsonl")
    assert (first.text, last.text) == ("one", "three")
    assert (broken.id, broken.text) == ("2", "")
    assert broken.error is not None
    assert broken.error.startswith("line 2: ")
    assert why in broken.error


def test_a_bad_record_keeps_its_id() -> None:
    (broken,) = parse('{"id": "fb-7", "text": 7}', "jsonl")
    assert broken.id == "fb-7"


def test_the_key_of_json_lines_can_be_named() -> None:
    first, second = parse('{"text": "no", "notes": "yes"}\n{"text": "no"}', "jsonl", "notes")
    assert first == FeedbackItem("1", "yes")
    assert second.error == "line 2: the object has no notes"


# --- CSV


def test_a_csv_is_read_by_its_header() -> None:
    data = 'Id,Stars,Comment\na,5,"good, really"\nb,1,"two\nlines, ""quoted"""\n\n,3,meh\n'
    assert parse(data, "csv") == [
        FeedbackItem("a", "good, really"),
        FeedbackItem("b", 'two\nlines, "quoted"'),
        FeedbackItem("6", "meh"),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_of_a_csv_is_found_in_its_header(delimiter: str) -> None:
    data = delimiter.join(["id", "text"]) + "\n" + delimiter.join(["a", "fine"]) + "\n"
    assert parse(data, "csv") == [FeedbackItem("a", "fine")]


@pytest.mark.parametrize(
    ("header", "at"),
    [
        ("a,text,comment", 1),
        ("a,b,Feedback", 2),
        ("Customer comment,b,c", 0),
        ("a, review ,b", 1),
        ("message_id,text", 1),
    ],
)
def test_the_likeliest_column_holds_the_text(header: str, at: int) -> None:
    width = header.count(",") + 1
    data = header + "\n" + ",".join("x" if n == at else "-" for n in range(width))
    assert texts(parse(data, "csv")) == ["x"]


def test_the_column_of_a_csv_can_be_named() -> None:
    data = "text,What was it?\nno,yes\n"
    assert texts(parse(data, "csv", "What was it?")) == ["yes"]
    assert texts(parse(data, "csv", "what WAS it? ")) == ["yes"]


@pytest.mark.parametrize("column", [None, "opinion"])
def test_a_csv_without_the_column_is_refused_with_the_columns_it_has(column: str | None) -> None:
    with pytest.raises(UnusableInput, match="name, stars"):
        parse("name,stars\nx,5\n", "csv", column)


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (b"x,good, but slow", "3 fields under a header of 2"),
        (b"x", "only 1 of 2 fields"),
        (b"x,", "the text is empty"),
        (b'x,"good" really', "not CSV"),
        (b'x,"never closed', "not CSV"),
        (b"x,caf\xe9", "not UTF-8: byte 0xe9"),
        (b"\xff,good", "not UTF-8: byte 0xff"),
        (b"x,\xed\xa0\xbd", "not UTF-8"),
        (b'x,"' + b"a" * 200_000 + b'"', "not CSV"),
    ],
)
def test_a_bad_record_of_a_csv_costs_nobody_else(record: bytes, why: str) -> None:
    first, broken, *rest = parse(b"id,text\na,one\n" + record + b'\nc,three\nd,"fo\nur"\n', "csv")
    assert first == FeedbackItem("a", "one")
    assert broken.error is not None
    assert broken.error.startswith("line 3: ")
    assert why in broken.error
    assert rest == [FeedbackItem("c", "three"), FeedbackItem("d", "fo\nur")]


def test_a_quote_that_is_never_closed_is_called_so() -> None:
    first, broken, last = parse('text\none\n"two\nthree\n', "csv")
    assert (first.text, last.text) == ("one", "three")
    assert broken.error == "line 3: a quote is opened and never closed"


def test_empty_fields_at_the_end_of_a_record_are_harmless() -> None:
    assert texts(parse("text\nfine,,\n", "csv")) == ["fine"]


@pytest.mark.parametrize("data", ["", "text\n", "\n\ntext\n\n"])
def test_a_csv_without_records_has_no_items(data: str) -> None:
    assert parse(data, "csv") == []


def test_an_unreadable_header_is_an_error_of_the_whole_file() -> None:
    with pytest.raises(UnusableInput, match="the header of the CSV cannot be read"):
        parse('"text\n', "csv")


# --- files


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl", '{"text": "x"}'),
        ("a.ndjson", '"x"'),
        ("a.JSON", '"x"'),
        ("a.csv", "text\nx"),
        ("a.tsv", "id\ttext\n1\tx"),
        ("a.txt", "x"),
        ("a", "x"),
    ],
)
def test_the_suffix_tells_the_format(tmp_path: Path, name: str, data: str) -> None:
    path = tmp_path / name
    path.write_text(data, encoding="utf-8")
    assert texts(read_feedback(str(path))) == ["x"]


def test_a_format_that_is_given_wins_over_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("text\nx\n", encoding="utf-8")
    assert texts(read_feedback(str(path), file_format=FileFormat.CSV)) == ["x"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnusableInput, match=r"cannot read .*nowhere\.csv: No such file"):
        read_feedback(str(tmp_path / "nowhere.csv"))
    with pytest.raises(UnusableInput, match=r"cannot read .*: Is a directory"):
        read_feedback(str(tmp_path))
    with pytest.raises(UnusableInput, match=r"cannot read .*: embedded null"):
        read_feedback("a\0b")


@pytest.mark.parametrize("data", [b"", b"\n \n", "\ufeff".encode(), b"\xc2\xa0\n"])
def test_a_file_without_feedback_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "empty.txt"
    path.write_bytes(data)
    with pytest.raises(UnusableInput, match=r"there is no feedback in .*empty\.txt"):
        read_feedback(str(path))


@pytest.mark.parametrize(
    ("data", "why"),
    [("hello".encode("utf-16"), "UTF-16"), (b"PK\x03\x04\x00\x00", "not text")],
)
def test_a_file_that_is_no_utf8_text_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(UnusableInput, match=why):
        parse(data, "lines")


def test_plain_lines_have_no_column(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x", encoding="utf-8")
    with pytest.raises(UnusableInput, match="have no column 'text'"):
        read_feedback(str(path), column="text")


@given(data=st.binary(max_size=200), form=st.sampled_from(FileFormat))
def test_any_bytes_are_items_or_one_clear_error(data: bytes, form: FileFormat) -> None:
    try:
        items = parse_feedback(data, form)
    except UnusableInput:
        return
    for item in items:
        assert item.id
        assert bool(item.text) == (item.error is None)
        item.text.encode()
        item.id.encode()


@given(found=st.lists(st.text(min_size=1).filter(lambda text: text.strip())))
def test_every_text_of_a_json_file_comes_out(found: list[str]) -> None:
    lines = [json.dumps({"text": text}) for text in found]
    items = parse("\n".join(lines), "jsonl")
    assert [item.text or None for item in items] == [
        text.strip() if _encodable(text) else None for text in found
    ]


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
