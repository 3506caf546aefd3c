"""
Read replies piece by piece: one to its end, one only as far as it is wanted.

    python examples/stream.py [--loop trio] [--base-url http://127.0.0.1:11434]
"""

import argparse

import anyio

import motet
from motet.testing import Reply, open_server

STORY = "Once there was a robot. It counted sheep for a living. Then the sheep began to count it."


async def main(url: str) -> None:
    async with motet.open_session(base_url=url) as m:
        story = await m.ainstruct("Write a story of three sentences about a robot.")
        async for delta in story:
            print(delta, end="", flush=True)
        print()
        # The whole text is there as well, and awaiting it costs no second request.
        print(f"{len(await story)} characters, usage: {story.generation.usage}")

        print("The first sentence only:", end=" ")
        async with await m.ainstruct("Write another one.") as another:
            async for delta in another:
                sentence, stop, _ = delta.partition(".")
                print(sentence + stop, end="", flush=True)
                if stop:
                    break
        # Leaving the block has closed the request; what had arrived is the value.
        print()
        print(f"cancelled: {another.cancelled}, kept: {another.value!r}")


async def simulated() -> None:
    async with open_server(default=Reply(STORY, tokens_per_second=60)) as server:
        await main(server.url)
        await server.wait_idle()
        print("the server says:", ", ".join(reply.outcome.value for reply in server.replies))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--loop", choices=["asyncio", "trio"], default="asyncio")
    parser.add_argument("--base-url", help="an Ollama server instead of the simulated one")
    options = parser.parse_args()
    if options.base_url:
        anyio.run(main, options.base_url, backend=options.loop)
    else:
        anyio.run(simulated, backend=options.loop)
