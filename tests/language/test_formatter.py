"""From components to text and messages: where templates come from, and what they may do."""

import base64
import logging
from pathlib import Path
from typing import Any

import pytest

from language.scripted import answer, arrive, lose, pending
from motet import (
    CBlock,
    Component,
    ImageBlock,
    ImageUrlBlock,
    Instruction,
    Message,
    ModelOutputThunk,
    PendingReplyError,
    ReplyError,
    TemplateFormatter,
    TemplateRepresentation,
)

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()


class Shown(Component[str]):
    """Shows its arguments by a template of its own, or by names."""

    def __init__(self, template: str | None = None, order: Any = None, **args: Any) -> None:
        self._representation = TemplateRepresentation(
            self, args, template=template, template_order=order
        )

    def parts(self) -> list[Any]:
        return []

    def format_for_llm(self) -> TemplateRepresentation:
        return self._representation

    def _parse(self, computed: ModelOutputThunk[Any]) -> str:
        return ""


def write(folder: Path, path: str, text: str) -> Path:
    file = folder / f"{path}.jinja2"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return folder


# Printing.


@pytest.mark.parametrize(
    ("thing", "text"),
    [
        ("text", "text"),
        (CBlock("{{x}}"), "{{x}}"),
        (CBlock(None), ""),
        (answer("a"), "a"),
        (Message("user", "m"), "m"),
        (Shown("{{ a }}-{{ b }}", a="{{b}}", b=3), "{{b}}-3"),
        (Shown("{{ a }}", a=Shown("[{{ b }}]", b="in")), "[in]"),
        (Shown("{{ a[0] }}{{ b.k }}", a=[CBlock("x")], b={"k": answer("y")}), "xy"),
        (Shown("{{ a }}", a=TemplateRepresentation(None, {"b": 1}, template="<{{ b }}>")), "<1>"),
        (Shown("{{ a }}", a="<&>"), "<&>"),
        (Shown("{{ a|json }}", a={"k": "ä<"}), '{"k": "ä<"}'),
    ],
)
def test_what_is_printed(thing: Any, text: str) -> None:
    assert TemplateFormatter("m").print(thing) == text


@pytest.mark.parametrize("wrong", [None, 3, b"x", ["x"], object(), Message])
def test_what_cannot_be_said_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="cannot be put into a prompt"):
        TemplateFormatter("m").print(wrong)


def test_an_answer_that_failed_raises_its_error() -> None:
    lost = pending()
    lose(lost)
    with pytest.raises(ReplyError):
        TemplateFormatter("m").print(lost)


@pytest.mark.anyio
async def test_an_answer_on_its_way_is_an_error_that_says_so() -> None:
    from thunk.by_hand import Reply

    reply = Reply()
    with pytest.raises(PendingReplyError, match="await thunk"):
        TemplateFormatter("m").to_chat_messages([reply.thunk])
    reply.end()
    await reply.thunk


# Messages.


def test_entries_become_messages() -> None:
    parsed = answer("raw")
    parsed.parsed_repr = Message("assistant", "read")
    unread = pending()
    arrive(unread, "fresh")
    entries = [
        Message("system", "s"),
        Instruction("i"),
        answer("a"),
        parsed,
        unread,
        CBlock("b"),
        "t",
    ]
    messages = TemplateFormatter("m").to_chat_messages(entries)
    assert [(message.role, message.content) for message in messages] == [
        ("system", "s"),
        ("user", "i"),
        ("assistant", "a"),
        ("assistant", "read"),
        ("assistant", "fresh"),
        ("user", "b"),
        ("user", "t"),
    ]
    assert not unread.is_computed()  # nobody who asked has learned of it
    assert len(entries) == 7


def test_images_go_along_as_base64_and_url() -> None:
    images = [ImageBlock(f"data:image/png;base64,{PNG}"), ImageUrlBlock("http://a")]
    entries = [Message("user", "x", images=images), Instruction("i", images=images)]
    for message in TemplateFormatter("m").to_chat_messages(entries):
        assert message.images == (PNG, "http://a")


# Where templates come from.


def test_the_users_folder_wins_over_ours(tmp_path: Path) -> None:
    write(tmp_path, "default/Instruction", "mine: {{ description }}")
    for model in ("some-model", "granite4.1:3b"):
        formatter = TemplateFormatter(model, template_path=tmp_path)
        assert formatter.print(Instruction("d")) == "mine: d"
        assert formatter.print(Message("user", "m")) == "m"
    assert TemplateFormatter("m", template_path=str(tmp_path)).print(Instruction("d")) == "mine: d"


def test_the_family_that_says_most_about_the_model_wins(tmp_path: Path) -> None:
    for family in ("default", "granite", "granite4", "llama", "-"):
        write(tmp_path, f"{family}/Shown", family)

    def family_of(model: str) -> str:
        return TemplateFormatter(model, template_path=tmp_path).print(Shown())

    assert family_of("ibm/Granite-4.1:3b") == "granite4"
    assert family_of("granite-3") == "granite"
    assert family_of("Llama3") == "llama"
    assert family_of("mistral") == "default"


def test_a_family_may_have_families_and_all_may_stand_in_prompts(tmp_path: Path) -> None:
    for family in ("default", "granite", "granite/granite3.3", "llama/granite4"):
        write(tmp_path, f"prompts/{family}/Shown", family)

    def family_of(model: str) -> str:
        return TemplateFormatter(model, template_path=tmp_path).print(Shown())

    assert family_of("ibm/granite-3.3:8b") == "granite/granite3.3"
    assert family_of("granite4:micro") == "granite"
    assert family_of("mistral") == "default"


def test_the_names_are_tried_in_order(tmp_path: Path) -> None:
    write(tmp_path, "default/Shown", "by class")
    write(tmp_path, "default/Other", "by name")
    formatter = TemplateFormatter("m", template_path=tmp_path)
    assert formatter.print(Shown()) == "by class"
    assert formatter.print(Shown(order=["*", "Other"])) == "by class"
    assert formatter.print(Shown(order=["Other", "*"])) == "by name"
    assert formatter.print(Shown(order=["Missing", "Other"])) == "by name"
    assert formatter.print(Shown("inline", order=["Other"])) == "inline"


def test_a_class_may_have_templates_beside_its_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lib").mkdir()
    write(tmp_path / "lib" / "templates", "default/Mine", "beside")
    (tmp_path / "lib" / "their_module.py").write_text(
        "from motet import Component, TemplateRepresentation\n"
        "class Mine(Component[str]):\n"
        "    def parts(self): return []\n"
        "    def format_for_llm(self): return TemplateRepresentation(self, {})\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "lib")
    import their_module  # type: ignore[import-not-found]  # just written

    assert TemplateFormatter("m").print(their_module.Mine()) == "beside"
    user = write(tmp_path / "user", "default/Mine", "user")
    assert TemplateFormatter("m", template_path=user).print(their_module.Mine()) == "user"


def test_a_template_that_is_nowhere_names_where_it_was_looked_for(tmp_path: Path) -> None:
    formatter = TemplateFormatter("m", template_path=tmp_path)
    with pytest.raises(ValueError, match="no template for Shown: looked for Shown, X in") as caught:
        formatter.print(Shown(order=["*", "X"]))
    assert str(tmp_path) in str(caught.value)


def test_a_name_cannot_leave_the_folder(tmp_path: Path) -> None:
    write(tmp_path, "secret", "secret")
    write(tmp_path / "in", "default/x", "x")
    formatter = TemplateFormatter("m", template_path=tmp_path / "in")
    with pytest.raises(ValueError, match=r"template for Shown"):
        formatter.print(Shown(order=["../../secret"]))


def test_a_template_is_read_once_unless_asked_otherwise(tmp_path: Path) -> None:
    write(tmp_path, "default/Shown", "one")
    cached = TemplateFormatter("m", template_path=tmp_path)
    fresh = TemplateFormatter("m", template_path=tmp_path, use_template_cache=False)
    assert (cached.print(Shown()), fresh.print(Shown())) == ("one", "one")
    write(tmp_path, "default/Shown", "two")
    assert (cached.print(Shown()), fresh.print(Shown())) == ("one", "two")


def test_a_template_may_include_another(tmp_path: Path) -> None:
    write(tmp_path, "default/Shown", '{% include "default/Part.jinja2" %}!')
    write(tmp_path, "default/Part", "{{ a }}")
    assert TemplateFormatter("m", template_path=tmp_path).print(Shown(a="x")) == "x!"


# What templates may do.


@pytest.mark.parametrize(
    "template",
    [
        "{{ missing }}",
        "{{ a.__class__.__mro__ }}",
        "{{ a.append(1) }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{",
    ],
)
def test_a_template_that_may_not_or_cannot_is_named(template: str) -> None:
    with pytest.raises(ValueError, match="the template for Shown cannot be rendered"):
        TemplateFormatter("m").print(Shown(template, a=["x"]))


def test_an_argument_that_is_not_used_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    formatter = TemplateFormatter("m")
    with caplog.at_level(logging.WARNING, logger="motet"):
        for _ in range(2):
            formatter.print(Shown("{{ a }}", a="x", b="y", c=None))
    assert [record.getMessage() for record in caplog.records] == [
        "the template of a component does not use b"
    ]


def test_our_own_templates_use_all_they_are_given(caplog: pytest.LogCaptureFixture) -> None:
    everything = Instruction("d", ["r"], ["e"], {"k": "v"}, None, "p", "o").copy_and_repair("x")
    with caplog.at_level(logging.WARNING, logger="motet"):
        for model in ("m", "granite"):
            TemplateFormatter(model).print(everything)
            TemplateFormatter(model).print(Message("user", "m", documents=["d"]))
    assert caplog.records == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model_id": None}, "model_id should be a string, not NoneType"),
        ({"model_id": "m", "template_path": 3}, "template_path should be the path of a folder"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        TemplateFormatter(**arguments)
