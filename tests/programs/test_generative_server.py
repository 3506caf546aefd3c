"""Generative functions and tools on the simulated server, as a program uses them."""

# A generative function has no body, and mypy cannot know that this is meant.
# mypy: disable-error-code="empty-body"

import json
from typing import Any, Literal

import attrs
import pydantic
import pytest

import motet
from motet import SimpleContext
from motet._language.objects import MObject, as_transform
from motet._programs.generative.stub import generative
from motet._programs.sampling.strategies import RejectionSamplingStrategy
from motet._programs.tools import acall_tools, chosen_output
from motet.testing.server import Reply, open_server, serve_in_thread

pytestmark = pytest.mark.anyio

FEEDBACK = "The onboarding was confusing. Support was helpful once I got through."


@generative
def classify_sentiment(summary: str) -> Literal["positive", "negative", "mixed"]:
    """Classify the overall sentiment of the customer feedback summary."""


@generative
async def aclassify_sentiment(summary: str) -> Literal["positive", "negative", "mixed"]:
    """Classify the overall sentiment of the customer feedback summary."""


class Issue(pydantic.BaseModel):
    complaint: str
    urgency: Literal["low", "high"]


@attrs.frozen
class Report:
    issues: list[str]
    score: float | None = None


@generative
async def extract(feedback: str) -> Issue:
    """Extract the main issue."""


@generative
async def summarise(feedback: str) -> Report:
    """Summarise as a report."""


def result(value: Any) -> Reply:
    return Reply(json.dumps({"result": value}))


async def test_a_summary_is_classified_after_it_was_waited_for() -> None:
    # The function blocks this event loop, so the server has one of its own.
    with serve_in_thread() as server:
        m = motet.start_session(base_url=server.url)
        server.script([*2 * [Reply("Confusing, then helpful.")], result("mixed")])
        summary, issues = [
            await m.ainstruct(text, user_variables={"text": FEEDBACK})
            for text in ("Summarise: {{text}}", "Extract JSON from: {{text}}")
        ]
        await motet.wait_for_all_mots([summary, issues])
        sentiment = classify_sentiment(m, summary=str(summary))
        assert f"{sentiment}" == "mixed"
        assert '- summary: "Confusing, then helpful." (str)' in server.requests[-1].prompt
        assert server.requests[-1].body["format"]["title"] == "ClassifySentimentResponse"
        await m.aclose()


async def test_a_summary_is_classified_without_having_been_waited_for() -> None:
    async with open_server() as server, motet.open_session(base_url=server.url) as m:
        server.script([Reply("Confusing, then helpful."), result("mixed")])
        summary = await m.ainstruct("Summarise: {{text}}", user_variables={"text": FEEDBACK})
        assert await aclassify_sentiment(m, summary=summary) == "mixed"
        assert '- summary: "Confusing, then helpful." (str)' in server.requests[-1].prompt


async def test_models_and_attrs_classes_come_back() -> None:
    async with open_server() as server, motet.open_session(base_url=server.url) as m:
        server.script(
            [
                Reply("It is confusing, I would say."),
                result({"complaint": "confusing", "urgency": "low"}),
                result({"issues": ["confusing"]}),
            ]
        )
        strategy = RejectionSamplingStrategy(loop_budget=2)
        issue = await extract(m, feedback=FEEDBACK, strategy=strategy)
        assert issue == Issue(complaint="confusing", urgency="low")
        assert await summarise(m, feedback=FEEDBACK) == Report(["confusing"])


class Table(MObject):
    """A table whose rows a model may sort."""

    def __init__(self, *rows: str) -> None:
        super().__init__()
        self.rows = list(rows)

    def sort(self, descending: bool = False) -> "Table":
        """Return the table with its rows in order.

        Args:
            descending: the last first.
        """
        return Table(*sorted(self.rows, reverse=descending))

    def __str__(self) -> str:
        return "\n".join(self.rows)


async def test_an_object_is_transformed_by_a_tool_of_its_own() -> None:
    async with open_server() as server:
        call = {"function": {"name": "sort", "arguments": {"descending": "true"}}}
        server.script([Reply("", tool_calls=[call])])
        backend = motet.OllamaModelBackend(base_url=server.url)
        table = Table("b", "a", "c")
        thunk = backend.begin(as_transform(table, "Last first"), SimpleContext(), tool_calls=True)
        transformed = chosen_output(table, "Last first", await acall_tools(thunk, backend))
        assert transformed.tool_output.rows == ["c", "b", "a"]
        (told,) = server.requests[0].body["tools"]
        assert told["function"]["description"] == "Return the table with its rows in order."
        assert told["function"]["parameters"]["properties"] == {
            "descending": {"type": "boolean", "default": False, "description": "the last first."}
        }
