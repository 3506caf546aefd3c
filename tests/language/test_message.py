"""Messages and documents."""

import base64
from types import SimpleNamespace
from typing import Any

import pytest

from language.scripted import answer
from motet import (
    CBlock,
    Document,
    ImageUrlBlock,
    InvalidImage,
    Message,
    ModelOutputThunk,
    RawProviderResponse,
    TemplateFormatter,
)

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()


@pytest.mark.parametrize("role", ["system", "user", "assistant", "tool"])
def test_a_message_has_a_role_and_a_content(role: str) -> None:
    message = Message(role, "hello")
    assert (message.role, message.content, str(message)) == (role, "hello", "hello")
    assert message.images is None
    assert message.documents == []


@pytest.mark.parametrize("wrong", ["robot", "User", "", None, 3, ["user"]])
def test_a_wrong_role_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"Invalid role .* Must be one of: \['system', 'user'"):
        Message(wrong, "x")


@pytest.mark.parametrize("wrong", [None, 3, b"x", CBlock("x"), answer("x"), ["x"]])
def test_a_wrong_content_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="content of a Message should be a string, not"):
        Message("user", wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("text", "documents should be a list of strings and Documents, not str"),
        (Document("x"), "documents should be a list of strings and Documents, not Document"),
        ({"a": "b"}, "documents should be a list of strings and Documents, not dict"),
        (3, "documents should be a list of strings and Documents, not int"),
        (["x", 3], r"documents\[1\] should be a string or a Document, not int"),
        ([None], r"documents\[0\] should be a string or a Document, not NoneType"),
    ],
)
def test_wrong_documents_are_refused(wrong: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Message("user", "x", documents=wrong)


def test_wrong_images_are_refused() -> None:
    with pytest.raises(InvalidImage, match=r"images\[0\]"):
        Message("user", "x", images=["x"])


def test_documents_follow_the_content() -> None:
    given: list[Any] = ["d1", Document("d2", title="t2", doc_id="9")]
    message = Message("user", "hello", documents=(each for each in given))
    expected = "hello\n\n\n[Document]\nd1\n[Document 9]\nt2: d2"
    assert TemplateFormatter("m").print(message) == expected
    assert [document.text for document in message.documents] == ["d1", "d2"]
    assert message.documents[1] is given[1]


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (Document("d"), "[Document]\nd"),
        (Document("d", "t"), "[Document]\nt: d"),
        (Document("d", doc_id="1"), "[Document 1]\nd"),
        (Document("{{d}}", "t", "1"), "[Document 1]\nt: {{d}}"),
    ],
)
def test_a_document_shows_what_it_has(document: Document, text: str) -> None:
    assert TemplateFormatter("m").print(document) == document.format_for_llm() == text
    assert str(document.parts()[0]) == document.text
    assert document.parse(answer("x")) == "x"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3,), "text of a Document should be a string"),
        ((None,), "text of a Document should be a string"),
        (("d", 3), "title of a Document should be a string or None"),
        (("d", None, 3), "doc_id of a Document should be a string or None"),
    ],
)
def test_a_wrong_document_is_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Document(*arguments)


def test_the_parts_are_content_documents_and_images() -> None:
    image = ImageUrlBlock("http://a")
    message = Message("user", "x", documents=["d"], images=[image])
    content, document, last = message.parts()
    assert isinstance(content, CBlock)
    assert content.value == "x"
    assert document is message.documents[0]
    assert last is image
    assert message.format_for_llm().images == [image]


def test_the_repr_shows_the_structure() -> None:
    long = "x" * 50
    message = Message("user", "hi", documents=[long], images=[ImageUrlBlock("http://a" + long)])
    assert repr(message) == (
        f'motet.Message(role="user", content="hi", images="[\'http://a{long[:12]}...\']", '
        f"documents=\"['[Document]\\n{long[:9]}...']\")"
    )


def test_the_answer_to_a_message_is_a_message() -> None:
    parsed = Message("user", "x").parse(answer("y"))
    assert isinstance(parsed, Message)
    assert (parsed.role, parsed.content) == ("assistant", "y")


def test_braces_in_a_message_are_text() -> None:
    assert TemplateFormatter("m").print(Message("user", "{{x}} {% y")) == "{{x}} {% y"


@pytest.mark.parametrize(
    ("provider", "response"),
    [
        ("ollama", {"message": {"role": "user", "content": "theirs"}}),
        ("ollama", SimpleNamespace(message=SimpleNamespace(role="user", content="theirs"))),
        ("openai", {"choices": [{"message": {"role": "user", "content": "theirs"}}]}),
        ("openai", {"message": {"role": "user", "content": "theirs"}}),
    ],
    ids=["ollama", "ollama client", "openai", "openai merged"],
)
def test_an_answer_is_what_the_provider_has_of_it(provider: str, response: Any) -> None:
    thunk: ModelOutputThunk[Any] = ModelOutputThunk("ours")
    thunk.raw = RawProviderResponse(provider=provider, response=response)
    answer = Message("user", "x").parse(thunk)
    assert (answer.role, answer.content) == ("user", "theirs")


@pytest.mark.parametrize(
    ("provider", "response"),
    [
        ("ollama", {"message": {"role": "nobody", "content": "theirs"}}),
        ("openai", {"choices": [{"message": {"role": "assistant", "content": None}}]}),
        ("openai", {"choices": []}),
        ("other", {"message": {"role": "user", "content": "theirs"}}),
    ],
    ids=["no role", "no text", "no choice", "another provider"],
)
def test_an_answer_is_its_text_otherwise(provider: str, response: Any) -> None:
    thunk: ModelOutputThunk[Any] = ModelOutputThunk("ours")
    thunk.raw = RawProviderResponse(provider=provider, response=response)
    answer = Message("user", "x").parse(thunk)
    assert (answer.role, answer.content) == ("assistant", "ours")
