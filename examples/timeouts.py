"""
What a deadline stops, as the server sees it.

The simulated server replies for minutes, and counts for whom it is working.

    python examples/timeouts.py [--loop trio]
"""

import argparse
import math

import anyio

import motet
from motet.testing import ModelServer, Reply, Stall, open_server

ENDLESS = Reply("word " * 10_000, tokens_per_second=50)


async def a_wait(m: motet.MelleaSession, server: ModelServer) -> None:
    thunk = await m.ainstruct("Count to ten thousand.")
    await server.wait_until(lambda: server.serving == 1)
    with anyio.move_on_after(0.3):
        await thunk
    print("the deadline has passed, the server works for:", server.serving)
    # For a quarter of a second somebody else may still come and want the reply.
    await server.wait_idle()
    print("nobody came, the server works for:", server.serving)
    try:
        await thunk
    except motet.GenerationCancelled as error:
        print(f"{type(error).__name__}: {error.reason}; kept: {error.partial[:4]!r}...")


async def a_block(m: motet.MelleaSession, server: ModelServer) -> None:
    async with await m.ainstruct("Count to ten thousand.") as thunk:
        await server.wait_until(lambda: server.serving == 1)
        with anyio.move_on_after(0.3):
            await thunk
    # Not a quarter of a second later, and no error: the block says that this was all.
    print("stopped:", thunk.cancelled, "kept:", repr((thunk.value or "")[:4]) + "...")
    await server.wait_idle()
    print("the server works for:", server.serving)


async def many(m: motet.MelleaSession, server: ModelServer) -> None:
    thunks = [await m.ainstruct(f"Count to ten thousand, voice {n}.") for n in range(20)]
    await server.wait_until(lambda: server.serving == 20)
    try:
        with anyio.fail_after(0.3):
            await motet.wait_for_all_mots(thunks)
    except TimeoutError:
        print("too late, the server works for:", server.serving)
    await server.wait_idle()
    print("and now for:", server.serving)


async def silence(m: motet.MelleaSession, server: ModelServer) -> None:
    # The other kind of limit: not for the whole reply, but for the longest pause in it.
    server.script([Reply("word word word word", tokens_per_second=math.inf, fault=Stall(3))])
    thunk = await m.ainstruct("Think.", model_options={motet.ModelOption.STREAM_TIMEOUT: 0.5})
    try:
        await thunk
    except motet.BackendTimeout as error:
        print(f"{type(error).__name__} after {error.timeout:g} s, kept: {error.partial!r}")


async def main() -> None:
    async with open_server(default=ENDLESS) as server:
        for example in (a_wait, a_block, many, silence):
            print(f"-- {example.__name__}")
            server.reset()
            async with motet.open_session(base_url=server.url) as m:
                await example(m, server)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--loop", choices=["asyncio", "trio"], default="asyncio")
    anyio.run(main, backend=parser.parse_args().loop)
