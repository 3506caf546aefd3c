"""
Tools: an object that a model transforms by a method of it, and functions that it may call.

    python examples/tools.py [--loop trio] [--base-url http://127.0.0.1:11434]
"""

import argparse

import anyio

import motet
from motet.testing import Reply, open_server


@motet.mify
class Playlist:
    def __init__(self, titles: list[str]) -> None:
        self.titles = titles

    def without(self, word: str) -> "Playlist":
        """Return the playlist without the titles in which a word occurs.

        Args:
            word: the word.
        """
        return Playlist([title for title in self.titles if word not in title])

    def __str__(self) -> str:
        return "\n".join(self.titles)


@motet.tool
async def temperature(city: str) -> str:
    """Tell how warm it is.

    Args:
        city: the name of a city, in English.
    """
    await anyio.sleep(0.01)  # where a real one would ask a server
    return {"Paris": "21 degrees"}[city]


async def transform(m: motet.MelleaSession) -> None:
    songs = Playlist(["Blue Monday", "Rainy Days and Mondays", "Sunday Morning"])
    fewer = await m.atransform(songs, "Leave out everything about Mondays.")
    print(type(fewer).__name__, fewer.titles)


async def call_tools(m: motet.MelleaSession) -> None:
    thunk = await m.ainstruct(
        "How warm is it in {{city}}, and in Atlantis?",
        user_variables={"city": "Paris"},
        model_options={motet.ModelOption.TOOLS: [temperature]},
        tool_calls=True,
    )
    for message in await motet.acall_tools(thunk, m.backend):
        print(f"{message.name}({message.arguments}) -> {message.content}")
        m.ctx = m.ctx.add(message)
    answer = await m.ainstruct("Answer in one sentence.", await_result=True)
    print(answer.value)


async def main(url: str) -> None:
    async with motet.open_session(base_url=url, ctx=motet.ChatContext()) as m:
        await transform(m)
        m.reset()
        await call_tools(m)


def call(name: str, **arguments: str) -> dict[str, object]:
    return {"function": {"name": name, "arguments": arguments}}


async def simulated() -> None:
    async with open_server() as server:
        asks = [call("temperature", city="Paris"), call("temperature", city="Atlantis")]
        server.script(
            [
                Reply("", tool_calls=[call("without", word="Monday")]),
                Reply("", tool_calls=asks),
                Reply("It has 21 degrees in Paris, and nobody knows about Atlantis."),
            ]
        )
        await main(server.url)
        told = server.replies[0].body["tools"][0]["function"]
        print("the model was told of:", told["name"], "-", told["description"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--loop", choices=["asyncio", "trio"], default="asyncio")
    parser.add_argument("--base-url", help="an Ollama server instead of the simulated one")
    options = parser.parse_args()
    if options.base_url:
        anyio.run(main, options.base_url, backend=options.loop)
    else:
        anyio.run(simulated, backend=options.loop)
