"""
Ask several times at once, take the first reply that will do, and stop the others.

    python examples/first_valid.py [--loop trio] [--base-url http://127.0.0.1:11434]
"""

import argparse
import json

import anyio
import pydantic

import motet
from motet.testing import Reply, open_server


class Person(pydantic.BaseModel):
    name: str
    age: int


def is_plausible(thunk: motet.ModelOutputThunk[str]) -> bool:
    try:
        return 0 <= Person.model_validate_json(thunk.value or "").age < 130
    except pydantic.ValidationError:
        return False


async def main(url: str) -> None:
    async with motet.open_session(base_url=url) as m:
        attempts = [
            await m.ainstruct(
                "Invent a person. Seed: {{seed}}",
                user_variables={"seed": seed},
                format=Person,
                model_options={motet.ModelOption.SEED: seed},
            )
            for seed in range(4)
        ]
        try:
            winner = await motet.first_valid(attempts, is_plausible)
        except motet.NoValidReply as error:
            print(error)
        else:
            print(Person.model_validate_json(str(winner)))


async def simulated() -> None:
    slow = Reply(json.dumps({"name": "Methuselah", "age": 969}), tokens_per_second=2)
    async with open_server(default=slow) as server:
        # Of the four, one is quick and wrong and one takes a little longer and is right.
        server.script(
            [
                Reply(json.dumps({"name": "Nestor", "age": 200})),
                Reply(json.dumps({"name": "Ada", "age": 36}), time_to_first_token=0.2),
            ]
        )
        await main(server.url)
        await server.wait_idle()
        print("the server says:", sorted(reply.outcome.value for reply in server.replies))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--loop", choices=["asyncio", "trio"], default="asyncio")
    parser.add_argument("--base-url", help="an Ollama server instead of the simulated one")
    options = parser.parse_args()
    if options.base_url:
        anyio.run(main, options.base_url, backend=options.loop)
    else:
        anyio.run(simulated, backend=options.loop)
