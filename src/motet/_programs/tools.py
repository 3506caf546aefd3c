"""Running the tools that a model asked for.

An ``async`` tool runs in the task of whoever runs it; any other in a worker thread, so that
one that blocks does not stop the event loop. What a tool raises is no error of ours: it is
what the model is told. What a tool is, and how a model is told of it, stands in the package
``_language.tools``.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Sequence
from typing import Any, Final

import anyio
import anyio.lowlevel
import anyio.to_thread

from .._language.blocks import CBlock
from .._language.component import Component
from .._language.message import ToolMessage
from .._language.tools.tool import MelleaTool
from .._runtime.portal import default_portal
from .._thunk.thunk import ModelOutputThunk
from .._values.metadata import ModelToolCall, RunnableTool
from ..backends.base import Backend

_log: Final = logging.getLogger("motet")

# For each event loop. A number of its own, so that tools that wait for something slow do not
# keep the rest of the program from its threads.
TOOL_THREADS: Final = 16

_limiter: Final[anyio.lowlevel.RunVar[anyio.CapacityLimiter]] = anyio.lowlevel.RunVar(
    "motet tool threads"
)


async def arun_tool(tool: RunnableTool, /, **arguments: Any) -> Any:
    """Run a tool and return what it returns. Always a checkpoint.

    A tool that is not ``async`` runs in a worker thread, of which there are 16 for tools, and
    sees the caller's context variables. A thread cannot be stopped: when this is cancelled
    while it runs, the cancellation comes out when it is over. A long one can look for it with
    ``anyio.from_thread.check_cancelled()``.

    Args:
        tool: the tool.
        arguments: its arguments.

    Raises:
        Exception: whatever the tool raises.
    """
    result: Any
    if isinstance(tool, MelleaTool):
        if tool.is_async:
            await anyio.lowlevel.checkpoint()
            result = tool.call(**arguments)
        else:
            result = await _in_thread(functools.partial(tool.call, **arguments))
    else:
        result = await _in_thread(functools.partial(tool.run, **arguments))
    # A function that is not `async` itself may hand on the coroutine of one that is.
    if inspect.isawaitable(result) and not isinstance(result, ModelOutputThunk):
        result = await result
    # And a tool may ask a model, and hand on the reply before it has arrived.
    if isinstance(result, ModelOutputThunk):
        await result
    return result


async def _in_thread(call: functools.partial[Any]) -> Any:
    def boxed() -> tuple[Any]:
        return (call(),)  # Trio takes a bare coroutine for a mistake

    try:
        limiter = _limiter.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(TOOL_THREADS)
        _limiter.set(limiter)
    (result,) = await anyio.to_thread.run_sync(boxed, limiter=limiter)
    return result


async def acall_tools(result: ModelOutputThunk[Any], backend: Backend) -> list[ToolMessage]:
    """Run the tools that a reply asks for, one after the other, and return what they gave.

    A reply that has not arrived is waited for. A tool that fails does not stop the others:
    its error is its output, in words that the model can use; `ToolMessage.failed` is true.
    Always a checkpoint. A cancellation is not taken for a failure of a tool, and the tools
    that come after are not run; see `arun_tool` for those that run in a thread.

    Args:
        result: the reply.
        backend: puts into words what is a component.

    Raises:
        BackendError, GenerationCancelled, DependencyError: the reply failed.
    """
    await result
    return [await _called(call, backend) for call in (result.tool_calls or {}).values()]


async def _called(call: ModelToolCall, backend: Backend) -> ToolMessage:
    failed = False
    try:
        output = await arun_tool(call.func, **call.args)
        text = _in_words(output, backend)
    except Exception as exc:
        _log.info("the tool %s failed: %r", call.name, exc, exc_info=True)
        output, failed = exc, True
        text = f"The call of {call.name} failed: {type(exc).__name__}: {exc}"
    return ToolMessage(
        "tool",
        text,
        output,
        call.name,
        call.args,
        call.func,
        call_id=call.id,
        failed=failed,
    )


def _in_words(output: Any, backend: Backend) -> str:
    if isinstance(output, str | CBlock | ModelOutputThunk | Component):
        return backend.formatter.print(output)
    return str(output)


def call_tools(result: ModelOutputThunk[Any], backend: Backend) -> list[ToolMessage]:
    """Run the tools that a reply asks for; `acall_tools` for code without await."""
    return default_portal().call(acall_tools, result, backend)


def chosen_output(obj: Any, transformation: str, messages: Sequence[ToolMessage]) -> ToolMessage:
    """Return which of the tools' outputs is the transformed object.

    It is the first of the type of *obj*, or else the first that is no error, and a warning
    says which, if there are several. A call without arguments gets a warning, too, because
    the program could make it without a model.

    Args:
        obj: the object that was to be transformed.
        transformation: in which way; for the warnings.
        messages: what the tools gave, one at least.

    Raises:
        Exception: every tool failed; the error of the first.
    """
    good = [each for each in messages if not each.failed]
    if not good:
        raise messages[0].tool_output
    chosen = next((each for each in good if isinstance(each.tool_output, type(obj))), good[0])
    if len(messages) > 1:
        _log.warning(
            "several tools were called to transform %r by %r; the output of %r is taken",
            obj,
            transformation,
            chosen.name,
        )
    if not chosen.arguments:
        _log.warning(
            "to transform %r by %r the model called %r without arguments; call it directly",
            obj,
            transformation,
            chosen.name,
        )
    return chosen
