"""Exchanges that are recorded once and replayed without a network."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import httpx2
import pytest

import motet
from motet.testing import (
    Drop,
    NotRecorded,
    Refuse,
    Reply,
    Stall,
    open_server,
    use_cassette,
)
from motet.testing.server import Truncate
from virtual_time import on_virtual_time

pytestmark = pytest.mark.anyio

NOWHERE = "http://127.0.0.1:9"
KEY = "sk-very-secret-0123456789"


@asynccontextmanager
async def recording(path: Path, *steps: Any, **options: Any) -> AsyncIterator[Any]:
    """Give a session whose exchanges with a server at a fixed address are recorded."""
    async with open_server() as server:
        if steps:
            server.script(steps)
        with use_cassette(path, "record"):
            async with motet.open_session(base_url=server.url, **options) as m:
                m.url = server.url
                yield m


@asynccontextmanager
async def replaying(path: Path, url: str, pace: float = 0.0, **options: Any) -> AsyncIterator[Any]:
    with use_cassette(path, "replay", pace=pace) as cassette:
        async with motet.open_session(base_url=url, **options) as m:
            m.cassette = cassette
            yield m


async def ask(m: Any, *words: str) -> list[str]:
    thunks = [await m.ainstruct(f"Say {word}.") for word in words]
    await motet.wait_for_all_mots(thunks)
    return [str(thunk.value) for thunk in thunks]


async def test_a_fan_out_replays_the_same_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "choir.json"
    async with recording(path) as m:
        said = dict(zip("abc", await ask(m, *"abc"), strict=True))
    assert len(set(said.values())) == 3
    async with replaying(path, m.url) as m:
        assert await ask(m, *"cab") == [said[word] for word in "cab"]
        assert m.cassette.unused == []


async def test_streaming_and_metadata_replay_too(tmp_path: Path) -> None:
    path = tmp_path / "stream.json"
    async with recording(path, Reply(["Hello, ", "wörld."])) as m:
        first = await m.ainstruct("Greet.")
        await first
    async with replaying(path, m.url) as m:
        second = await m.ainstruct("Greet.")
        assert "".join([delta async for delta in second]) == "Hello, wörld."
    assert second.generation.usage == first.generation.usage


async def test_equal_requests_replay_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "twice.json"
    async with recording(path, Reply("one"), Reply("two")) as m:
        assert [await (await m.ainstruct("Again.")) for _ in range(2)] == ["one", "two"]
    async with replaying(path, m.url) as m:
        assert [await (await m.ainstruct("Again.")) for _ in range(2)] == ["one", "two"]
        with pytest.raises(NotRecorded, match="2 times, and it was made once more"):
            await (await m.ainstruct("Again."))


async def test_what_is_missing_is_shown_beside_what_is_nearest(tmp_path: Path) -> None:
    path = tmp_path / "near.json"
    async with recording(path) as m:
        await (await m.ainstruct("Sing a high note."))
        await (await m.ainstruct("Something else entirely, and much longer than that."))
    async with replaying(path, m.url) as m:
        with pytest.raises(NotRecorded) as caught:
            await (await m.ainstruct("Sing a low note."))
    message = str(caught.value)
    assert '-      "content": "Sing a high note.",' in message
    assert '+      "content": "Sing a low note.",' in message
    assert "Something else" not in message


async def test_no_cassette_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotRecorded, match="mode='record'"), use_cassette(tmp_path / "no", "replay"):
        pass
    (tmp_path / "bad").write_text("{}")
    bad: Any
    for bad, message in (
        (use_cassette(tmp_path / "bad"), "no cassette that can be read"),
        (use_cassette(tmp_path / "x", "again"), "mode should be"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ValueError, match=message), bad:
            pass
    with pytest.raises(ValueError, match="pace"), use_cassette(tmp_path / "x", pace=-1):
        pass


async def test_auto_records_once(tmp_path: Path) -> None:
    path = tmp_path / "auto.json"
    async with open_server() as server:
        for expected in (1, 1):
            with use_cassette(path):
                async with motet.open_session(base_url=server.url) as m:
                    await (await m.ainstruct("Hello."))
            assert len(server.replies) == expected


async def test_no_secret_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "secret.json"
    async with open_server(default=Reply("noted")) as server:
        with use_cassette(path, "record"):
            async with motet.open_session(
                "openai", "some-model", base_url=f"{server.url}/v1", api_key=KEY
            ) as m:
                said = await (await m.ainstruct(f"My key is {KEY}."))
    text = path.read_text("utf-8")
    assert KEY not in text
    assert "My key is [redacted]" in text
    with use_cassette(path, "replay"):
        async with motet.open_session(
            "openai", "some-model", base_url=f"{server.url}/v1", api_key=KEY
        ) as m:
            again = await (await m.ainstruct(f"My key is {KEY}."))
    assert again == said == "noted"


async def test_no_key_of_an_address_is_in_the_file(tmp_path: Path) -> None:
    path, key = tmp_path / "query.json", "b7f0c2d94c5e4a0f"
    async with open_server(default=Reply("noted")) as server:
        url = f"{server.url}/v1?code={key}"
        with use_cassette(path, "record"):
            async with motet.open_session("openai", "some-model", base_url=url) as m:
                said = await (await m.ainstruct(f"The code is {key}."))
    assert key not in path.read_text("utf-8")
    with use_cassette(path, "replay"):
        async with motet.open_session("openai", "some-model", base_url=url) as m:
            assert await (await m.ainstruct(f"The code is {key}.")) == said == "noted"


@pytest.mark.parametrize(
    ("step", "error", "partial"),
    [
        (Reply(["one ", "two"], fault=Drop(1)), motet.ConnectionLost, "one "),
        (Reply(["one ", "two"], fault=Truncate(1)), motet.TruncatedReply, "one "),
        (Refuse(503), motet.StatusError, ""),
    ],
)
async def test_failures_are_recorded_truthfully(
    tmp_path: Path, step: Any, error: type[motet.BackendError], partial: str
) -> None:
    path = tmp_path / "fault.json"
    async with recording(path, *[step] * 5) as m:
        with pytest.raises(error):
            await (await m.ainstruct("Fail."))
    async with replaying(path, m.url) as m:
        with pytest.raises(error) as caught:
            await (await m.ainstruct("Fail."))
    assert caught.value.partial == partial


async def test_a_server_that_is_not_there_is_recorded_too(tmp_path: Path) -> None:
    path = tmp_path / "nobody.json"
    for mode in ("record", "replay"):
        with use_cassette(path, mode):  # type: ignore[arg-type]
            async with motet.open_session(base_url=NOWHERE) as m:
                with pytest.raises(motet.BackendUnavailable):
                    await (await m.ainstruct("Hello?"))


async def test_a_request_that_was_hung_up_is_kept_as_that(tmp_path: Path) -> None:
    path = tmp_path / "cut.json"
    async with (
        recording(path, Reply(["one ", "two"], fault=Stall(1))) as m,
        await m.ainstruct("Begin.") as thunk,
    ):
        async for _ in thunk:
            break
    (exchange,) = json.loads(path.read_text("utf-8"))["exchanges"]
    assert exchange["response"]["ended"] == "cut off"
    assert "one " in exchange["response"]["body"][0][1]
    async with replaying(path, m.url) as m, await m.ainstruct("Begin.") as thunk:
        async for delta in thunk:
            assert delta == "one "
            break


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_clients_of_the_users_are_recorded_and_replayed(tmp_path: Path, library: Any) -> None:
    path = tmp_path / "theirs.json"
    async with library.AsyncClient() as client:
        async with recording(path, Reply("hello"), http_client=client) as m:
            assert await ask(m, "x") == ["hello"]
        async with replaying(path, m.url, http_client=client) as m:
            assert await ask(m, "x") == ["hello"]


@on_virtual_time
async def test_a_replay_may_take_its_time(tmp_path: Path) -> None:
    path = tmp_path / "slow.json"
    line = '{"message":{"role":"assistant","content":"%s"},"done":%s}\n'
    body = [[1.0, line % ("one ", "false")], [31.0, line % ("two", "true")]]
    path.write_text(json.dumps({"version": 1, "exchanges": []}))
    with use_cassette(path, "replay") as empty:
        async with motet.open_session(base_url=NOWHERE) as m:
            with pytest.raises(NotRecorded, match="none at all") as caught:
                await (await m.ainstruct("Slowly."))
    assert empty.exchanges == []
    asked = json.loads(str(caught.value).partition("/api/chat\n")[2].rpartition("It has none")[0])
    exchange = {
        "request": {"method": "POST", "url": f"{NOWHERE}/api/chat", "body": asked},
        "response": {"status": 200, "headers": {}, "body": body, "ended": "complete"},
    }
    path.write_text(json.dumps({"version": 1, "exchanges": [exchange]}))
    for pace, seconds in ((0.0, 0.0), (2.0, 62.0)):
        began = anyio.current_time()
        async with replaying(path, NOWHERE, pace) as m:
            assert await (await m.ainstruct("Slowly.")) == "one two"
        assert anyio.current_time() - began == seconds


async def test_the_file_can_be_read_and_compared(tmp_path: Path) -> None:
    texts = []
    for order in ("ab", "ba"):
        path = tmp_path / f"{order}.json"
        async with recording(path) as m:
            for word in order:
                await ask(m, word)
        told = json.loads(path.read_text("utf-8"))
        texts.append([each["request"]["body"]["messages"] for each in told["exchanges"]])
    assert texts[0] == texts[1]


async def test_nobody_outside_of_the_block_is_recorded(tmp_path: Path, monkeypatch: Any) -> None:
    async with open_server() as server, motet.open_session(base_url=server.url) as m:
        with use_cassette(tmp_path / "x.json", "record") as cassette:
            pass
        await (await m.ainstruct("Hello."))
    assert cassette.exchanges == []
