"""The pytest plugin of motet: async tests on both event loops, and fixtures for programs with models.

It is a package of its own beside `motet`, and imports nothing but pytest before a test
asks for it: pytest loads every plugin that is installed, also for projects that do not
use it.

    _options    what can be set where, and what holds for a test
    _running    a test on its event loop, and what must be true afterwards
    _limits     a time limit that says what every task was waiting for

A test that is marked ``motet`` becomes a sync function before other plugins see it, so none
of them runs it as well, whatever their modes.
"""

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from . import _options

if TYPE_CHECKING:
    from motet import MelleaSession
    from motet.testing import ModelServer, ScriptedBackend

    from ._running import VirtualClock


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare what can be set on the command line and in the configuration file."""
    _options.declare(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers."""
    for marker in _options.MARKERS:
        config.addinivalue_line("markers", marker)


# Innermost, so that the plugins around it, which look for coroutine functions, find none.
@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_pycollect_makeitem() -> Generator[None, Any, Any]:
    """Make async tests that are marked sync functions that run an event loop."""
    made = yield
    for item in made if isinstance(made, list) else [made]:
        if isinstance(item, pytest.Function) and _options.is_run_here(item):
            from ._running import make_sync

            make_sync(item)
    return made


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run an async test that is marked once on each event loop."""
    marks = list(metafunc.definition.iter_markers("motet"))
    for mark in marks:
        _options.check(metafunc.definition, mark)
    if not marks or not _options.is_async(metafunc.function):
        return
    loops = _options.loops(metafunc.config, marks)
    if "motet_loop" not in metafunc.fixturenames:
        metafunc.fixturenames.append("motet_loop")
    if "anyio_backend" in metafunc.fixturenames:
        # anyio's plugin wants the test, too, and would have it run on each of its loops.
        cases = pytest.mark.parametrize(
            ("motet_loop", "anyio_backend"),
            [(loop, "trio" if loop == "trio" else "asyncio") for loop in loops],
            indirect=["motet_loop"],
            ids=loops,
        )
    else:
        cases = pytest.mark.parametrize("motet_loop", loops, indirect=True)
    metafunc.definition.add_marker(cases)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Hold off the network, if this test is to have none."""
    allowed = _options.allowed_hosts(item)
    if allowed is None:
        return (yield)
    from motet.testing.network import no_network

    with no_network(allow=allowed):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Look afterwards at what the fixtures of this plugin have seen, whoever runs the test."""
    if not _options.concerns(pyfuncitem):
        return (yield)
    from ._running import running

    with running(pyfuncitem):
        return (yield)


# Outermost, so that the time of other plugins counts, and what ends a test late is turned
# into a failure before anybody takes it for Ctrl-C.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Limit the time of the fixtures."""
    return (yield from _limited(item))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Limit the time of the test."""
    return (yield from _limited(item))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Limit the time of what the fixtures do in the end."""
    return (yield from _limited(item))


def _limited(item: pytest.Item) -> Generator[None, object, object]:
    seconds = _options.timeout(item)
    if not seconds:
        return (yield)
    from ._limits import TimeLimit

    limit = TimeLimit(seconds)
    result: object = None
    try:
        with limit:
            result = yield
    except BaseException:
        if limit.report is None:
            raise
    if limit.report is not None:
        pytest.fail(limit.report, pytrace=False)
    return result


# Fixtures.


@pytest.fixture
def motet_loop(request: pytest.FixtureRequest) -> str:
    """The name of the event loop that a test marked ``motet`` runs on."""
    loop: str | None = getattr(request, "param", None)
    if loop is None:
        pytest.fail("only an async test that is marked `motet` has a motet_loop", pytrace=False)
    return loop


@pytest.fixture
def virtual_clock(request: pytest.FixtureRequest) -> "VirtualClock":
    """A clock that jumps when no task can run; the test's event loop goes by it.

    Its method ``time()`` returns the virtual time, in seconds since the test began, on the
    event loop and afterwards.
    """
    from ._running import make_clock

    return make_clock(request)


@pytest.fixture
def scripted_backend() -> "ScriptedBackend":
    """A `motet.testing.ScriptedBackend` without scripts; call its ``script``.

    After a test that passed, every reply of a list must have been asked for, and every
    request must have had a reply.
    """
    from motet.testing import ScriptedBackend

    return ScriptedBackend()


@pytest.fixture
def motet_session(scripted_backend: "ScriptedBackend") -> "MelleaSession":
    """A session with `scripted_backend`; it is closed when the test function is over."""
    import motet

    return motet.start_session(scripted_backend)


@pytest.fixture(scope="session")
def _model_server_thread() -> "Iterator[ModelServer]":
    from motet.testing import serve_in_thread

    with serve_in_thread() as server:
        yield server


@pytest.fixture
def model_server(
    request: pytest.FixtureRequest, _model_server_thread: "ModelServer"
) -> "Iterator[ModelServer]":
    """A simulated model server on a real socket, in a thread of its own; see `motet.testing`.

    It has seen nothing yet, and answers as fast as it can. After a test that passed no
    request may be open.
    """
    if "virtual_clock" in request.fixturenames:
        pytest.fail(
            "a virtual clock does not wait for a server in another thread: its time limits would "
            "pass at once. Take scripted_backend, or a real clock",
            pytrace=False,
        )
    _model_server_thread.reset()
    yield _model_server_thread
    # Whatever a test that failed has left may not reach the next one.
    _model_server_thread.drop_connections()


@pytest.fixture
def no_leaks() -> None:
    """Tasks, threads, streams, generators and connections that a test leaves fail it."""


@pytest.fixture
def no_network() -> None:
    """Connections to other machines are errors while the test runs."""
