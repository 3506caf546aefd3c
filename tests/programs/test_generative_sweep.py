"""Cancelled anywhere, a generative function and a tool leave nothing running."""

# A generative function has no body, and mypy cannot know that this is meant.
# mypy: disable-error-code="empty-body"

import json
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from motet import Instruction, MelleaSession, SimpleContext, ToolCallRequest
from motet._language.tools.tool import tool
from motet._programs.generative.stub import generative
from motet._programs.sampling.strategies import RejectionSamplingStrategy
from motet._programs.tools import acall_tools
from motet.testing import ScriptedBackend, ScriptedRequest, ScriptedStep
from motet.testing.sweep import cancel_everywhere
from virtual_time import VIRTUAL_LOOPS

Loop = Callable[[], tuple[str, dict[str, Any]]]


@pytest.fixture(params=VIRTUAL_LOOPS)
def loop(request: pytest.FixtureRequest) -> Loop:
    factory: Loop = VIRTUAL_LOOPS[request.param]
    return factory


@generative
async def count(text: str) -> int:
    """Count the words."""


@tool
async def wait(seconds: float) -> str:
    """Wait."""
    await anyio.sleep(seconds)
    return "done"


@tool
def at_once() -> str:
    """Return."""
    return "done"


def reply(asked: ScriptedRequest) -> list[ScriptedStep]:
    prompt = asked.prompt
    if "Judge" in prompt:
        return [1.0, "yes"]
    if prompt == "tools":
        return [
            ToolCallRequest("wait", {"seconds": 1}),
            ToolCallRequest("at_once", {}),
            "calling",
            1.0,
        ]
    if prompt == "text":
        return [1.0, "some words"]
    return [1.0, json.dumps({"result": 2})]


def sweep(loop: Loop, scenario: Callable[[ScriptedBackend], Awaitable[object]]) -> None:
    backends: list[ScriptedBackend] = []

    async def run() -> None:
        backends.append(ScriptedBackend(reply))
        await scenario(backends[-1])

    async def nothing_runs() -> None:
        assert backends[-1].open_replies == 0

    assert cancel_everywhere(run, loop=loop, after=nothing_runs).checkpoints


def test_a_generative_function(loop: Loop) -> None:
    async def scenario(backend: ScriptedBackend) -> None:
        async with MelleaSession(backend) as m:
            text = await m.ainstruct("text", strategy=None)
            assert await count(m, text=text, precondition_requirements=["short"]) == 2

    sweep(loop, scenario)


def test_a_generative_function_with_a_strategy_and_no_session(loop: Loop) -> None:
    async def scenario(backend: ScriptedBackend) -> None:
        strategy = RejectionSamplingStrategy(concurrency_budget=2)
        value, _ = await count(SimpleContext(), backend, text="a b", strategy=strategy)
        assert value == 2

    sweep(loop, scenario)


def test_tools(loop: Loop) -> None:
    async def scenario(backend: ScriptedBackend) -> None:
        thunk = backend.begin(
            Instruction("tools"),
            SimpleContext(),
            model_options={"@@@tools@@@": [wait, at_once]},
            tool_calls=True,
        )
        async with thunk:
            messages = await acall_tools(thunk, backend)
        assert [each.content for each in messages] == ["done", "done"]

    sweep(loop, scenario)
