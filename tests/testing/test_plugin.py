"""The pytest plugin: what it runs and how, what it finds, and that it leaves others alone.

Every test writes a small suite and runs pytest on it. With other versions of pytest, and
with and without other plugins, `make plugin-matrix` does.
"""

import os
import sys

import pytest

pytest_plugins = ["pytester"]

HEAD = """
import anyio, pytest, sys, threading
import motet
from motet.testing import NEVER, Pause, Stall

marked = pytest.mark.motet
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    """A place for a suite of tests, where no setting of ours holds."""
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    return pytester


def run(suite: pytest.Pytester, code: str, *args: str) -> pytest.RunResult:
    suite.makepyfile(HEAD + code)
    return suite.runpytest_inprocess("-p", "no:cacheprovider", *args)


# What is run.


def test_async_tests_that_are_marked_run_on_both_loops(suite: pytest.Pytester) -> None:
    result = run(
        suite,
        """
from hypothesis import given, strategies

pytestmark = pytest.mark.motet
ran = []

def running():
    return "trio" if "trio" in sys.modules and sniff() else "asyncio"

def sniff():
    import trio
    return trio.lowlevel.in_trio_run()

async def test_alone(motet_loop):
    ran.append("alone")
    await anyio.lowlevel.checkpoint()
    assert running() == motet_loop

@pytest.mark.parametrize("number", [1, 2])
async def test_with_cases(number, tmp_path):
    ran.append("cases")
    assert tmp_path.exists()

class TestMethods:
    async def test_method(self):
        ran.append("method")
        assert type(self) is TestMethods

@given(strategies.booleans())
async def test_examples(value):
    await anyio.lowlevel.checkpoint()
    assert value in (True, False)

async def test_wrong(motet_loop):
    assert motet_loop == "neither"

async def test_skipped():
    pytest.skip("not now")

@pytest.mark.xfail(strict=True)
async def test_expected_to_fail():
    pytest.fail("as expected")

def test_sync():
    assert ran.count("alone") == 2 and ran.count("cases") == 4 and ran.count("method") == 2
""",
        "-v",
    )
    result.assert_outcomes(passed=11, failed=2, skipped=2, xfailed=2)
    result.stdout.fnmatch_lines(
        [
            "*::test_alone?asyncio? PASSED*",
            "*::test_alone?trio? PASSED*",
            "*::test_with_cases?*asyncio* PASSED*",
            "*::TestMethods::test_method?trio? PASSED*",
            "*::test_sync PASSED*",
            "*assert 'asyncio' == 'neither'*",
        ]
    )


def test_tests_that_are_not_marked_are_left_alone(suite: pytest.Pytester) -> None:
    result = run(
        suite,
        """
async def test_nobody_runs_this():
    pass

@pytest.mark.anyio
async def test_another_plugin_runs_this():
    await anyio.sleep(0)

@pytest.mark.trio
async def test_a_third_plugin_runs_this():
    import trio
    assert trio.lowlevel.in_trio_run()

def test_sync():
    pass
""",
    )
    result.assert_outcomes(passed=4, failed=1)


@pytest.mark.parametrize(
    "settings", ["trio_mode = true", "anyio_mode = auto"], ids=lambda each: each.split()[0]
)
def test_no_other_plugin_runs_them_as_well(suite: pytest.Pytester, settings: str) -> None:
    suite.makeini(f"[pytest]\nfilterwarnings = error\n{settings}\n")
    result = run(
        suite,
        """
ran = []

@marked
async def test_marked(motet_loop):
    ran.append(motet_loop)

def test_ran():
    assert ran == ["asyncio", "trio"]
""",
    )
    result.assert_outcomes(passed=3)


def test_no_other_plugin_is_needed(suite: pytest.Pytester) -> None:
    code = """
@marked
async def test_marked(scripted_backend, motet_session):
    scripted_backend.script(["Hello."])
    assert (await motet_session.achat("Hi")).content == "Hello."
"""
    result = run(suite, code, "-p", "no:anyio", "-p", "no:trio")
    result.assert_outcomes(passed=2)


def test_the_loops_can_be_chosen(suite: pytest.Pytester) -> None:
    code = """
@marked
async def test_any(motet_loop):
    pass

@pytest.mark.motet(loops=["trio"])
async def test_only_trio(motet_loop):
    assert motet_loop == "trio"
"""
    run(suite, code).assert_outcomes(passed=3)
    run(suite, code, "--motet-loop=trio").assert_outcomes(passed=2)
    run(suite, code, "--motet-loop=asyncio").assert_outcomes(passed=1, skipped=1)
    run(suite, code, "-o", "motet_loops=uvloop trio").assert_outcomes(passed=3)
    wrong = run(suite, code, "-o", "motet_loops=curio")
    wrong.stdout.fnmatch_lines(["*there is no event loop 'curio'*"])
    assert wrong.ret != 0


def test_what_the_marker_does_not_know_is_refused(suite: pytest.Pytester) -> None:
    result = run(
        suite,
        """
@pytest.mark.motet(lops=["trio"])
async def test_typo():
    pass
""",
    )
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*the marker `motet` takes *, and was given lops*"])


# Clocks.


def test_the_clock_may_be_virtual(suite: pytest.Pytester) -> None:
    result = run(
        suite,
        """
from hypothesis import HealthCheck, given, settings, strategies

@marked
async def test_fixture(virtual_clock):
    assert virtual_clock.time() == anyio.current_time() == 0
    await anyio.sleep(3600)
    assert virtual_clock.time() == anyio.current_time() == 3600

@pytest.mark.motet(clock="virtual")
async def test_marker():
    await anyio.sleep(3600)

@marked
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hours=strategies.integers(1, 9))
async def test_every_example_begins_at_zero(virtual_clock, hours):
    assert virtual_clock.time() == 0
    await anyio.sleep(hours)
    assert virtual_clock.time() == hours

@marked
async def test_backoff(virtual_clock, scripted_backend, motet_session):
    scripted_backend.script([[Pause(100), "late"]])
    assert str(await motet_session.ainstruct("go", await_result=True)) == "late"
    assert virtual_clock.time() == 100
""",
    )
    result.assert_outcomes(passed=8)
    code = """
@marked
async def test_setting():
    await anyio.sleep(3600)
"""
    run(suite, code, "-o", "motet_clock=virtual").assert_outcomes(passed=2)
    assert run(suite, code, "-o", "motet_clock=lunar").ret != 0


def test_a_clock_that_cannot_be_virtual_says_so(suite: pytest.Pytester) -> None:
    result = run(
        suite,
        """
@marked
async def test_server(virtual_clock, model_server):
    pass

@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_of_another(virtual_clock, anyio_backend):
    pass

@pytest.mark.motet(loops=["uvloop"])
async def test_uvloop(virtual_clock):
    pass

def test_loop(motet_loop):
    pass
""",
    )
    result.assert_outcomes(errors=5)
    result.stdout.fnmatch_lines_random(
        [
            "*a virtual clock does not wait for a server in another thread*",
            "*virtual_clock is for async tests that are marked `motet`*",
            "*there is no virtual clock for 'uvloop'*",
            "*only an async test that is marked `motet` has a motet_loop*",
        ]
    )


# Doubles.


def test_a_scripted_backend_is_held_to_its_script(suite: pytest.Pytester) -> None:
    result = run(
        suite,
        """
pytestmark = pytest.mark.motet(clock="virtual")

async def test_right(scripted_backend, motet_session):
    scripted_backend.script(["Hello."])
    assert (await motet_session.achat("Hi")).content == "Hello."

async def test_exhausted(scripted_backend, motet_session):
    await motet_session.achat("Hi")

async def test_unused(scripted_backend, motet_session):
    scripted_backend.script(["never"])

async def test_its_own_failure_is_told(scripted_backend):
    scripted_backend.script(["never"])
    assert "right" == "wrong"

def test_sync(scripted_backend, motet_session):
    scripted_backend.script(["Hello."])
    assert motet_session.chat("Hi").content == "Hello."

@pytest.mark.parametrize("what", ["open"])
async def test_open(scripted_backend, what):
    "A session of one's own that is left open, and a request that nobody has waited for."
    scripted_backend.script([NEVER])
    await motet.start_session(scripted_backend).ainstruct("Hi")
    await scripted_backend.wait_until(lambda: scripted_backend.open_replies)
    scripted_backend.assert_idle()
""",
    )
    result.assert_outcomes(passed=3, failed=8)
    result.stdout.fnmatch_lines_random(
        [
            "*no script has a reply for request 0 'Hi'*",
            "*these replies were never asked for*",
            "*AssertionError: assert 'right' == 'wrong'*",
            "*these replies are open*",
        ]
    )
    result.stdout.no_fnmatch_line("*ERROR*")


def test_the_session_is_closed_when_the_test_is_over(suite: pytest.Pytester) -> None:
    result = run(
        suite,
        """
seen = []

@pytest.mark.motet(leaks=True)
async def test_leaves_a_request(scripted_backend, motet_session):
    scripted_backend.script([NEVER])
    await motet_session.ainstruct("Hi")
    await scripted_backend.wait_until(lambda: scripted_backend.open_replies)
    seen.append(scripted_backend)

def test_afterwards():
    assert [each.open_replies for each in seen] == [0, 0]
""",
    )
    result.assert_outcomes(passed=3)


def test_a_model_server_is_there_for_every_test(suite: pytest.Pytester) -> None:
    result = run(
        suite,
        """
import socket

@marked
async def test_asks(model_server):
    assert model_server.requests == ()
    async with motet.open_session(base_url=model_server.url) as m:
        assert await (await m.ainstruct("Hi"))
    assert len(model_server.replies) == 1

@marked
async def test_hangs_up(model_server):
    model_server.script([Stall(after_tokens=1)])
    async with motet.open_session(base_url=model_server.url) as m:
        async with await m.ainstruct("Hi") as thunk:
            await anext(aiter(thunk))
    await model_server.wait_idle()
    [request] = model_server.hang_ups
    assert request.arrived_at < request.first_token_at <= request.ended_at

def test_forgets(model_server):
    "The planted bug: a connection that nobody closes, in the middle of a reply."
    model_server.script([Stall()])
    host, port = model_server.url.removeprefix("http://").split(":")
    body = b'{"model": "m", "messages": [{"role": "user", "content": "Hi"}]}'
    kept = socket.create_connection((host, int(port)))
    kept.sendall(b"POST /api/chat HTTP/1.1\\r\\nhost: x\\r\\ncontent-length: %d\\r\\n\\r\\n%s" % (
        len(body), body))
    globals()["kept"] = kept
    model_server.block_until(lambda: model_server.serving)

@marked
async def test_is_not_disturbed(model_server):
    kept.close()
    await model_server.wait_idle()
    model_server.assert_idle()
""",
        "-o",
        "motet_timeout=30",
    )
    result.assert_outcomes(passed=6, failed=1)
    result.stdout.fnmatch_lines(
        ["the model server is not idle: 1 requests*", "  request *: POST /api/chat 'Hi'*open*"]
    )


# What is left behind.

LEAKS = """
import asyncio, gc

kept = []

@pytest.fixture(autouse=True)
def let_go():
    yield
    for each in kept:
        getattr(each, "close", getattr(each, "set", lambda: None))()
    kept.clear()

@marked
async def test_clean():
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.sleep, 0)

@marked
async def test_stream():
    kept.extend(anyio.create_memory_object_stream(1))

@marked
async def test_thread():
    stop = threading.Event()
    kept.append(stop)
    threading.Thread(target=stop.wait, name="forgotten").start()

@pytest.mark.motet(loops=["asyncio"])
async def test_task_of_asyncio():
    asyncio.ensure_future(asyncio.sleep(3600))
    await asyncio.sleep(0)

@pytest.mark.motet(loops=["trio"])
async def test_task_of_trio():
    import trio
    trio.lowlevel.spawn_system_task(trio.sleep, 3600)
    await trio.lowlevel.checkpoint()

@marked
async def test_generation(scripted_backend):
    scripted_backend.script([NEVER])
    await motet.start_session(scripted_backend).ainstruct("Hi")
    await scripted_backend.wait_until(lambda: scripted_backend.open_replies)

def test_sync_thread(no_leaks):
    stop = threading.Event()
    kept.append(stop)
    threading.Thread(target=stop.wait, name="forgotten by a sync test").start()
"""


def test_what_a_test_leaves_behind_fails_it(suite: pytest.Pytester) -> None:
    result = run(suite, LEAKS, "--motet-no-leaks")
    result.assert_outcomes(passed=2, failed=9)
    result.stdout.fnmatch_lines(
        [
            "*left behind: stream MemoryObject*",
            "*left behind: thread 'forgotten'*",
            "*left behind: task 'Task-*'*sleep*",
            "*left behind: task 'trio.sleep'*",
            "*left behind: task 'motet generation'*",
            "*left behind: thread 'forgotten by a sync test'*",
        ]
    )


def test_only_who_asks_is_looked_at(suite: pytest.Pytester) -> None:
    result = run(suite, LEAKS)
    result.assert_outcomes(passed=10, failed=1)  # the fixture no_leaks asks


# The network.


def test_the_network_is_held_off(suite: pytest.Pytester) -> None:
    result = run(
        suite,
        """
import socket

def connect(host="192.0.2.1"):
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.connect_ex((host, 9))

@marked
async def test_marked():
    connect()

@marked
async def test_by_name():
    await anyio.getaddrinfo("model.example", 443)

@marked
@pytest.mark.allow_network
def test_allowed():
    connect()

@marked
@pytest.mark.allow_network("192.0.2.1")
def test_allowed_host():
    connect()

@marked
@pytest.mark.allow_network("192.0.2.1")
def test_another_host():
    connect("192.0.2.2")

@marked
def test_here():
    connect("127.0.0.1")

def test_fixture(no_network):
    connect()

def test_not_marked():
    connect()
""",
    )
    result.assert_outcomes(passed=4, failed=6)
    result.stdout.fnmatch_lines(
        [
            "*NetworkBlocked: a test wanted to reach 192.0.2.1, port 9, and the network is blocked*",
            "*NetworkBlocked: a test wanted to reach model.example*",
            "*NetworkBlocked: a test wanted to reach 192.0.2.2*",
        ]
    )
    code = """
import socket

def test_not_marked():
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.connect_ex(("192.0.2.1", 9))
"""
    run(suite, code, "--motet-no-network").assert_outcomes(failed=1)
    run(suite, code, "-o", "motet_no_network=true").assert_outcomes(failed=1)


# Hanging.


def test_a_test_that_hangs_says_what_every_task_waits_for(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        HEAD
        + """
import trio  # which takes its time

@pytest.mark.motet(timeout=0.5)
async def test_hangs(scripted_backend, motet_session):
    scripted_backend.script([NEVER])
    gate = anyio.Event()

    async def worker():
        await gate.wait()  # for ever

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker)
        await (await motet_session.ainstruct("Hi"))

@pytest.mark.motet(timeout=0.5)
async def test_keeps_the_loop():
    threading.Event().wait(60)

@pytest.mark.motet(timeout=0.5, loops=["asyncio"])
async def test_goes_on_when_it_is_cancelled():
    while True:
        try:
            await anyio.sleep(60)
        except anyio.get_cancelled_exc_class():
            pass

@pytest.fixture
def slow():
    threading.Event().wait(60)

def test_fixture(slow):
    pass

@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_of_anyio(anyio_backend):
    await anyio.sleep(60)

@pytest.mark.trio
async def test_of_trio():
    await anyio.sleep(60)

@pytest.mark.motet(timeout=60)
async def test_next():
    await anyio.sleep(0)
"""
    )
    # As in the background of a shell, where Ctrl-C is ignored.
    result = suite.run(
        *("sh", "-c", "trap '' INT; exec \"$@\"", "sh", sys.executable, "-m", "pytest"),
        *("-p", "no:cacheprovider", "--motet-timeout=0.5"),
        # What swallows its cancellation is thrown away with its loop, whenever that is noticed.
        *("-W", "ignore::pytest.PytestUnraisableExceptionWarning"),
    )
    result.assert_outcomes(passed=2, failed=8, errors=1)
    here = "test_a_test_that_hangs_says_what_every_task_waits_for"
    result.stdout.fnmatch_lines(
        [
            f"no event loop runs; the thread is in {here}.py:* (slow)",
            "    threading.Event().wait(60)*",
            "* test_hangs?asyncio? *",
            "the test was not over after 0.5 s. What was going on:",
            "motet generation waits in motet/testing/scripted.py:*",
            f"{here}.test_hangs?asyncio? waits in {here}.py:* (test_hangs)",
            '    await (await motet_session.ainstruct("Hi"))',
            f"    {here}.*worker waits in {here}.py:* (worker)",
            "        await gate.wait()  # for ever*",
            f"{here}.test_hangs?trio? waits in {here}.py:* (test_hangs)",
            "        await gate.wait()  # for ever*",
            f"{here}.test_keeps_the_loop?asyncio? keeps the event loop busy in {here}.py:*",
            "    threading.Event().wait(60)*",
            f"{here}.test_keeps_the_loop?trio? keeps the event loop busy in {here}.py:*",
            "* test_goes_on_when_it_is_cancelled?asyncio? *",
            "    await anyio.sleep(60)*",
            "* test_of_anyio?asyncio? *",
            "    await anyio.sleep(60)*",
            "* test_of_anyio?trio? *",
            "    await anyio.sleep(60)*",
            "* test_of_trio *",
            "        await anyio.sleep(60)*",
        ]
    )


def test_without_a_limit_nothing_is_watched(suite: pytest.Pytester) -> None:
    result = run(
        suite,
        """
def watched():
    return any(thread.name == "motet time limit" for thread in threading.enumerate())

def test_not_marked():
    assert not watched()

@marked
def test_marked():
    assert watched()

@pytest.mark.motet(timeout=0)
def test_without_limit():
    assert not watched()
""",
    )
    result.assert_outcomes(passed=3)
    for wrong in ("soon", "-1", "nan"):
        assert run(suite, "def test_x(): pass", "-o", f"motet_timeout={wrong}").ret != 0


# Being there.


def test_a_project_that_does_not_use_it_does_not_load_it(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
        monkeypatch.delenv(name)  # it would import what it is to measure
    suite.makepyfile(
        """
import sys

def test_what_is_loaded():
    assert "pytest_motet" in sys.modules
    loaded = {name.partition(".")[0] for name in sys.modules}
    assert not loaded & {"motet", "trio", "httpx2", "pydantic"}
"""
    )
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # others load what they like
    suite.runpytest_subprocess("-p", "pytest_motet").assert_outcomes(passed=1)


def test_the_markers_are_documented(suite: pytest.Pytester) -> None:
    result = suite.runpytest_inprocess("--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.motet(loops=None*", "@pytest.mark.allow_network*"])
    result = suite.runpytest_inprocess("--help")
    result.stdout.fnmatch_lines(["*--motet-loop*", "*--motet-timeout*", "*motet_no_network*"])
