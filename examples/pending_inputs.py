r"""
Replies as inputs of other calls, before they have arrived: a diamond.

         facts
        /     \
     pros     cons       asked at the same time, as soon as the facts are there
        \     /
        verdict

    python examples/pending_inputs.py [--loop trio] [--base-url http://127.0.0.1:11434]
"""

import argparse

import anyio

import motet
from motet.testing import Reply, open_server


async def main(url: str) -> None:
    async with motet.open_session(base_url=url) as m:
        # None of these four lines waits for a reply. Each call waits in its own task for
        # the replies it was given, and the facts are asked for once.
        facts = await m.ainstruct("List three facts about bicycles.")
        pros = await m.ainstruct("Argue for them.", grounding_context={"facts": facts})
        cons = await m.ainstruct("Argue against them.", grounding_context={"facts": facts})
        verdict = await m.ainstruct(
            "Weigh this: {{pros}} Against this: {{cons}}",
            user_variables={"pros": pros, "cons": cons},
        )
        try:
            print(await verdict)
        except motet.DependencyError as error:
            print(error, "- caused by", repr(error.__cause__))


async def simulated() -> None:
    async with open_server(time_to_first_token=0.1) as server:
        server.script([Reply("Two wheels, no engine.")], when=lambda it: "List three" in it.prompt)
        server.script([Reply("They are quiet.")], when=lambda it: "Argue for" in it.prompt)
        server.script([Reply("They fall over.")], when=lambda it: "Argue against" in it.prompt)
        server.script([Reply("Quiet is worth a fall.")], when=lambda it: "Weigh" in it.prompt)
        await main(server.url)
        print("requests:", len(server.replies))
        print("the last one said:", server.replies[-1].prompt)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--loop", choices=["asyncio", "trio"], default="asyncio")
    parser.add_argument("--base-url", help="an Ollama server instead of the simulated one")
    options = parser.parse_args()
    if options.base_url:
        anyio.run(main, options.base_url, backend=options.loop)
    else:
        anyio.run(simulated, backend=options.loop)
