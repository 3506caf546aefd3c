"""A backend that answers as the test tells it to, and remembers what it was asked."""

from collections import Counter
from typing import Any, Final

import anyio

from motet import ReplyError
from motet._thunk.generation import Generation
from motet._thunk.thunk import ModelOutputThunk
from motet._values.states import GenerationState
from motet.testing import Finish, ReplyOutcome, ScriptedBackend, ScriptedRequest, ScriptedStep

GATE: Final = "wait"
"""A prompt that begins with this is answered when the test opens its gate."""

FAIL: Final = "fail"
"""A prompt that begins with this is answered with an error."""


class EchoBackend(ScriptedBackend):
    """Answers every prompt with ``re: `` and the prompt; see `GATE` and `FAIL`.

    Attributes:
        usage: what is reported for every answer.
        answer: what is answered instead.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(self._answer_to, **options)
        self.usage: dict[str, Any] = {}
        self.answer: str | None = None
        self._gates: dict[str, anyio.Event] = {}

    @property
    def asked(self) -> list[list[str]]:
        """The contents of the messages of every request, in the order of arrival."""
        return [[message.content for message in each.messages] for each in self.requests]

    @property
    def stopped(self) -> Counter[str]:
        """How often the reply to each prompt was cancelled."""
        cancelled = (each for each in self.requests if each.outcome is ReplyOutcome.CANCELLED)
        return Counter(each.prompt for each in cancelled)

    def gate(self, prompt: str) -> anyio.Event:
        """Return what the answer to *prompt* waits for."""
        return self._gates.setdefault(prompt, anyio.Event())

    def _answer_to(self, asked: ScriptedRequest) -> list[ScriptedStep]:
        if asked.prompt.startswith(FAIL):
            return ["part", ReplyError("scripted failure")]
        text = f"re: {asked.prompt}" if self.answer is None else self.answer
        wait = [self.gate(asked.prompt)] if asked.prompt.startswith(GATE) else []
        return [*wait, text, Finish(usage=self.usage)]


def answer(text: str, **usage: int) -> ModelOutputThunk[Any]:
    """Return an answer that is there already."""
    thunk: ModelOutputThunk[Any] = ModelOutputThunk(text)
    thunk.generation.usage = dict(usage) or None
    return thunk


# Answers in any state, without an event loop.


def pending() -> ModelOutputThunk[Any]:
    """Return an answer that is on its way until `arrive` or `lose` is called."""
    return ModelOutputThunk(None)


def arrive(thunk: ModelOutputThunk[Any], text: str = "arrived") -> None:
    """Have an answer arrive."""
    thunk._source = Generation.finished(text)


def lose(thunk: ModelOutputThunk[Any]) -> None:
    """Have an answer fail."""
    failed = Generation.finished("")
    failed.state = GenerationState.FAILED
    failed.error = ReplyError("lost")
    thunk._source = failed
