"""Running tools: in threads or in the task, with their errors as text for the model."""

import contextvars
import functools
import threading
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest

from motet import (
    CBlock,
    Instruction,
    ModelOutputThunk,
    ModelToolCall,
    SimpleContext,
    ToolCallRequest,
)
from motet._language.message import ToolMessage
from motet._language.tools.tool import MelleaTool, tool
from motet._programs.tools import TOOL_THREADS, acall_tools, arun_tool, call_tools, chosen_output
from motet.testing import ScriptedBackend

BACKEND = ScriptedBackend("unused")
who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


def asking(*calls: tuple[Any, dict[str, Any]]) -> ModelOutputThunk[Any]:
    """Return a reply that asks for calls."""
    named = {}
    for number, (func, arguments) in enumerate(calls):
        made = func if isinstance(func, MelleaTool) else MelleaTool.from_callable(func)
        named[f"{number}"] = ModelToolCall(made.name, made, arguments, id=f"call {number}")
    return ModelOutputThunk("", tool_calls=named)


@tool
def thread_and_who(text: str) -> tuple[str, threading.Thread, str]:
    return text, threading.current_thread(), who.get()


@tool
async def shout(text: str) -> str:
    await anyio.lowlevel.checkpoint()
    return f"{text}!"


@pytest.mark.anyio
async def test_a_plain_function_runs_in_a_thread_and_sees_the_context_variables() -> None:
    who.set("me")
    text, thread, seen = await arun_tool(thread_and_who, text="a")
    assert (text, seen) == ("a", "me")
    assert thread is not threading.current_thread()


@pytest.mark.anyio
async def test_an_async_function_runs_in_the_task() -> None:
    async def where() -> tuple[int, threading.Thread]:
        await anyio.lowlevel.checkpoint()
        return anyio.get_current_task().id, threading.current_thread()

    here = anyio.get_current_task().id, threading.current_thread()
    assert await arun_tool(MelleaTool.from_callable(where)) == here


@pytest.mark.anyio
async def test_what_gives_something_to_await_is_awaited() -> None:
    class Shouter:
        async def __call__(self, text: str) -> str:
            return await shout(text)

    def hand_on(text: str) -> Any:
        return shout(text)

    made: list[MelleaTool[..., Any]] = [
        MelleaTool("a", hand_on),
        MelleaTool("b", Shouter()),
        MelleaTool("c", functools.partial(shout, "hm")),
    ]
    assert await arun_tool(made[0], text="a") == "a!"
    assert await arun_tool(made[1], text="b") == "b!"
    assert await arun_tool(made[2]) == "hm!"


@pytest.mark.anyio
async def test_a_reply_that_a_tool_gives_is_waited_for() -> None:
    backend = ScriptedBackend("the answer")

    async def ask() -> ModelOutputThunk[Any]:
        return backend.begin(Instruction("go"), SimpleContext())

    (message,) = await acall_tools(asking((ask, {})), backend)
    assert message.content == "the answer"


@pytest.mark.anyio
async def test_only_so_many_tools_run_in_threads_at_once() -> None:
    running = most = 0
    lock = threading.Lock()
    everybody = threading.Barrier(TOOL_THREADS)

    def busy() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        everybody.wait(10)
        with lock:
            running -= 1

    async with anyio.create_task_group() as group:
        for _ in range(2 * TOOL_THREADS):
            group.start_soon(arun_tool, MelleaTool.from_callable(busy))
    assert most == TOOL_THREADS


@pytest.mark.anyio
async def test_a_tool_in_a_thread_can_see_that_it_is_cancelled() -> None:
    started = anyio.Event()
    ended = []

    def patient() -> None:
        anyio.from_thread.run_sync(started.set)
        try:
            while True:
                anyio.from_thread.check_cancelled()
        finally:
            ended.append(True)

    async with anyio.create_task_group() as group:
        group.start_soon(arun_tool, MelleaTool.from_callable(patient))
        await started.wait()
        group.cancel_scope.cancel()
    assert ended == [True]


@pytest.mark.anyio
async def test_an_async_tool_is_cancelled_with_its_caller() -> None:
    ran = []

    async def wait_for_ever() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ran.append("first")

    async def second() -> None:
        ran.append("second")

    async with anyio.create_task_group() as group:
        group.start_soon(acall_tools, asking((wait_for_ever, {}), (second, {})), BACKEND)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert ran == ["first"]


@pytest.mark.anyio
async def test_tools_run_in_the_order_of_the_model_and_an_error_is_an_output() -> None:
    def fail(text: str) -> None:
        raise ValueError(f"no {text}")

    messages = await acall_tools(
        asking((shout, {"text": "a"}), (fail, {"text": "b"}), (shout, {"text": "c"})), BACKEND
    )
    assert [each.content for each in messages] == [
        "a!",
        "The call of fail failed: ValueError: no b",
        "c!",
    ]
    assert [each.failed for each in messages] == [False, True, False]
    assert [each.call_id for each in messages] == ["call 0", "call 1", "call 2"]
    assert isinstance(messages[1].tool_output, ValueError)
    assert messages[1].arguments == {"text": "b"}
    assert messages[1].name == "fail"
    assert messages[0].tool is shout
    assert messages[0].role == "tool"


@pytest.mark.anyio
async def test_arguments_that_the_tool_does_not_take_are_an_output_too() -> None:
    (message,) = await acall_tools(asking((shout, {"text": "a", "loud": 1})), BACKEND)
    assert message.failed
    assert "loud" in message.content


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("output", "content"),
    [("text", "text"), (CBlock("block"), "block"), (7, "7"), (None, "None"), ([1], "[1]")],
)
async def test_an_output_is_put_into_words(output: Any, content: str) -> None:
    (message,) = await acall_tools(asking((lambda: output, {})), BACKEND)
    assert message.content == content
    assert message.tool_output is output


@pytest.mark.anyio
async def test_a_reply_that_asks_for_nothing_calls_nothing() -> None:
    assert await acall_tools(ModelOutputThunk("text"), BACKEND) == []


def test_tools_run_from_code_without_await() -> None:
    messages = call_tools(asking((shout, {"text": "a"}), (thread_and_who, {"text": "b"})), BACKEND)
    assert messages[0].content == "a!"
    assert messages[1].tool_output[0] == "b"
    assert shout.run(text="c") == "c!"


@pytest.mark.anyio
async def test_tools_run_from_code_without_await_in_a_running_loop() -> None:
    (message,) = call_tools(asking((shout, {"text": "a"})), BACKEND)
    assert message.content == "a!"
    assert shout.run("b") == "b!"


@pytest.mark.anyio
async def test_a_call_that_the_model_asked_for_over_a_backend_is_run() -> None:
    backend = ScriptedBackend([[ToolCallRequest("shout", {"text": 3}), "thinking aloud"]])
    thunk = backend.begin(
        Instruction("go"), SimpleContext(), model_options={"@@@tools@@@": [shout]}, tool_calls=True
    )
    (message,) = await acall_tools(thunk, backend)
    assert message.content == "3!"


def said(output: Any, name: str = "f", *, failed: bool = False, **args: Any) -> ToolMessage:
    return ToolMessage("tool", str(output), output, name, args, shout, failed=failed)


def test_the_transformed_object_is_the_output_of_its_type(
    caplog: pytest.LogCaptureFixture,
) -> None:
    chosen = chosen_output("x", "louder", [said(1, "a", n=1), said("X", "b", n=1)])
    assert chosen.tool_output == "X"
    assert "several tools" in caplog.text
    assert chosen_output(None, "t", [said(1, n=1), said(2, n=1)]).tool_output == 1


def test_one_call_with_arguments_is_transformed_in_silence(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert chosen_output("x", "louder", [said("X", n=1)]).tool_output == "X"
    assert not caplog.records


def test_a_call_without_arguments_could_be_made_directly(caplog: pytest.LogCaptureFixture) -> None:
    chosen_output("x", "louder", [said("X", "upper")])
    assert "'upper' without arguments" in caplog.text


def test_a_failed_tool_is_no_transformed_object() -> None:
    error = ValueError("no")
    assert chosen_output("x", "t", [said(error, failed=True), said(7, n=1)]).tool_output == 7
    with pytest.raises(ValueError, match="no"):
        chosen_output("x", "t", [said(error, failed=True)])
