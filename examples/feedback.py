"""
Feedback analysed in steps of which some need others: with explicit waits, and without any.

    python examples/feedback.py [--loop trio] [--base-url http://127.0.0.1:11434]
"""

# A generative function has no body, and mypy cannot know that this is meant.
# mypy: disable-error-code="empty-body"

import argparse
from typing import Literal

import anyio

import motet
from motet.testing import Reply, serve_in_thread

FEEDBACK = (
    "The onboarding was confusing and took far too long. Support was helpful once I got through."
)
SUMMARISE = "Summarise this customer feedback in one sentence: {{text}}"
EXTRACT = "Extract JSON with main_complaint, positive_aspect, and urgency from: {{text}}"


@motet.generative
def classify_sentiment(summary: str) -> Literal["positive", "negative", "mixed"]:
    """Classify the overall sentiment of the customer feedback summary."""


@motet.generative
async def sentiment_of(summary: str) -> Literal["positive", "negative", "mixed"]:
    """Classify the overall sentiment of the customer feedback summary."""


async def with_waits(m: motet.MelleaSession) -> None:
    # Both take the raw feedback, so they run at the same time.
    summary = await m.ainstruct(SUMMARISE, user_variables={"text": FEEDBACK})
    issues = await m.ainstruct(EXTRACT, user_variables={"text": FEEDBACK})
    await motet.wait_for_all_mots([summary, issues])

    # A function that is not async may be called here, too. It blocks the event loop until
    # its value is there, which a program that does nothing else will not notice.
    sentiment = classify_sentiment(m, summary=str(summary))

    print("Summary:  ", summary.value)
    print("Sentiment:", sentiment)
    print("Issues:   ", issues.value)


async def without_waits(m: motet.MelleaSession) -> None:
    # The summary goes into the next step before it has arrived: that step waits for it, and
    # for nothing else. Meanwhile the issues are on their way.
    summary = await m.ainstruct(SUMMARISE, user_variables={"text": FEEDBACK})
    issues = await m.ainstruct(EXTRACT, user_variables={"text": FEEDBACK})
    sentiment = await sentiment_of(m, summary=summary)

    print("Summary:  ", await summary)
    print("Sentiment:", sentiment)
    print("Issues:   ", await issues)


async def main(url: str) -> None:
    async with motet.open_session(base_url=url) as m:
        print("-- with waits")
        await with_waits(m)
        print("-- without waits")
        await without_waits(m)


def simulated(loop: str) -> None:
    # In a thread of its own: on the event loop that classify_sentiment() blocks, the server
    # could not reply.
    with serve_in_thread(time_to_first_token=0.1) as server:
        summary = Reply("The start was hard, but support helped.")
        issues = Reply('{"main_complaint": "onboarding", "positive_aspect": "support"}')
        sentiment = Reply('{"result": "mixed"}')
        server.script([summary], when=lambda it: "Summarise" in it.prompt, repeat=True)
        server.script([issues], when=lambda it: "Extract JSON" in it.prompt, repeat=True)
        server.script([sentiment], when=lambda it: "sentiment" in it.prompt, repeat=True)
        anyio.run(main, server.url, backend=loop)
        print("requests:", len(server.replies))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--loop", choices=["asyncio", "trio"], default="asyncio")
    parser.add_argument("--base-url", help="an Ollama server instead of the simulated one")
    options = parser.parse_args()
    if options.base_url:
        anyio.run(main, options.base_url, backend=options.loop)
    else:
        simulated(options.loop)
