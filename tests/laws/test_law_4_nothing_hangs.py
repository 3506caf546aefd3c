"""Law 4. Any number of tasks may wait for one thunk; what cannot work is an error at once.

A second simultaneous reader, a wrong event loop, a thunk of a closed loop, a closed
session, a server that is silent or not there: each says what to do.
"""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from motet import (
    BackendError,
    BackendTimeout,
    BackendUnavailable,
    GenerationCancelled,
    ModelOutputThunk,
    SessionClosed,
    SingleReaderError,
    WrongEventLoop,
    as_completed,
    gather_all,
    open_session,
    start_session,
    wait_for_all_mots,
)
from motet._values.errors import PendingReplyError, Phase
from motet._values.options import ModelOption
from motet.testing import EndlessHeaders, EndlessLine, ModelServer, Reply, Stall
from thunk.by_hand import Reply as HandFed
from thunk.by_hand import others_wait

Thunk = ModelOutputThunk[Any]
Loop = Callable[[], tuple[str, dict[str, Any]]]


@pytest.mark.anyio
async def test_everybody_may_wait_in_every_way_at_the_same_time(server: ModelServer) -> None:
    server.script([Reply("Hello", tokens_per_second=20)])
    texts: list[str | None] = []

    async with open_session(base_url=server.url) as session:
        thunk = await session.ainstruct("Say hello.")

        async def by_arrivals() -> None:
            async with as_completed([thunk, thunk]) as arriving:
                texts.extend([await mot async for mot in arriving])

        async def by_gather() -> None:
            texts.extend(outcome.value for outcome in await gather_all([thunk, thunk]))

        async def by_wait() -> None:
            await wait_for_all_mots([thunk, thunk])
            texts.append(thunk.value)

        async def by_str() -> None:
            texts.append(await anyio.to_thread.run_sync(str, thunk))

        async def by_deltas() -> None:
            texts.append("".join([delta async for delta in thunk]))

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                for _ in range(5):
                    for way in (by_arrivals, by_gather, by_wait, by_str):
                        tasks.start_soon(way)
                tasks.start_soon(by_deltas)
    assert texts == ["Hello"] * (5 * 5 + 1)


@pytest.mark.anyio
async def test_a_second_reader_is_an_error_at_once() -> None:
    reply = HandFed()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reply.thunk.astream)
        await others_wait()
        with anyio.fail_after(5):
            for read in (reply.thunk.astream, aiter(reply.thunk).__anext__):
                with pytest.raises(SingleReaderError, match="in one task"):
                    await read()
        reply.end()


@pytest.mark.anyio
async def test_what_belongs_to_another_loop_is_an_error_at_once(server: ModelServer) -> None:
    server.script([Stall(1)])
    session = start_session(base_url=server.url)
    ready, over = threading.Event(), threading.Event()
    kept: list[Thunk] = []
    begun: list[AsyncIterator[str]] = []

    async def elsewhere() -> None:
        kept.append(await session.ainstruct("Say something."))
        begun.append(aiter(kept[0]))
        await anext(begun[0])  # or the request would be at the server in the next test only
        ready.set()
        await anyio.to_thread.run_sync(over.wait)

    thread = threading.Thread(target=anyio.run, args=(elsewhere,))
    thread.start()
    try:
        await anyio.to_thread.run_sync(ready.wait)
        (thunk,) = kept
        with anyio.fail_after(60):
            for call in (
                thunk.avalue,
                thunk.astream,
                begun[0].__anext__,
                thunk.cancel_generation,
                lambda: wait_for_all_mots([thunk]),
                lambda: gather_all([thunk]),
                lambda: session.ainstruct("Say {{it}}.", user_variables={"it": thunk}),
                lambda: session.ainstruct("Say it.", grounding_context={"it": thunk}),
            ):
                with pytest.raises(WrongEventLoop, match="await it there, or resolve it"):
                    await call()
            with pytest.raises(WrongEventLoop):
                str(thunk)
    finally:
        over.set()
        thread.join()


def test_a_thunk_of_a_loop_that_is_over_has_an_outcome(
    server: ModelServer, real_loop: Loop
) -> None:
    server.script([Stall(1)])
    kept: list[Thunk] = []

    async def first() -> None:
        thunk = await start_session(base_url=server.url).ainstruct("Say something.")
        kept.append(thunk)
        await thunk.astream()

    async def second() -> None:
        for call in (kept[0].avalue, lambda: wait_for_all_mots(kept)):
            with anyio.fail_after(5), pytest.raises(GenerationCancelled, match="event loop ended"):
                await call()
        # It had been read from, so the text comes before the error, in the end it is raised.
        with anyio.fail_after(5), pytest.raises(GenerationCancelled):
            while True:
                await kept[0].astream()

    for main in (first, second):
        name, options = real_loop()
        anyio.run(main, backend=name, backend_options=options)
    with pytest.raises(GenerationCancelled):
        str(kept[0])


@pytest.mark.anyio
async def test_text_of_a_pending_reply_on_its_own_loop_is_an_error_at_once(
    server: ModelServer,
) -> None:
    server.script([Stall(0)])
    async with open_session(base_url=server.url) as session:
        thunk = await session.ainstruct("Say something.")
        with pytest.raises(PendingReplyError, match="await thunk"):
            f"{thunk}"


@pytest.mark.anyio
async def test_a_call_on_a_session_that_has_ended_is_an_error_at_once(
    server: ModelServer,
) -> None:
    async with open_session(base_url=server.url) as session:
        pass
    with anyio.fail_after(5):
        for call in (session.ainstruct, session.achat):
            with pytest.raises(SessionClosed, match="inside the block"):
                await call("Say something.")
        await session.aclose()
    assert server.replies == ()


@pytest.mark.anyio
async def test_closing_a_session_from_several_tasks_does_not_hang(server: ModelServer) -> None:
    server.script([Stall(1)], repeat=True)
    with anyio.fail_after(60):
        async with open_session(base_url=server.url) as session:
            for _ in range(5):
                await session.ainstruct("Say something.")
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(session.aclose)


@pytest.mark.anyio
async def test_a_server_that_is_not_there_is_an_error_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and not listening
        port = taken.getsockname()[1]
        async with open_session(base_url=f"http://127.0.0.1:{port}") as session:
            with anyio.fail_after(30), pytest.raises(BackendUnavailable, match="ollama serve"):
                await (await session.ainstruct("Say something."))


SILENCES = {
    "before the headers": (Reply(time_to_first_token=3600), Phase.HEADERS),
    "before the first token": (
        Reply(time_to_first_token=3600, headers_at_once=True),
        Phase.FIRST_TOKEN,
    ),
    "between two tokens": (Reply(["a", "b"], fault=Stall(1)), Phase.STREAMING),
}


@pytest.mark.anyio
@pytest.mark.parametrize("silence", SILENCES)
async def test_a_silent_server_is_a_named_error_after_the_limit(
    server: ModelServer, silence: str
) -> None:
    step, phase = SILENCES[silence]
    server.script([step])
    async with open_session(base_url=server.url) as session:
        thunk = await session.ainstruct(
            "Say something.", model_options={ModelOption.STREAM_TIMEOUT: 0.3}
        )
        with anyio.fail_after(30), pytest.raises(BackendTimeout, match="STREAM_TIMEOUT") as caught:
            await thunk
    assert caught.value.timeout == 0.3
    assert caught.value.phase is phase


@pytest.mark.anyio
@pytest.mark.parametrize("step", [EndlessHeaders(), EndlessLine(1)], ids=lambda s: type(s).__name__)
async def test_what_has_no_end_is_given_one(server: ModelServer, step: Any) -> None:
    server.script([step])
    async with open_session(base_url=server.url) as session:
        with anyio.fail_after(60), pytest.raises(BackendError):
            await (await session.ainstruct("Say something."))
    with anyio.fail_after(60):
        await server.wait_idle()


@pytest.mark.anyio
async def test_a_sync_call_with_a_pending_thunk_of_the_loop_it_blocks_is_an_error_at_once(
    server: ModelServer,
) -> None:
    server.script([Stall(0)])
    async with open_session(base_url=server.url) as session:
        thunk = await session.ainstruct("Say something.")
        with pytest.raises(WrongEventLoop, match="resolve it"):
            session.instruct("Say {{it}}.", user_variables={"it": thunk})


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "uvloop"], indirect=True)
async def test_gathering_the_tasks_of_the_loop_does_not_hang(server: ModelServer) -> None:
    server.script([Reply("Hello")])
    thunk = await start_session(base_url=server.url).ainstruct("Say hello.")
    others = [
        task
        for task in asyncio.all_tasks() - {asyncio.current_task()}
        if task.get_name() == "motet generation"
    ]
    with anyio.fail_after(60):
        await asyncio.gather(*others)
    assert await thunk == "Hello"
