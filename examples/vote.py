"""
A majority vote of five: the answer that most of them agree on.

    python examples/vote.py [--loop trio] [--base-url http://127.0.0.1:11434]
"""

import argparse

import anyio

import motet
from motet.testing import Reply, open_server


def number_in(thunk: motet.ModelOutputThunk[str]) -> str:
    """Return what is compared: "It is 42." and "42" are the same answer."""
    return "".join(character for character in thunk.value or "" if character.isdigit())


async def main(url: str) -> None:
    vote = motet.MajorityVotingStrategy(number_of_samples=5, key=number_in)
    async with motet.open_session(base_url=url) as m:
        # The five samples run inside the generation, which has started when this returns.
        answer = await m.ainstruct("What is six times seven?", strategy=vote)
        await answer
        print(f"{number_in(answer)}, as one of them puts it: {answer}")


async def simulated() -> None:
    said = [
        Reply("42"),
        Reply("It is 42."),
        Reply("I think 54."),
        Reply("The answer: 42", time_to_first_token=0.3),
        Reply("It might well be... 48?", time_to_first_token=60),
    ]
    async with open_server() as server:
        server.script(said)
        await main(server.url)
        # Three of five are enough, so nobody waits for the last.
        await server.wait_idle()
        print("the server says:", sorted(each.outcome.value for each in server.replies))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--loop", choices=["asyncio", "trio"], default="asyncio")
    parser.add_argument("--base-url", help="an Ollama server instead of the simulated one")
    options = parser.parse_args()
    if options.base_url:
        anyio.run(main, options.base_url, backend=options.loop)
    else:
        anyio.run(simulated, backend=options.loop)
