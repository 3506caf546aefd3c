"""Formatters, ready-made and of one's own."""

from pathlib import Path
from typing import Any

import jinja2
import pytest

from mellea.formatters import ChatFormatter, Formatter, TemplateFormatter
from motet import (
    CBlock,
    Component,
    ImageUrlBlock,
    Instruction,
    Message,
    ModelIdentifier,
    ModelOutputThunk,
    TemplateRepresentation,
)


class Loud(ChatFormatter):
    def print(self, c: Any) -> str:
        return f"{c}!"


class Pictured(Component[str]):
    def parts(self) -> list[Any]:
        return []

    def format_for_llm(self) -> TemplateRepresentation:
        return TemplateRepresentation(
            self, {}, template="look", images=[ImageUrlBlock("https://x/y")]
        )


def test_every_formatter_is_one() -> None:
    assert issubclass(TemplateFormatter, ChatFormatter)
    assert issubclass(ChatFormatter, Formatter)
    with pytest.raises(TypeError, match="abstract"):
        ChatFormatter()  # type: ignore[abstract]


def test_entries_become_messages_that_programs_can_look_at() -> None:
    read = ModelOutputThunk("plain", parsed_repr=Message("assistant", "read"))
    one, other = Message("system", "s"), ModelOutputThunk("answer")
    number: ModelOutputThunk[int] = ModelOutputThunk("seven", parsed_repr=7)
    messages = TemplateFormatter("m").to_chat_messages(
        [one, CBlock("c"), Instruction("do"), other, read, number, Pictured()]
    )
    assert messages[0] is one
    assert messages[4] is read.parsed_repr
    assert [(each.role, each.content) for each in messages] == [
        ("system", "s"),
        ("user", "c"),
        ("user", "do"),
        ("assistant", "answer"),
        ("assistant", "read"),
        ("assistant", "7"),
        ("user", "look"),
    ]
    assert messages[-1].images is not None


def test_a_formatter_of_ones_own_only_says_the_words() -> None:
    component: ModelOutputThunk[Any] = ModelOutputThunk("x", parsed_repr=Pictured())
    messages = Loud().to_chat_messages([CBlock("c"), component])
    assert [each.content[-1] for each in messages] == ["!", "!"]
    assert [each.role for each in messages] == ["user", "assistant"]


@pytest.mark.parametrize(
    ("identifier", "name"),
    [
        (ModelIdentifier(hf_model_name="hf", ollama_name="o"), "hf"),
        (ModelIdentifier(mlx_name="mlx"), "mlx"),
        (ModelIdentifier(), ""),
        ("plain", "plain"),
    ],
)
def test_a_model_may_be_given_by_its_identifier(identifier: Any, name: str) -> None:
    formatter = TemplateFormatter(identifier)
    assert formatter.model_id == name
    assert formatter.print(Instruction("d")) == "d"


def test_what_is_wrong_with_a_template_is_an_error_of_jinja(tmp_path: Path) -> None:
    class Wrong(Pictured):
        def format_for_llm(self) -> TemplateRepresentation:
            return TemplateRepresentation(self, {}, template="{{ missing }}")

    class Missing(Pictured):
        def format_for_llm(self) -> TemplateRepresentation:
            return TemplateRepresentation(self, {})

    formatter = TemplateFormatter("m", template_path=tmp_path)
    with pytest.raises(jinja2.UndefinedError):
        formatter.print(Wrong())
    with pytest.raises(ValueError, match="no template for Missing"):
        formatter.print(Missing())
