"""The OpenAI backend against llama.cpp's own server: streams, hang-ups, many at once."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import anyio
import pydantic
import pytest

from motet import ModelOption, StatusError, open_session, wait_for_all_mots
from motet._http.client import shared_transport
from motet._runtime.host import current_host
from motet.backends import OpenAIBackend

from .tiny_model import write_tiny_model

pytestmark = pytest.mark.anyio

SLOTS: Final = 4
LONG: Final = {ModelOption.MAX_NEW_TOKENS: 16_000}


class Verdict(pydantic.BaseModel):
    good: bool


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    model = tmp_path_factory.mktemp("model") / "tiny.gguf"
    write_tiny_model(model)
    program = Path(__file__).with_name("llama_server.py")
    with subprocess.Popen(
        [sys.executable, str(program), str(model)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("listening: "):
                break
        else:
            raise RuntimeError("llama.cpp's server did not start")
        yield line.removeprefix("listening: ").strip()
        process.terminate()


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as response:
        data: bytes = response.read()
    return data


async def busy_slots(url: str) -> int:
    """Count the slots that are at work, as the server sees it."""
    slots = json.loads(await anyio.to_thread.run_sync(fetched, f"{url}/slots"))
    return sum(slot["is_processing"] for slot in slots)


async def wait_for_slots(url: str, busy: int) -> float:
    """Wait until so many slots are at work; return the seconds it took."""
    began = time.perf_counter()
    with anyio.fail_after(20):
        while await busy_slots(url) != busy:  # noqa: ASYNC110 - the server tells nobody
            await anyio.sleep(0.002)
    return time.perf_counter() - began


def tell(what: str, anyio_backend: Any, figure: str) -> None:
    loop = "uvloop" if anyio_backend[1].get("use_uvloop") else anyio_backend[0]
    print(f"\n  {what}, {loop}: {figure}", end="")


def session(url: str, **more: Any) -> open_session:
    return open_session("openai", "tiny", base_url=f"{url}/v1", **more)


async def test_a_reply_streams_with_its_facts(url: str, anyio_backend: Any) -> None:
    async with session(url) as m:
        thunk = await m.ainstruct("Say something.", model_options={ModelOption.MAX_NEW_TOKENS: 40})
        began = time.perf_counter()
        pieces = [piece async for piece in thunk]
        seconds = time.perf_counter() - began
        facts = thunk.generation
        assert facts.usage is not None
        assert facts.usage["completion_tokens"] == 40
        assert facts.finish_reasons == ["length"]
        assert facts.response_model == "tiny"
        assert facts.response_id is not None
        assert "".join(pieces) == thunk.value
        assert len(str(thunk.value).split()) == 40
        assert isinstance(m.backend, OpenAIBackend)
        assert await m.backend.models() == ["tiny"]
        tell("40 tokens", anyio_backend, f"{len(pieces)} pieces, {seconds * 1e3:.0f} ms")


async def test_a_cancelled_reply_stops_the_server(url: str, anyio_backend: Any) -> None:
    async with session(url) as m:
        thunk = await m.ainstruct("Say a lot.", model_options=LONG)
        await thunk.astream()
        await wait_for_slots(url, 1)
        await thunk.cancel_generation()
        idle = await wait_for_slots(url, 0)
        words = len(str(thunk.value).split())
        assert words < 16_000
        tell("cancelled after the first token", anyio_backend, f"slot free {idle * 1e3:.0f} ms on")
        await m.ainstruct("And now?", model_options={ModelOption.MAX_NEW_TOKENS: 5})


async def test_a_reply_that_nobody_waits_for_stops_the_server(url: str, anyio_backend: Any) -> None:
    async with session(url) as m:
        thunk = await m.ainstruct("Say a lot.", model_options=LONG)
        with anyio.move_on_after(0.2):
            await thunk
        idle = await wait_for_slots(url, 0)
        tell("a wait of 0.2 s given up", anyio_backend, f"slot free {idle * 1e3:.0f} ms on")
        assert idle < 5


async def test_a_session_that_is_left_stops_all_of_its_replies(
    url: str, anyio_backend: Any
) -> None:
    async with session(url) as m:
        for _ in range(SLOTS):
            await m.ainstruct("Say a lot.", model_options=LONG)
        await wait_for_slots(url, SLOTS)
    idle = await wait_for_slots(url, 0)
    tell(f"{SLOTS} replies left behind", anyio_backend, f"slots free {idle * 1e3:.0f} ms on")


async def test_fifty_calls_at_once(url: str, anyio_backend: Any) -> None:
    async with session(url) as m:
        began = time.perf_counter()
        thunks = [
            await m.ainstruct(f"Say {number}.", model_options={ModelOption.MAX_NEW_TOKENS: 60})
            for number in range(50)
        ]
        await wait_for_all_mots(thunks)
        seconds = time.perf_counter() - began
        assert all(len(str(thunk.value).split()) == 60 for thunk in thunks)
        assert all(thunk.generation.finish_reasons == ["length"] for thunk in thunks)
        assert await busy_slots(url) == 0
        tell("50 calls of 60 tokens on 4 slots", anyio_backend, f"{seconds:.2f} s")
    assert shared_transport(current_host()).leased == 0


async def test_fifty_calls_that_are_given_up_leave_nothing_running(
    url: str, anyio_backend: Any
) -> None:
    async with session(url, max_in_flight=8) as m:
        thunks = [await m.ainstruct("Say a lot.", model_options=LONG) for _ in range(50)]
        await wait_for_slots(url, SLOTS)
        began = time.perf_counter()
        with anyio.move_on_after(0.5):
            await wait_for_all_mots(thunks)
        given_up = time.perf_counter() - began
        idle = await wait_for_slots(url, 0)
        tell(
            "50 calls given up",
            anyio_backend,
            f"after {given_up:.2f} s, free {idle * 1e3:.0f} ms on",
        )


async def test_a_format_constrains_even_a_babbler(url: str) -> None:
    async with session(url) as m:
        thunk = await m.ainstruct(
            "Is it good?",
            format=Verdict,
            model_options={ModelOption.MAX_NEW_TOKENS: 200},
            await_result=True,
        )
        assert isinstance(Verdict.model_validate_json(str(thunk)).good, bool)


async def test_texts_are_continued(url: str) -> None:
    backend = OpenAIBackend("tiny", base_url=f"{url}/v1")
    options = {ModelOption.MAX_NEW_TOKENS: 6}
    thunks = await backend.generate_from_raw(["ba de", "go"], model_options=options)
    assert [len(str(thunk.value).split()) for thunk in thunks] == [6, 6]


async def test_options_reach_the_server(url: str) -> None:
    async with session(url) as m:
        options = {ModelOption.SEED: 7, ModelOption.MAX_NEW_TOKENS: 12}
        first = await m.ainstruct("Say it.", model_options=options, await_result=True)
        again = await m.ainstruct("Say it.", model_options=options, await_result=True)
        assert str(first) == str(again)
        stopped = await m.ainstruct(
            "Say it.",
            model_options={**options, ModelOption.STOP_SEQUENCES: [str(first).split()[3]]},
            await_result=True,
        )
        assert stopped.generation.finish_reasons == ["stop"]
        assert str(first).startswith(str(stopped).rstrip())


async def test_what_the_server_refuses_is_said_in_its_words(url: str) -> None:
    async with session(url) as m:
        with pytest.raises(StatusError, match="context") as caught:
            await m.ainstruct("word " * 40_000, await_result=True)
        assert caught.value.status == 400
        tell("its words", ("any", {}), caught.value.message[:120])


async def test_a_connection_that_the_server_has_closed_is_no_error(url: str) -> None:
    options = {ModelOption.MAX_NEW_TOKENS: 3}
    async with session(url) as m:
        await m.ainstruct("One.", model_options=options, await_result=True)
        await anyio.sleep(6)  # it closes idle ones after five seconds
        await m.ainstruct("Two.", model_options=options, await_result=True)
