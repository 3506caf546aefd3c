"""A user's program: it asks two models and takes whichever answers first."""

import anyio

import motet


async def first_answer(m: motet.MelleaSession, question: str) -> str:
    thunks = [await m.ainstruct(f"{question} ({style})") for style in ("short", "long")]
    return str(await motet.first_valid(thunks))


async def first_answer_that_forgets(m: motet.MelleaSession, question: str) -> str:
    """The same with a bug: the other request goes on."""
    thunks = [await m.ainstruct(f"{question} ({style})") for style in ("short", "long")]
    async with motet.as_completed(thunks[:1]) as arriving:
        async for thunk in arriving:
            return await thunk
    raise AssertionError


async def patient(m: motet.MelleaSession, question: str) -> str:
    while True:
        try:
            return await (await m.ainstruct(question))
        except motet.BackendError:
            await anyio.sleep(3600)
