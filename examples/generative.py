"""
Functions whose body is a model: one returns an object, one a choice.

    python examples/generative.py [--loop trio] [--base-url http://127.0.0.1:11434]
"""

# A generative function has no body, and mypy cannot know that this is meant.
# mypy: disable-error-code="empty-body"

import argparse
from typing import Literal

import anyio
import pydantic

import motet
from motet.testing import Reply, open_server


class Booking(pydantic.BaseModel):
    name: str
    guests: int
    vegetarian: bool = False


@motet.generative
async def read_booking(mail: str) -> Booking:
    """Find out from a mail who wants to book a table, and for how many."""


@motet.generative
async def urgency_of(mail: str) -> Literal["now", "today", "whenever"]:
    """Say how soon somebody has to read a mail."""


MAIL = "A table for four tonight please, one of us eats no meat. Yours, Ada"


async def main(url: str) -> None:
    async with motet.open_session(base_url=url) as m:
        booking = await read_booking(m, mail=MAIL)
        print(repr(booking))
        print(repr(await urgency_of(m, mail=MAIL)))

        # A strategy has a reply repaired that is not of the right type.
        repaired = await read_booking(
            m, mail=MAIL, strategy=motet.RepairTemplateStrategy(loop_budget=3)
        )
        print("the same again:", repaired == booking)

        # Without one, it is an error, which has the reply.
        try:
            print(await urgency_of(m, mail="Does anybody read this?"))
        except motet.ReplyMismatch as error:
            print(type(error).__name__, "at", error.reasons[0], "- it was", error.reply)


async def simulated() -> None:
    async with open_server() as server:
        booking = '{"result": {"name": "Ada", "guests": 4, "vegetarian": true}}'
        server.script(
            [
                Reply(booking),
                Reply('{"result": "today"}'),
                Reply('{"result": {"name": "Ada", "guests": "a few"}}'),
                Reply(booking),
                Reply('{"result": "never"}'),
            ]
        )
        await main(server.url)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--loop", choices=["asyncio", "trio"], default="asyncio")
    parser.add_argument("--base-url", help="an Ollama server instead of the simulated one")
    options = parser.parse_args()
    if options.base_url:
        anyio.run(main, options.base_url, backend=options.loop)
    else:
        anyio.run(simulated, backend=options.loop)
