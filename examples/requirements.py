"""
An instruction with two requirements, of which one is not met at first.

    python examples/requirements.py [--loop trio] [--base-url http://127.0.0.1:11434]
"""

import argparse

import anyio

import motet
from motet.testing import Reply, open_server


def is_short(text: str) -> tuple[bool, str]:
    count = len(text.split())
    return count <= 12, f"It has {count} words, and 12 is the most."


async def main(url: str) -> None:
    async with motet.open_session(base_url=url) as m:
        result = await m.ainstruct(
            "Write an invitation to a rehearsal.",
            requirements=[
                motet.req("Use 12 words at most.", motet.simple_validate(is_short)),
                "Name the day.",  # no function checks this, so the model is asked
            ],
            # Says in the next prompt what was wrong; the default strategy just asks again.
            strategy=motet.RepairTemplateStrategy(loop_budget=3),
            return_sampling_results=True,
        )
        attempts = zip(result.sample_generations, result.sample_validations, strict=True)
        for number, (thunk, validations) in enumerate(attempts, 1):
            print(f"attempt {number}: {thunk.value}")
            for requirement, verdict in validations:
                met = "met" if verdict else f"not met. {verdict.reason}"
                print(f"    {requirement.description} - {met}")
        print("success:", result.success)
        print("the session keeps:", m.ctx.last_output())


async def simulated() -> None:
    async with open_server() as server:
        long = (
            "I would be delighted if you came to our rehearsal on Tuesday evening in the old hall."
        )
        invitations = [Reply(long), Reply("Come to our rehearsal on Tuesday!")]
        server.script(invitations, when=lambda it: "Write an invitation" in it.prompt)
        server.script([Reply("yes")], when=lambda it: "Judge" in it.prompt, repeat=True)
        await main(server.url)
        # Two attempts, and a judge for each of them.
        print("requests:", len(server.replies))
        second = [each.prompt for each in server.replies if "Write" in each.prompt][1]
        print("the second attempt was told:", *second.splitlines()[-2:], sep="\n    ")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--loop", choices=["asyncio", "trio"], default="asyncio")
    parser.add_argument("--base-url", help="an Ollama server instead of the simulated one")
    options = parser.parse_args()
    if options.base_url:
        anyio.run(main, options.base_url, backend=options.loop)
    else:
        anyio.run(simulated, backend=options.loop)
