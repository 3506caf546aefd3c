"""
Summarise several reviews at once, report each as it arrives, and stop at a deadline.

    python examples/fan_out.py [--loop trio] [--base-url http://127.0.0.1:11434]
"""

import argparse

import anyio

import motet
from motet.testing import open_server

REVIEWS = [
    "The setup was confusing, but support answered within minutes.",
    "Fast delivery, exactly as described.",
    "It broke after a week and nobody replies to my mails.",
    "Does what it should. The manual could be shorter.",
    "My third one. I give them away as presents.",
]
DEADLINE = 30  # seconds, for all of them together


async def main(url: str) -> None:
    async with motet.open_session(base_url=url) as m:
        # Each call returns at once; the five requests are on their way together.
        summaries = [
            await m.ainstruct(
                "Summarise this review in one sentence: {{review}}",
                user_variables={"review": review},
            )
            for review in REVIEWS
        ]
        done = 0
        with anyio.move_on_after(DEADLINE) as deadline:
            async with motet.as_completed(summaries) as arriving:
                async for summary in arriving:
                    done += 1
                    print(f"{done} of {len(summaries)}: {await summary}", flush=True)
        if deadline.cancelled_caught:
            print(f"{len(summaries) - done} are late; their requests have been closed")


async def simulated() -> None:
    async with open_server(time_to_first_token=0.1, tokens_per_second=100) as server:
        await main(server.url)
        print(f"requests: {len(server.replies)}, still open: {server.serving}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--loop", choices=["asyncio", "trio"], default="asyncio")
    parser.add_argument("--base-url", help="an Ollama server instead of the simulated one")
    options = parser.parse_args()
    if options.base_url:
        anyio.run(main, options.base_url, backend=options.loop)
    else:
        anyio.run(simulated, backend=options.loop)
