"""A backend that answers as the test tells it to, and remembers what it was asked."""

from collections import Counter
from typing import Any, ClassVar, Final

import anyio

from motet import Backend, BackendError, ReplyError, Request
from motet import Reply as ReplyWriter
from motet._thunk.generation import Generation
from motet._thunk.thunk import ModelOutputThunk
from motet._values.states import GenerationState

GATE: Final = "wait"
"""A prompt that begins with this is answered when the test opens its gate."""

FAIL: Final = "fail"
"""A prompt that begins with this is answered with an error."""


class ScriptedBackend(Backend):
    """Answers every prompt with ``re: `` and the prompt; see `GATE` and `FAIL`.

    Attributes:
        asked: the contents of the messages of every request, in the order of arrival.
        open: how many requests are being answered.
        usage: what is reported for every answer.
    """

    provider: ClassVar[str] = "scripted"

    def __init__(self, **options: Any) -> None:
        super().__init__("scripted-model", **options)
        self.asked: list[list[str]] = []
        self.open = 0
        self.usage: dict[str, Any] | None = None
        self.answer: str | None = None
        self.stopped: Counter[str] = Counter()
        self._gates: dict[str, anyio.Event] = {}

    def gate(self, prompt: str) -> anyio.Event:
        """Return what the answer to *prompt* waits for."""
        return self._gates.setdefault(prompt, anyio.Event())

    async def reply(self, request: Request, reply: ReplyWriter) -> None:
        self.asked.append([message.content for message in request.messages])
        prompt = request.messages[-1].content
        self.open += 1
        try:
            if prompt.startswith(GATE):
                await self.gate(prompt).wait()
            if prompt.startswith(FAIL):
                reply.feed("part")
                raise ReplyError("scripted failure")
            reply.feed(f"re: {prompt}" if self.answer is None else self.answer)
            reply.finish(usage=self.usage)
        except BackendError:
            raise
        except BaseException:
            self.stopped[prompt] += 1
            raise
        finally:
            self.open -= 1


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
