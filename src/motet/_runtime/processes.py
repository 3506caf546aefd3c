"""A program in a process of its own, run to its end, or stopped with whoever waits for it."""

from collections.abc import AsyncIterable, Sequence
from contextlib import suppress
from subprocess import PIPE
from typing import NamedTuple

import anyio


class Ended(NamedTuple):
    """How a program ended.

    Attributes:
        status: 0 if it went well.
        output: what it wrote.
        errors: what it wrote to its standard error.
    """

    status: int
    output: bytes
    errors: bytes


async def run_program(command: Sequence[str], given: bytes) -> Ended:
    """Run a program and wait for its end. A cancellation stops it.

    Args:
        command: the program and its arguments.
        given: its standard input.

    Raises:
        OSError: it cannot be started.
    """
    # `anyio.run_process` does the same, but asyncio and uvloop lose a process, and leave it
    # running, when its start is cancelled. Starting takes milliseconds.
    with anyio.CancelScope(shield=True):
        process = await anyio.open_process(command, stderr=PIPE)
    output, errors = bytearray(), bytearray()
    async with process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_drain, process.stdout, output)
            tasks.start_soon(_drain, process.stderr, errors)
            with suppress(anyio.BrokenResourceError):  # it does not read it to the end
                await process.stdin.send(given)
            await process.stdin.aclose()
            status = await process.wait()
    return Ended(status, bytes(output), bytes(errors))


async def _drain(stream: AsyncIterable[bytes], into: bytearray) -> None:
    async for piece in stream:
        into += piece
