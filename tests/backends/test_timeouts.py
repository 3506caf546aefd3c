"""Limits for the parts of a reply: where they are set, which goes before which."""

from typing import Any

import anyio
import pytest

import motet
from motet import BackendTimeout, ModelOption, OllamaModelBackend, OpenAIBackend, Phase, Timeouts
from motet.testing import NEVER, Reply, ScriptedBackend, Stall, open_server
from virtual_time import on_virtual_time

pytestmark = pytest.mark.anyio


@on_virtual_time
@pytest.mark.parametrize(
    ("steps", "which", "seconds", "partial"),
    [([NEVER], "first_token", 3, ""), ([2, "a", 1, "b", NEVER], "gap", 5, "ab")],
)
async def test_a_scripted_backend_keeps_them_too(
    steps: list[Any], which: str, seconds: float, partial: str
) -> None:
    options = {ModelOption.TIMEOUTS: Timeouts(first_token=3, gap=2)}
    began = anyio.current_time()
    async with motet.open_session(ScriptedBackend([steps]), model_options=None) as m:
        with pytest.raises(BackendTimeout) as caught:
            await (await m.ainstruct("go", strategy=None, model_options=options))
    assert (caught.value.which, caught.value.partial) == (which, partial)
    assert anyio.current_time() - began == pytest.approx(seconds)


@pytest.mark.parametrize("kind", ["ollama", "openai"])
async def test_a_backend_and_a_call_have_their_own(kind: str) -> None:
    async with open_server() as server:
        server.script([Reply("abc", fault=Stall(0)), Reply(["a", "b", "c"], fault=Stall(2))])
        timeouts = Timeouts(first_token=0.05, gap=30)
        backend: motet.Backend
        if kind == "ollama":
            backend = OllamaModelBackend("m", base_url=server.url, timeouts=timeouts)
        else:
            backend = OpenAIBackend("m", base_url=f"{server.url}/v1", timeouts=timeouts)
        async with motet.open_session(backend) as m:
            with pytest.raises(BackendTimeout) as caught:
                await (await m.ainstruct("go", strategy=None))
            assert (caught.value.which, caught.value.timeout) == ("first_token", 0.05)
            thunk = await m.ainstruct(
                "go",
                strategy=None,
                model_options={ModelOption.TIMEOUTS: Timeouts(first_token=30, gap=0.3)},
            )
            with pytest.raises(BackendTimeout) as caught:
                await thunk
        assert (caught.value.which, caught.value.phase) == ("gap", Phase.STREAMING)
        assert caught.value.partial == "ab"


async def test_a_call_says_only_what_it_wants_to_change() -> None:
    own = Timeouts(gap=1).over(Timeouts(gap=5, headers=2))
    assert own == Timeouts(gap=1, headers=2)
    assert Timeouts(gap=float("inf")) == Timeouts()


async def test_numbers_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="first_token should be above 0"):
        Timeouts(first_token=0)
    with pytest.raises(TypeError, match="gap should be a number of seconds"):
        Timeouts(gap="3")  # type: ignore[arg-type] # that is the point
    with pytest.raises(TypeError, match="timeouts should be Timeouts"):
        OllamaModelBackend("m", timeouts=5)  # type: ignore[arg-type] # that is the point
