"""Models of an Ollama server: listing them, and having one fetched that is missing."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from backends.raw import raw_server
from motet import BackendUnavailable, CBlock, ModelNotFound, SimpleContext, TruncatedReply
from motet.backends import OllamaModelBackend, PullProgress
from motet.testing import ModelServer, Refuse, open_server

pytestmark = pytest.mark.anyio


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with open_server(models=["here"], missing_models=["absent"]) as server:
        yield server


def begin(backend: OllamaModelBackend) -> Any:
    return backend.begin(CBlock("Say something."), SimpleContext())


async def test_the_models_of_a_server_are_listed(server: ModelServer) -> None:
    backend = OllamaModelBackend("here", base_url=server.url)
    assert await backend.models() == ["here-simulated"]
    server.script([Refuse(200, body=b"<html>")], path="/api/tags")
    with pytest.raises(Exception, match="not a list of models") as caught:
        await backend.models()
    assert caught.value.backend == "ollama"  # type: ignore[attr-defined]


async def test_a_missing_model_is_fetched_if_it_may_be(
    server: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ModelNotFound, match="pull=True"):
        await begin(OllamaModelBackend("absent", base_url=server.url))
    caplog.set_level("INFO", "motet")
    backend = OllamaModelBackend("absent", base_url=server.url, pull=True)
    assert await begin(backend)
    assert "ollama: success" in caplog.messages
    assert [request.path for request in server.requests] == [
        "/api/chat",
        "/api/chat",
        "/api/pull",
        "/api/chat",
    ]


async def test_a_function_is_told_how_far_it_is(server: ModelServer) -> None:
    told: list[PullProgress] = []
    backend = OllamaModelBackend("absent", base_url=server.url, pull=told.append)
    assert await begin(backend)
    assert [each.fraction for each in told if each.total] == [None, 0.4, 1.0]
    assert told[-1].done
    await backend.pull("another", progress=told.append)
    assert "another-simulated" in await backend.models()


async def test_many_calls_at_once_fetch_it_once(server: ModelServer) -> None:
    backend = OllamaModelBackend("absent", base_url=server.url, pull=True)
    server.script([Refuse(404, "model 'absent' not found")] * 20)
    thunks = [begin(backend) for _ in range(20)]
    await server.wait_until(lambda: len(server.replies) >= 20)
    for thunk in thunks:
        assert await thunk
    assert sum(request.path == "/api/pull" for request in server.requests) < 20


PULLS: dict[str, tuple[Refuse, type[Exception], str]] = {
    "no such model": (
        Refuse(200, body=b'{"status":"pulling manifest"}\n{"error":"file does not exist"}\n'),
        ModelNotFound,
        "file does not exist; https://ollama.com/library",
    ),
    "cut short": (Refuse(200, body=b'{"status":"pulling manifest"}'), TruncatedReply, "stopped"),
    "missing after all": (Refuse(200, body=b'{"status":"success"}'), ModelNotFound, "ollama pull"),
}


@pytest.mark.parametrize("name", PULLS)
async def test_a_model_that_cannot_be_fetched_is_an_error(name: str, server: ModelServer) -> None:
    step, error, said = PULLS[name]
    server.script([step], path="/api/pull")
    with anyio.fail_after(10), pytest.raises(error, match=said) as caught:
        await begin(OllamaModelBackend("absent", base_url=server.url, pull=True))
    assert caught.value.model == "absent"  # type: ignore[attr-defined]


async def test_a_fetch_that_is_cancelled_hangs_up() -> None:
    async def handle(visit: Any) -> None:
        await visit.request()
        await visit.send(b"HTTP/1.1 200 OK\r\n\r\n" + b'{"status":"pulling manifest"}\n')
        await visit.stay()

    told = anyio.Event()
    async with raw_server(handle) as server:
        backend = OllamaModelBackend("m", base_url=server.url)
        async with anyio.create_task_group() as tasks:

            async def pull() -> None:
                await backend.pull(progress=lambda _: told.set())

            tasks.start_soon(pull)
            await told.wait()
            tasks.cancel_scope.cancel()
        await server.wait_empty()
    with pytest.raises(BackendUnavailable, match="ollama serve"):
        await backend.pull()
