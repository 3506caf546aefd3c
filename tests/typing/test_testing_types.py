"""What the test kit is, to a type checker; checked and never run."""

from collections.abc import Iterator
from typing import assert_type

import anyio

import motet
from motet.testing import (
    NEVER,
    TRUNCATED,
    Finish,
    Pause,
    ScriptedBackend,
    ScriptedRequest,
    ScriptedStep,
    Thinking,
    run_on_virtual_time,
    virtual_loop,
)
from motet.testing.virtual_time import LoopOptions


async def length(text: str, times: int) -> int:
    return len(text) * times


def clocks() -> None:
    assert_type(run_on_virtual_time(length, "a", 2), int)
    assert_type(run_on_virtual_time(length, "a", 2, backend="trio", patience=0.1), int)
    run_on_virtual_time(length, "a")  # type: ignore[arg-type]
    run_on_virtual_time(length, "a", 2, backend="curio")  # type: ignore[arg-type]
    assert_type(virtual_loop("trio"), LoopOptions)


def ticks(asked: ScriptedRequest) -> Iterator[ScriptedStep]:
    assert_type(asked.prompt, str)
    yield 1
    yield "tick"


async def scripts() -> None:
    tool = motet.ToolCallRequest("add", {"a": 1})
    steps: list[ScriptedStep] = [Thinking("hm"), Pause(1), 2.5, anyio.Event(), tool, Finish()]
    with ScriptedBackend(["a", ["b", NEVER], steps, TRUNCATED, motet.ReplyError("x")]) as backend:
        assert_type(backend, ScriptedBackend)
        backend.script(ticks).script("a", when="b").script(lambda asked: asked.prompt)
        backend.script([3j])  # type: ignore[list-item]
        ScriptedBackend(3)  # type: ignore[arg-type]
    async with motet.open_session(backend) as m:
        assert_type(await (await m.ainstruct("x")), str)
    assert_type(backend.requests, list[ScriptedRequest])
    assert_type(backend.requests[0].ended_at, float | None)
    assert_type(backend.open_replies, int)
