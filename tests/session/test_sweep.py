"""Cancelled anywhere, a call leaves nothing: no task, no thread, no request, no connection."""

import functools
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest

import motet.functional
from loops import REAL_LOOPS
from motet import (
    BestOfNSamplingStrategy,
    ChatContext,
    MajorityVotingStrategy,
    MelleaSession,
    Message,
    MObject,
    ModelOption,
    MultiTurnStrategy,
    RejectionSamplingStrategy,
    RepairTemplateStrategy,
    Requirement,
    SamplingStrategy,
    SimpleComponent,
    ToolCallRequest,
    acall_tools,
    tool,
)
from motet.testing import Reply, ScriptedBackend, ScriptedRequest, serve_in_thread
from motet.testing.sweep import Way, cancel_everywhere
from session.forms import METHODS, chat_session
from virtual_time import VIRTUAL_LOOPS

Loop = Callable[[], tuple[str, dict[str, Any]]]
Scenario = Callable[[MelleaSession], Awaitable[object]]

JUDGED = Requirement("kind")
CHECKED = Requirement("x", lambda ctx: ctx.last_output().value.startswith("good"))


@tool
async def wait(seconds: float) -> str:
    """Wait."""
    await anyio.sleep(seconds)
    return "waited"


class Waiting(MObject):
    def content_as_string(self) -> str:
        return "a thing"

    async def change(self) -> str:
        """Change it."""
        await anyio.sleep(1.0)
        return "changed"


@pytest.fixture(params=VIRTUAL_LOOPS)
def loop(request: pytest.FixtureRequest) -> Loop:
    factory: Loop = VIRTUAL_LOOPS[request.param]
    return factory


def replies(asked: ScriptedRequest) -> list[Any]:
    prompt = asked.prompt
    if "with tools" in prompt:
        return [1.0, ToolCallRequest("wait", {"seconds": 1.0})]
    if "a thing" in prompt:
        return [1.0, ToolCallRequest("change", {})]
    return [1.0, "yes" if "Requirement:" in prompt else "good", 1.0]


def sweep(loop: Loop, scenario: Scenario, context: Any = None) -> None:
    """Cancel *scenario* everywhere: in an open session, and in one that its block closes."""
    backends: list[ScriptedBackend] = []

    async def lone() -> None:
        backends.append(ScriptedBackend(replies))
        await scenario(MelleaSession(backends[-1], context, linger=0))

    async def in_block() -> None:
        backends.append(ScriptedBackend(replies))
        async with MelleaSession(backends[-1], context) as m:
            await scenario(m)

    async def nothing_runs() -> None:
        assert backends[-1].open_replies == 0

    for run in (lone, in_block):
        report = cancel_everywhere(run, loop=loop, after=nothing_runs)
        assert len(report.checkpoints) >= 2


# Calls.


async def awaited(m: MelleaSession, **options: Any) -> None:
    async with await m.ainstruct("go", **options) as thunk:
        await thunk


CALLS: dict[str, Scenario] = {
    "instruct": awaited,
    "instruct at once": lambda m: m.ainstruct("go", await_result=True),
    "instruct for results": lambda m: m.ainstruct("go", return_sampling_results=True),
    "act": lambda m: m.aact(Message("user", "go"), await_result=True),
    "chat": lambda m: m.achat("go"),
    "validate": lambda m: m.avalidate([JUDGED, CHECKED, JUDGED], output="x"),
    "query": lambda m: m.aquery("x", "go", await_result=True),
    "transform": lambda m: m.atransform("x", "go"),
    "transform by a tool": lambda m: m.atransform(Waiting(), "go"),
    "function": lambda m: motet.functional.achat("go", m.ctx, m.backend),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_call(call: str, loop: Loop) -> None:
    sweep(loop, CALLS[call])


STRATEGIES: dict[str, SamplingStrategy] = {
    "rejection": RejectionSamplingStrategy(loop_budget=2),
    "race of three": RejectionSamplingStrategy(loop_budget=1, concurrency_budget=3),
    "repair": RepairTemplateStrategy(loop_budget=2),
    "multi-turn": MultiTurnStrategy(loop_budget=2),
    "majority": MajorityVotingStrategy(number_of_samples=3),
    "best of n": BestOfNSamplingStrategy(number_of_samples=2),
}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_strategy(strategy: str, loop: Loop) -> None:
    checked = [JUDGED, CHECKED]
    call = functools.partial(awaited, strategy=STRATEGIES[strategy], requirements=checked)
    sweep(loop, call, ChatContext())


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_strategy_whose_attempts_are_wanted(strategy: str, loop: Loop) -> None:
    async def sample(m: MelleaSession) -> None:
        result = await m.ainstruct(
            "go",
            strategy=STRATEGIES[strategy],
            requirements=[JUDGED, CHECKED],
            return_sampling_results=True,
        )
        assert result.success

    sweep(loop, sample, ChatContext())


def test_a_tool_call(loop: Loop) -> None:
    async def call(m: MelleaSession) -> None:
        thunk = await m.ainstruct(
            "with tools",
            tool_calls=True,
            model_options={ModelOption.TOOLS: [wait]},
            await_result=True,
        )
        (message,) = await acall_tools(thunk, m.backend)
        assert message.tool_output == "waited"

    sweep(loop, call)


def test_a_diamond_of_pending_inputs(loop: Loop) -> None:
    async def diamond(m: MelleaSession) -> None:
        async with (
            await m.ainstruct("top") as top,
            await m.ainstruct("left", grounding_context={"it": top}) as left,
            await m.aquery(top, "right") as right,
            await m.aact(SimpleComponent(left=left, right=right)) as bottom,
        ):
            await bottom

    sweep(loop, diamond)


def test_three_turns_at_once(loop: Loop) -> None:
    async def talk(m: MelleaSession) -> None:
        async with (
            await m.ainstruct("one") as first,
            await m.ainstruct("two") as second,
            await m.ainstruct("three") as third,
        ):
            await third
            await first
            await second

    sweep(loop, talk, ChatContext())


# Calls without await, in a worker thread: a thread cannot be stopped, so it is waited for.

ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "instruct": ("go",),
    "act": (Message("user", "go"),),
    "chat": ("go",),
    "validate": ("be good",),
    "query": ("x", "go"),
    "transform": ("x", "go"),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", REAL_LOOPS)
def test_a_call_in_a_worker_thread(method: str, name: str) -> None:
    options = {"output": "x"} if method == "validate" else {}
    backends: list[ScriptedBackend] = []

    async def scenario() -> None:
        backends.append(ScriptedBackend("good"))
        call = getattr(MelleaSession(backends[-1]), method)
        await anyio.to_thread.run_sync(functools.partial(call, *ARGUMENTS[method], **options))

    async def nothing_runs() -> None:
        assert backends[-1].open_replies == 0

    MelleaSession(ScriptedBackend("good")).chat("the portal starts")
    portals = [thread for thread in threading.enumerate() if "portal" in thread.name]
    cancel_everywhere(scenario, loop=lambda: REAL_LOOPS[name], after=nothing_runs)
    assert [thread for thread in threading.enumerate() if "portal" in thread.name] == portals


# Against the server, which sees the connections.


@pytest.mark.parametrize("name", REAL_LOOPS)
def test_nothing_is_left_at_the_server(name: str) -> None:
    async def scenario() -> None:
        async with chat_session(server) as m:
            thunk = await m.ainstruct("go", requirements=[CHECKED])
            await m.achat("on")
            await thunk

    async def idle() -> None:
        with anyio.fail_after(5):
            await server.wait_idle(connections=True)

    # One of its own, because the portal keeps connections to the other.
    with serve_in_thread(loop="trio", default=Reply(["go", "od"])) as server:
        cancel_everywhere(
            scenario, loop=lambda: REAL_LOOPS[name], ways=[Way.SCOPE, Way.NATIVE], after=idle
        )
        assert server.connections_accepted > 1
