"""Texts that a model continues as they are: `Backend.generate_from_raw`."""

from collections.abc import Iterator
from typing import Any

import anyio
import pydantic
import pytest

from motet import (
    CBlock,
    DependencyError,
    ModelOption,
    ReplyError,
    SimpleContext,
    StatusError,
    open_session,
)
from motet.backends import Backend, OllamaModelBackend, Reply, Request
from motet.testing import ErrorLine, ModelServer, Refuse, ScriptedBackend, Stall, serve_in_thread
from motet.testing import Reply as Scripted


@pytest.fixture(scope="module")
def shared_server() -> Iterator[ModelServer]:
    with serve_in_thread(loop="trio") as server:
        yield server


@pytest.fixture
def server(shared_server: ModelServer) -> Iterator[ModelServer]:
    shared_server.reset()
    yield shared_server
    shared_server.block_until_idle()


class Answer(pydantic.BaseModel):
    value: int


@pytest.mark.anyio
async def test_texts_are_continued_as_they_are(server: ModelServer) -> None:
    backend = OllamaModelBackend("m", base_url=server.url)
    server.script([Scripted("one")], when=lambda request: request.prompt == "a")
    server.script([Scripted("two", thinking="Hm")], when=lambda request: request.prompt == "b")
    options = {ModelOption.SYSTEM_PROMPT: "not sent", ModelOption.SEED: 3}
    first, second = await backend.generate_from_raw(
        ["a", CBlock("b")], SimpleContext(), model_options=options
    )
    assert [thunk.value for thunk in (first, second)] == ["one", "two"]
    assert second.thinking == "Hm"
    assert first.generation.finish_reasons == ["stop"]
    assert first.generation.usage is not None
    assert first.raw.response["response"] == "one"
    assert first.generate_log is not None
    assert first.generate_log.prompt == "a"
    bodies = sorted((request.body for request in server.replies), key=lambda body: body["prompt"])
    assert bodies[0] == {
        "model": "m",
        "stream": True,
        "options": {"seed": 3},
        "prompt": "a",
        "raw": True,
    }
    assert {request.path for request in server.replies} == {"/api/generate"}


@pytest.mark.anyio
async def test_a_format_goes_along_and_the_value_is_text(server: ModelServer) -> None:
    backend = OllamaModelBackend("m", base_url=server.url)
    (thunk,) = await backend.generate_from_raw(["A number:"], format=Answer)
    Answer.model_validate_json(thunk.value or "")
    assert server.replies[0].body["format"] == Answer.model_json_schema()


@pytest.mark.anyio
async def test_a_reply_may_be_a_text_and_is_waited_for(server: ModelServer) -> None:
    async with open_session(base_url=server.url) as session:
        server.script([Scripted("Once")])
        pending = await session.ainstruct("Begin.")
        (thunk,) = await session.backend.generate_from_raw([pending])
        assert server.replies[-1].body["prompt"] == "Once"
        assert thunk.is_computed()
        server.script([Refuse(500)])
        pending = await session.ainstruct("Begin.")
        with pytest.raises(DependencyError):
            await session.backend.generate_from_raw([pending])


@pytest.mark.anyio
@pytest.mark.parametrize("fault", [Refuse(500, "no"), ErrorLine(1, "no")])
async def test_the_first_failure_stops_the_others(fault: Any, server: ModelServer) -> None:
    backend = OllamaModelBackend("m", base_url=server.url)
    server.script([Stall()] * 3, when=lambda request: request.prompt != "b")
    server.script([fault], when=lambda request: request.prompt == "b")
    with anyio.fail_after(10), pytest.raises((StatusError, ReplyError), match="no"):
        await backend.generate_from_raw(["a", "b", "c", "d"])
    with anyio.fail_after(10):
        await server.wait_idle()


@pytest.mark.anyio
async def test_a_cancelled_call_stops_all_of_them(server: ModelServer) -> None:
    backend = OllamaModelBackend("m", base_url=server.url)
    server.script([Stall()] * 3)
    with anyio.move_on_after(10) as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(backend.generate_from_raw, ["a", "b", "c"])
            await server.wait_until(lambda: server.serving == 3)
            scope.cancel()
    with anyio.fail_after(10):
        await server.wait_idle()
    assert all(request.hung_up for request in server.replies)


@pytest.mark.anyio
async def test_no_texts_make_no_replies_and_what_is_no_text_is_refused(
    server: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    backend = OllamaModelBackend("m", base_url=server.url)
    assert await backend.generate_from_raw([], tool_calls=True) == []
    assert "cannot call tools" in caplog.text
    with pytest.raises(TypeError):
        await backend.generate_from_raw(["a", 3])
    with pytest.raises(TypeError, match="SEED"):
        await backend.generate_from_raw(["a"], model_options={"seed": "x"})
    assert server.replies == ()


@pytest.mark.anyio
async def test_a_backend_says_whether_it_can() -> None:
    class Talker(Backend):
        async def reply(self, request: Request, reply: Reply) -> None:
            reply.feed("hi")

    with pytest.raises(NotImplementedError, match="Talker cannot continue"):
        await Talker("m").generate_from_raw(["a"])
    backend = ScriptedBackend(["x", "y"])
    thunks = await backend.generate_from_raw(["a", "b"])
    assert sorted(str(thunk.value) for thunk in thunks) == ["x", "y"]  # in the order they came
    assert sorted(backend.prompts) == ["a", "b"]
