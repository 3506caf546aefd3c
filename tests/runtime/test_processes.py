"""Whole programs: Ctrl-C, exit with work under way, fork. Each says nothing on stderr."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Final

import pytest

import motet

SOURCES: Final = str(Path(motet.__file__).parent.parent)
TESTS: Final = str(Path(__file__).parent.parent)

# What every program below begins with.
HEAD: Final = """
import logging, os, sys, signal, threading
import anyio
from motet._runtime.host import current_host
from motet._runtime.portal import Portal, default_portal
from motet._thunk.generation import Generation
from motet._thunk.thunk import ModelOutputThunk
from thunk.by_hand import Reply, scripted

# asyncio's debug mode would tell how busy the machine is.
logging.getLogger("asyncio").setLevel(logging.ERROR)

def say(*words):
    print(*words, flush=True)

async def busy(generation):
    "A generation that never waits long, so that a signal may find it running."
    try:
        while True:
            generation.feed("x")
            await anyio.sleep(0)
    finally:
        say("unwound")

def start(produce):
    generation = Generation(produce, host=current_host())
    thunk = ModelOutputThunk.pending(generation)
    generation.start()
    return thunk

"""


def run(program: str, *flags: str, interrupt: bool = False) -> tuple[int, list[str]]:
    """Run a program; return its exit status and its lines. It must not complain.

    Args:
        program: appended to `HEAD`.
        flags: more options for the interpreter.
        interrupt: send it SIGINT as soon as it has said "ready".
    """
    source = HEAD + textwrap.dedent(program)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([SOURCES, TESTS])}
    if interrupt:
        # coverage takes a lock in its trace function: Ctrl-C there leaves it locked, and
        # the program stands still in it for ever.
        environment.pop("COVERAGE_PROCESS_CONFIG", None)
    process = subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", *flags, "-c", source],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    with process:
        lines = []
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.strip())
            if interrupt and lines[-1] == "ready":
                process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        complaints = process.stderr.read()
        status = process.wait()
    assert complaints == ""
    return status, lines


LOOPS: Final = {
    "asyncio": "import asyncio; run = lambda main: asyncio.run(main())",
    "uvloop": "import uvloop; run = lambda main: uvloop.run(main())",
    "trio": "import trio; run = trio.run",
}
every_loop = pytest.mark.parametrize("loop", LOOPS)


@every_loop
@pytest.mark.parametrize("what", ["busy", "asleep"])
def test_ctrl_c_while_a_generation_runs_is_a_keyboard_interrupt_and_nothing_else(
    loop: str, what: str
) -> None:
    status, lines = run(
        LOOPS[loop]
        + f"""
async def asleep(generation):
    try:
        generation.feed("x")
        await anyio.sleep_forever()
    finally:
        say("unwound")

async def main():
    global thunk
    thunk = start({what})
    await anyio.sleep(0.01)
    say("ready")
    await anyio.sleep(60)

try:
    run(main)
except KeyboardInterrupt:
    say("interrupted")
try:
    str(thunk)
except Exception as error:
    say(type(error).__name__)
    say(error.partial[:1])
""",
        interrupt=True,
    )
    assert status == 0
    assert lines == ["ready", "unwound", "interrupted", "GenerationCancelled", "x"]


@every_loop
def test_ctrl_c_while_somebody_waits_reaches_whoever_runs_the_loop(loop: str) -> None:
    status, lines = run(
        LOOPS[loop]
        + """
async def main():
    thunk = start(busy)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(thunk.avalue)
        await anyio.sleep(0.01)
        say("ready")
        async for _ in thunk:
            pass

try:
    run(main)
except* KeyboardInterrupt:
    say("interrupted")
""",
        interrupt=True,
    )
    assert status == 0
    assert lines == ["ready", "unwound", "interrupted"]


def test_ctrl_c_in_a_synchronous_call_stops_it_before_it_goes_on() -> None:
    status, lines = run(
        """
        async def main():
            thunk = start(busy)
            say("ready")
            async with thunk:
                await thunk

        try:
            default_portal().call(main)
        except KeyboardInterrupt:
            say("interrupted")
        """,
        interrupt=True,
    )
    assert status == 0
    assert lines == ["ready", "unwound", "interrupted"]


@every_loop
def test_a_program_may_end_while_generations_run(loop: str) -> None:
    status, lines = run(
        LOOPS[loop]
        + """
async def main():
    for _ in range(3):
        start(busy)
    await anyio.sleep(0.01)

run(main)
say("end")
"""
    )
    assert status == 0
    assert lines == ["unwound"] * 3 + ["end"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_program_may_end_while_generations_run_in_the_portal(backend: str) -> None:
    status, lines = run(
        f"""
        portal = Portal({backend!r})

        async def main():
            start(busy)
            await anyio.sleep(0.01)

        portal.call(main)
        say("end")
        """
    )
    assert status == 0
    assert lines == ["end", "unwound"]


def test_a_program_may_exit_from_inside_a_call() -> None:
    status, lines = run(
        """
        async def main():
            start(busy)
            await anyio.sleep(0.01)
            raise SystemExit(3)

        default_portal().call(main)
        """
    )
    assert status == 3
    assert lines == ["unwound"]


def test_a_portal_that_is_there_serves_until_the_very_end() -> None:
    status, lines = run(
        """
        import atexit

        async def add(one, other):
            return one + other

        atexit.register(lambda: say("atexit", default_portal().call(add, 1, 1)))
        default_portal().call(add, 0, 0)
        """
    )
    assert status == 0
    assert lines == ["atexit 2"]


def test_a_first_call_at_exit_works_or_says_why_not() -> None:
    status, lines = run(
        """
        import atexit

        async def add(one, other):
            return one + other

        def late():
            try:
                say(default_portal().call(add, 1, 1))
            except RuntimeError as error:
                say(error)

        atexit.register(late)
        """
    )
    assert status == 0
    (line,) = lines  # which of the two is the Python version's choice
    assert line == "2" or "before the program ends" in line


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_forked_child_gets_a_portal_of_its_own(backend: str) -> None:
    # From 3.12 on Python warns of any fork in a process with threads.
    status, lines = run(
        f"""
        portal = Portal({backend!r})

        async def add(one, other):
            start(busy)
            return one + other

        async def nested():
            return portal.call(add, 1, 1)

        say("parent", portal.call(nested))
        child = os.fork()
        if not child:
            say("child", portal.call(nested))
            portal.close()
            os._exit(7)
        say("status", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        say("parent", portal.call(nested))
        portal.close()
        """,
        "-W",
        "ignore:This process:DeprecationWarning",
    )
    assert status == 0
    told = [line for line in lines if line != "unwound"]
    assert told == ["parent 2", "child 2", "status 7", "parent 2"]
    # One in the child, two in the parent.
    assert lines.count("unwound") == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_reply_that_was_pending_at_a_fork_never_comes_in_the_child(backend: str) -> None:
    status, lines = run(
        f"""
        import motet
        from motet.testing import ScriptedBackend

        portal = Portal({backend!r})

        async def make():
            global reply
            reply = Reply()

        async def end():
            reply.feed("text")
            reply.end()

        def attempt(what):
            try:
                say(what())
            except Exception as error:
                say(type(error).__name__, "fork" in str(error))

        portal.call(make)
        m = motet.start_session(ScriptedBackend("ok"))
        child = os.fork()
        if not child:
            signal.alarm(20)
            attempt(lambda: str(reply.thunk))
            attempt(lambda: portal.call(reply.thunk.avalue))
            attempt(lambda: portal.call(reply.thunk.cancel_generation))
            attempt(lambda: m.instruct("{{{{x}}}}", user_variables=dict(x=reply.thunk)))
            attempt(lambda: m.instruct("go"))
            portal.close()
            default_portal().close()
            os._exit(7)
        say("status", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        portal.call(end)
        say("parent", str(reply.thunk))
        portal.close()
        """,
        "-W",
        "ignore:This process:DeprecationWarning",
    )
    assert status == 0
    assert lines == [
        "PendingReplyError True",
        "WrongEventLoop True",
        "WrongEventLoop True",
        "WrongEventLoop True",
        "ok",
        "status 7",
        "parent text",
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_str_does_not_hang_in_a_child_that_async_code_has_forked(backend: str) -> None:
    # asyncio takes the loop away from the child; the run of Trio goes on in it.
    status, lines = run(
        f"""
        async def main():
            reply = Reply()
            child = os.fork()
            if not child:
                signal.alarm(20)
                try:
                    str(reply.thunk)
                except Exception as error:
                    say(type(error).__name__, "fork" in str(error))
                os._exit(7)
            say("status", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

        anyio.run(main, backend={backend!r})
        """,
        "-W",
        "ignore:This process:DeprecationWarning",
    )
    assert status == 0
    assert lines == [f"PendingReplyError {backend == 'asyncio'}", "status 7"]


def test_a_thread_that_is_left_in_str_does_not_keep_a_program_from_ending() -> None:
    status, lines = run(
        """
        async def main():
            reply = Reply()
            def wait():
                try:
                    str(reply.thunk)
                except Exception as error:
                    say(type(error).__name__)
            global thread
            thread = threading.Thread(target=wait)
            thread.start()
            while not reply.generation.interest:
                await anyio.sleep(0.001)

        anyio.run(main)
        thread.join()
        say("end")
        """
    )
    assert status == 0
    assert lines in (["RuntimeError", "end"], ["GenerationCancelled", "end"])
