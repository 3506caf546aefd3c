"""
Feedback in a batch: all calls are started, then all are waited for.

    python examples/batch.py [--loop trio] [--base-url http://127.0.0.1:11434]
"""

import argparse
import time

import anyio

import motet
from motet.testing import open_server

FEEDBACK = [
    "The onboarding was confusing and took far too long. Support was helpful once I got through.",
    "Product works great but the mobile app crashes frequently. No response from support.",
    "Fast delivery, exactly as described. Will order again.",
    "Billing charged me twice. Still waiting for a refund after two weeks.",
]


async def summarise(m: motet.MelleaSession, items: list[str]) -> list[str]:
    thunks = []
    for item in items:
        # This await starts the call; it does not wait for the reply.
        thunk = await m.ainstruct(
            "Summarise this customer feedback in one sentence: {{text}}",
            user_variables={"text": item},
        )
        thunks.append(thunk)
    print("arrived already:", [thunk.is_computed() for thunk in thunks])

    await motet.wait_for_all_mots(thunks)
    return [thunk.value or "" for thunk in thunks]


async def main(url: str) -> None:
    async with motet.open_session(base_url=url) as m:
        started = time.monotonic()
        for summary in await summarise(m, FEEDBACK):
            print("-", summary)
        print(f"{len(FEEDBACK)} calls took {time.monotonic() - started:.1f} s")


async def simulated() -> None:
    # Each reply takes the server a third of a second at least.
    async with open_server(time_to_first_token=0.3) as server:
        await main(server.url)
        first_reply = min(reply.ended_at or 0 for reply in server.replies)
        early = sum(reply.arrived_at < first_reply for reply in server.replies)
        print("requests that arrived before the first reply:", early)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--loop", choices=["asyncio", "trio"], default="asyncio")
    parser.add_argument("--base-url", help="an Ollama server instead of the simulated one")
    options = parser.parse_args()
    if options.base_url:
        anyio.run(main, options.base_url, backend=options.loop)
    else:
        anyio.run(simulated, backend=options.loop)
