"""
A conversation of three turns: one after the other, and all at once.

    python examples/chat.py [--loop trio] [--base-url http://127.0.0.1:11434]
"""

import argparse

import anyio

import motet
from motet.testing import Reply, open_server


async def sequential(m: motet.MelleaSession) -> None:
    for content in ("My name is Ada.", "What is my name?", "Spell it backwards."):
        answer = await m.achat(content)
        print(f"{content} -> {answer.content}")


async def concurrent(m: motet.MelleaSession) -> None:
    # No turn is lost: each prompt has the turns before it, and waits for their answers. So
    # the program does not wait, and the calls still go one after the other.
    questions = ["Name a river.", "Which sea does it flow into?", "How deep is that?"]
    answers = [await m.ainstruct(question) for question in questions]
    for question, answer in zip(questions, answers, strict=True):
        print(f"{question} -> {await answer}")


async def main(url: str) -> None:
    for talk in (sequential, concurrent):
        print("--", talk.__name__)
        async with motet.open_session(base_url=url, ctx=motet.ChatContext()) as m:
            await talk(m)
            print("entries in the context:", len(m.ctx.as_list()))


async def simulated() -> None:
    async with open_server() as server:
        said = ["Hello Ada.", "Ada.", "adA.", "The Rhine.", "The North Sea.", "700 metres."]
        server.script([Reply(text) for text in said])
        await main(server.url)
        print("messages in each request:", [len(each.body["messages"]) for each in server.replies])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--loop", choices=["asyncio", "trio"], default="asyncio")
    parser.add_argument("--base-url", help="an Ollama server instead of the simulated one")
    options = parser.parse_args()
    if options.base_url:
        anyio.run(main, options.base_url, backend=options.loop)
    else:
        anyio.run(simulated, backend=options.loop)
