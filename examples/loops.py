"""
motet beside an event loop's own tools: asyncio's task groups and timeouts, or Trio's.

    python examples/loops.py [--loop trio]
"""

import argparse
import asyncio

import trio

import motet
from motet.testing import Reply, open_server

ENDLESS = Reply("word " * 10_000, tokens_per_second=50)


async def with_asyncio(m: motet.MelleaSession) -> None:
    hello = await m.ainstruct("Say hello.")
    # Any number of tasks may wait for one reply; all get the same.
    async with asyncio.TaskGroup() as tasks:
        waits = [tasks.create_task(hello.avalue()) for _ in range(3)]
    print([wait.result() for wait in waits])

    endless = await m.ainstruct("Count to ten thousand.")
    try:
        async with asyncio.timeout(0.2):
            await endless
    except TimeoutError:
        print("asyncio.timeout() ended the wait")


async def with_trio(m: motet.MelleaSession) -> None:
    hello = await m.ainstruct("Say hello.")
    texts: list[str] = []

    async def wait() -> None:
        texts.append(await hello)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(wait)
    print(texts)

    endless = await m.ainstruct("Count to ten thousand.")
    with trio.move_on_after(0.2) as scope:
        await endless
    if scope.cancelled_caught:
        print("trio.move_on_after() ended the wait")


async def main(loop: str) -> None:
    async with open_server(default=ENDLESS) as server:
        server.script([Reply("Hello.")])
        async with motet.open_session(base_url=server.url) as m:
            await (with_trio(m) if loop == "trio" else with_asyncio(m))
        await server.wait_idle()
        print("the server works for:", server.serving)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--loop", choices=["asyncio", "trio"], default="asyncio")
    options = parser.parse_args()
    if options.loop == "trio":
        trio.run(main, "trio")
    else:
        asyncio.run(main("asyncio"))
