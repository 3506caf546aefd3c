"""A backend whose replies take a known time and say a known thing."""

import json
from collections.abc import Callable
from typing import Any

import anyio
import attrs

import motet

# Seconds from the call to the last token.
SUMMARY_TAKES = 3.0
ISSUES_TAKE = 5.0
SENTIMENT_TAKES = 1.0
CHAIN = max(SUMMARY_TAKES + SENTIMENT_TAKES, ISSUES_TAKE)
TOKENS = 4


@attrs.frozen
class Asked:
    """What the backend was asked, and when by the event loop's clock."""

    kind: str
    prompt: str
    at: float


def usual_reply(asked: Asked) -> str:
    match asked.kind:
        case "summary":
            return "The customer is content."
        case "issues":
            issues = {"main_complaint": "slow", "positive_aspect": "kind", "urgency": "low"}
            return json.dumps(issues)
        case _:
            return json.dumps({"sentiment": "mixed"})


class PacedBackend(motet.Backend):
    """Replies in a known time.

    Args:
        say: gives the text of a reply, or raises what the backend is to raise.

    Attributes:
        asked: what it was asked so far.
        open: how many replies are being given.
        most_open: how many were at the same time.
    """

    def __init__(self, say: Callable[[Asked], str] = usual_reply) -> None:
        super().__init__("paced")
        self._say = say
        self.asked: list[Asked] = []
        self.open = 0
        self.most_open = 0

    def times(self, kind: str) -> list[float]:
        return [asked.at for asked in self.asked if asked.kind == kind]

    def prompts(self, kind: str) -> list[str]:
        return [asked.prompt for asked in self.asked if asked.kind == kind]

    async def reply(self, request: Any, reply: Any) -> None:
        prompt = request.messages[-1].content
        kind = (request.schema or {"title": "Summary"})["title"].lower()
        asked = Asked(kind, prompt, anyio.current_time())
        self.asked.append(asked)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            takes = {"summary": SUMMARY_TAKES, "issues": ISSUES_TAKE, "sentiment": SENTIMENT_TAKES}
            pause = takes[kind] / TOKENS
            await anyio.sleep(pause)
            text = self._say(asked)
            size = -(-len(text) // TOKENS)
            reply.feed(text[:size])
            for start in range(size, len(text), size):
                await anyio.sleep(pause)
                reply.feed(text[start : start + size])
            reply.finish(usage={"completion_tokens": TOKENS + 1})
        finally:
            self.open -= 1
