"""A test on its event loop, and what must be true when it is over.

This module knows motet's test kit; it is loaded by the first test that needs it.
"""

import functools
import gc
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any, Final

import anyio
import pytest

from motet import MelleaSession
from motet.testing import ModelServer, ScriptedBackend, virtual_loop
from motet.testing.leaks import Census, Leak, LeakError
from motet.testing.virtual_time import LoopOptions

from . import _options

# For as long a generation may go on that nobody waits for any more, and a little.
_LINGER: Final = 0.3  # seconds on the event loop's clock
_SERVER_NOTICES: Final = 2.0  # real seconds


class VirtualClock:
    """The clock of a test; the fixture ``virtual_clock``.

    Args:
        loop: the name of the event loop.

    Raises:
        ValueError: that event loop has no virtual clock.
    """

    def __init__(self, loop: str) -> None:
        self._name: Final = loop
        self._time: Callable[[], float] = lambda: 0.0
        self.start()

    def start(self) -> LoopOptions:
        """Return the name and the options of an event loop on this clock, which is at 0 again."""
        name, options = virtual_loop(self._name)
        if name == "trio":
            self._time = options["clock"].current_time
        else:
            make_loop = options["loop_factory"]

            def loop_factory() -> Any:
                loop = make_loop()
                self._time = loop.time
                return loop

            options["loop_factory"] = loop_factory
        return name, options

    def time(self) -> float:
        """Return the virtual time, in seconds since the test began."""
        return self._time()


def make_clock(request: pytest.FixtureRequest) -> VirtualClock:
    """Return the clock of a test.

    Raises:
        pytest.fail.Exception: the test is not one that this plugin runs.
    """
    if not _options.is_run_here(request.node):
        pytest.fail(
            "virtual_clock is for async tests that are marked `motet`; those that another plugin "
            "runs get their event loop from it (see motet.testing.virtual_loop)",
            pytrace=False,
        )
    return _clock(request.getfixturevalue("motet_loop"))


def _clock(loop: str) -> VirtualClock:
    try:
        return VirtualClock(loop)
    except ValueError as exc:
        pytest.fail(str(exc), pytrace=False)


def make_sync(item: pytest.Function) -> None:
    """Have an async test run its event loop itself."""
    function = item.obj
    if not hasattr(function, "hypothesis"):
        item.obj = _runner(function)
    elif not hasattr(function.hypothesis.inner_test, "runs_an_event_loop"):
        # All cases of a test share it. Every example gets an event loop of its own.
        function.hypothesis.inner_test = _runner(function.hypothesis.inner_test)


def _runner(function: Callable[..., Any]) -> Callable[..., None]:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        _run(_items[-1], functools.partial(function, *args, **kwargs))

    run.runs_an_event_loop = True  # type: ignore[attr-defined]
    return run


def _run(item: pytest.Function, test: Callable[[], Any]) -> None:
    __tracebackhide__ = True

    async def main() -> list[Leak]:
        __tracebackhide__ = True
        return await _run_and_look(item, test)

    # The task is called as the test is, where somebody lists the tasks.
    main.__module__, main.__qualname__ = item.module.__name__, item.name
    name, options = _loop_options(item)
    if leaks := anyio.run(main, backend=name, backend_options=options):
        pytest.fail(str(LeakError(leaks)), pytrace=False)


def _loop_options(item: pytest.Function) -> LoopOptions:
    loop = str(item.callspec.params["motet_loop"])
    if _options.has_virtual_clock(item):
        given = item.funcargs.get("virtual_clock")
        clock = given if isinstance(given, VirtualClock) else _clock(loop)
        return clock.start()
    if loop == "uvloop":
        return "asyncio", {"use_uvloop": True}
    return loop, {}


async def _run_and_look(item: pytest.Function, test: Callable[[], Any]) -> list[Leak]:
    __tracebackhide__ = True
    before = Census.take() if _options.leaks_are_looked_for(item) else None
    async with AsyncExitStack() as stack:
        session = item.funcargs.get("motet_session")
        if isinstance(session, MelleaSession):
            await stack.enter_async_context(session)
        await test()
    if before is not None and before.leaks():
        await anyio.sleep(_LINGER)
        return before.leaks()
    return []


# What is running now, innermost last: a test of a plugin may run pytest.
_items: Final[list[pytest.Function]] = []


@contextmanager
def running(item: pytest.Function) -> Iterator[None]:
    """Say which test is running, and check what its fixtures have seen if it passes."""
    _items.append(item)
    try:
        with _only_what_is_new(item) as before:
            yield
            wrong = _what_is_wrong(item, before)
    finally:
        _items.pop()
    if wrong is not None:
        pytest.fail(wrong, pytrace=False)  # the lines of a plugin would tell nothing


@contextmanager
def _only_what_is_new(item: pytest.Function) -> Iterator[Census | None]:
    if not _options.leaks_are_looked_for(item):
        yield None
        return
    # The collector, and whoever asks it, looks at nothing older than the test: a hundred times
    # as fast where much is loaded.
    gc.freeze()
    try:
        yield Census.take()
    finally:
        gc.unfreeze()


def _what_is_wrong(item: pytest.Function, before: Census | None) -> str | None:
    try:
        if before is not None and (leaks := before.leaks()):
            raise LeakError(leaks)
        for value in item.funcargs.values():
            match value:
                case ScriptedBackend():
                    value.assert_used()
                    value.assert_idle()
                case ModelServer():
                    _wait_for(value)
                case _:
                    pass
    except AssertionError as exc:
        return str(exc)
    return None


def _wait_for(server: ModelServer) -> None:
    try:
        server.block_until_idle(within=_SERVER_NOTICES)
    except TimeoutError:
        server.assert_idle()  # says what is open, as an assertion
