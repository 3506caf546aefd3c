"""A context as a list of messages."""

from contextlib import suppress
from typing import Any

import pytest

from motet import (
    BackendError,
    CBlock,
    Document,
    Instruction,
    Message,
    ModelOutputThunk,
    PendingReplyError,
    SimpleContext,
)
from motet._language.history import as_chat_history, as_generic_chat_history
from motet.testing import ScriptedBackend
from programs.scripted import broken


def answered(text: str, parsed: Any) -> ModelOutputThunk[Any]:
    return ModelOutputThunk(text, parsed_repr=parsed)


def said(messages: list[Message]) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in messages]


CHAT = (
    SimpleContext()
    .add(Message("system", "be kind"))
    .add(Message("user", "hello"))
    .add(answered("raw", Message("assistant", "hi")))
)
MIXED = (
    CHAT.add(CBlock("a block"))
    .add(answered("raw", "parsed"))
    .add(answered("raw", None))
    .add(answered("raw", 42))
    .add(Document("words"))
)


@pytest.mark.parametrize("history", [as_chat_history, as_generic_chat_history])
def test_a_chat_is_its_messages(history: Any) -> None:
    assert said(history(CHAT)) == [
        ("system", "be kind"),
        ("user", "hello"),
        ("assistant", "hi"),
    ]
    assert history(SimpleContext()) == []


def test_what_is_no_chat_is_refused() -> None:
    with pytest.raises(TypeError, match="Document"):
        as_chat_history(CHAT.add(Document("words")))
    with pytest.raises(TypeError, match="ModelOutputThunk"):
        as_chat_history(CHAT.add(answered("raw", "parsed")))


def test_anything_becomes_a_message_of_the_generic_history(
    caplog: pytest.LogCaptureFixture,
) -> None:
    messages = said(as_generic_chat_history(MIXED))
    assert messages[3:7] == [
        ("user", "a block"),
        ("assistant", "parsed"),
        ("assistant", "raw"),
        ("assistant", "42"),
    ]
    assert messages[7][0] == "user"
    assert [record.getMessage().split()[1] for record in caplog.records] == ["int", "Document"]


def test_a_formatter_says_what_is_no_text(caplog: pytest.LogCaptureFixture) -> None:
    messages = as_generic_chat_history(MIXED, lambda thing: f"<{type(thing).__name__}>")
    assert said(messages)[6:] == [("assistant", "<int>"), ("user", "<Document>")]
    assert not caplog.records


@pytest.mark.anyio
@pytest.mark.parametrize("history", [as_chat_history, as_generic_chat_history])
async def test_an_answer_that_has_not_arrived_is_an_error(history: Any) -> None:
    backend = ScriptedBackend([[60, "late"]])
    message = Message("user", "hello")
    async with backend.begin(message, SimpleContext()) as thunk:
        with pytest.raises(PendingReplyError):
            history(SimpleContext().add(message).add(thunk))


@pytest.mark.anyio
async def test_a_turn_that_failed_is_left_out() -> None:
    backend = ScriptedBackend([[broken()], "fine"])
    ctx = SimpleContext()
    for text in ("one", "two"):
        message = Message("user", text)
        thunk = backend.begin(message, ctx)
        ctx = ctx.add(message).add(thunk)
        with suppress(BackendError):
            await thunk
    assert said(as_chat_history(ctx)) == [("user", "two"), ("assistant", "fine")]


@pytest.mark.anyio
async def test_an_answer_that_nobody_has_looked_at_is_there() -> None:
    backend = ScriptedBackend("fine")
    thunk = backend.begin(Instruction("go"), SimpleContext())
    async for _ in thunk:
        pass
    ctx = SimpleContext().add(thunk)
    assert said(as_generic_chat_history(ctx)) == [("assistant", "fine")]
