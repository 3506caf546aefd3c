"""What can be set, where, and what holds for a test.

This module knows pytest and neither event loops nor motet.
"""

import inspect
from collections.abc import Sequence
from typing import Any, Final

import pytest

LOOPS: Final = ("asyncio", "trio", "uvloop")
DEFAULT_TIMEOUT: Final = 60.0  # real seconds, for tests that are marked

MARKERS: Final = (
    (
        "motet(loops=None, clock=None, timeout=None, leaks=None): run an async test on each event "
        "loop (loops=['trio']: only there), on the clock 'real' or 'virtual', for so many seconds "
        "at most; leaks=True looks for what it leaves behind. Without network; see allow_network."
    ),
    "allow_network(*hosts): a test may reach these hosts, or any if none is named.",
)

FIXTURES: Final = frozenset({"scripted_backend", "motet_session", "model_server", "no_leaks"})

_INI: Final = (
    ("motet_loops", "args", "the event loops of tests marked `motet`: asyncio, trio, uvloop"),
    ("motet_clock", "string", "their clock: real (the default) or virtual"),
    ("motet_timeout", "string", "the longest time of every test, in seconds; 0 for no limit"),
    ("motet_no_leaks", "bool", "look for what tests marked `motet` leave behind"),
    ("motet_no_network", "bool", "hold off the network in every test"),
)


def declare(parser: pytest.Parser) -> None:
    """Declare the options."""
    for name, kind, text in _INI:
        default: Any = {"args": [], "bool": False}.get(kind, "")
        parser.addini(name, text, type=kind, default=default)  # type: ignore[arg-type]
    group = parser.getgroup("motet", "tests of programs with models")
    group.addoption(
        "--motet-loop",
        action="append",
        choices=LOOPS,
        help="run tests marked `motet` on this event loop only; may be repeated",
    )
    group.addoption(
        "--motet-timeout",
        type=float,
        metavar="SECONDS",
        help="end every test after so long, and say what its tasks were waiting for; 0: never. "
        f"Without it {DEFAULT_TIMEOUT:g} for tests marked `motet`, and no limit for others.",
    )
    group.addoption(
        "--motet-no-leaks",
        action="store_true",
        help="look for what tests marked `motet` leave behind",
    )
    group.addoption(
        "--motet-no-network",
        action="store_true",
        help="hold off connections to other machines in every test, not only in marked ones",
    )


def is_async(function: Any) -> bool:
    """Tell whether a test is an async function, inside of hypothesis or not."""
    inner = getattr(getattr(function, "hypothesis", None), "inner_test", function)
    return inspect.iscoroutinefunction(inner) or hasattr(inner, "runs_an_event_loop")


def is_run_here(item: pytest.Function) -> bool:
    """Tell whether a test is an async one that this plugin runs."""
    return item.get_closest_marker("motet") is not None and is_async(item.obj)


def concerns(item: pytest.Function) -> bool:
    """Tell whether there is anything to do, or to look at, for a test."""
    return item.get_closest_marker("motet") is not None or not FIXTURES.isdisjoint(
        item.fixturenames
    )


def check(node: pytest.Item, mark: pytest.Mark) -> None:
    """Look at the arguments of the marker of a test.

    Raises:
        pytest.Collector.CollectError: it does not know one of them.
    """
    known = {"loops", "clock", "timeout", "leaks"}
    if mark.args or set(mark.kwargs) - known:
        given = [*map(repr, mark.args), *sorted(set(mark.kwargs) - known)]
        raise pytest.Collector.CollectError(
            f"{node.name}: the marker `motet` takes {', '.join(sorted(known))} by name, and was "
            f"given {', '.join(given)}"
        )


def loops(config: pytest.Config, marks: Sequence[pytest.Mark]) -> list[str]:
    """Return the names of the event loops for a test.

    Raises:
        pytest.Collector.CollectError: there is no such event loop.
    """
    said = [mark.kwargs["loops"] for mark in marks if mark.kwargs.get("loops")]
    chosen = next(iter(said), None) or config.getini("motet_loops") or ["asyncio", "trio"]
    wanted = [chosen] if isinstance(chosen, str) else list(chosen)
    for name in wanted:
        if name not in LOOPS:
            raise pytest.Collector.CollectError(
                f"there is no event loop {name!r}; choose from {', '.join(LOOPS)}"
            )
    only = config.getoption("motet_loop")
    # A test that does not run on the loop of the command line is skipped by having no case.
    return [name for name in wanted if not only or name in only]


def _setting(item: pytest.Item, name: str) -> Any:
    # The closest one that says something: a test may say less than its module.
    for mark in item.iter_markers("motet"):
        if (value := mark.kwargs.get(name)) is not None:
            return value
    return None


def has_virtual_clock(item: pytest.Item) -> bool:
    """Tell whether a test goes by a virtual clock."""
    if "virtual_clock" in getattr(item, "fixturenames", ()):
        return True
    clock = _setting(item, "clock") or item.config.getini("motet_clock") or "real"
    if clock not in ("real", "virtual"):
        raise pytest.UsageError(f"the clock should be real or virtual, not {clock!r}")
    return bool(clock == "virtual")


def timeout(item: pytest.Item) -> float:
    """Return for how long each part of a test may take, in seconds; 0 for ever."""
    given = _setting(item, "timeout")
    if given is None:
        given = item.config.getoption("motet_timeout")
    if given is None:
        given = item.config.getini("motet_timeout") or None
    if given is None:
        given = DEFAULT_TIMEOUT if item.get_closest_marker("motet") else 0
    try:
        seconds = float(given)
    except ValueError:
        raise pytest.UsageError(f"motet_timeout should be seconds, not {given!r}") from None
    if not seconds >= 0:
        raise pytest.UsageError(f"motet_timeout should be 0 or more, not {seconds:g}")
    return seconds


def leaks_are_looked_for(item: pytest.Item) -> bool:
    """Tell whether a test may leave nothing behind."""
    if "no_leaks" in getattr(item, "fixturenames", ()):
        return True
    if item.get_closest_marker("motet") is None:
        return False
    given = _setting(item, "leaks")
    config = item.config
    everywhere = config.getoption("motet_no_leaks") or config.getini("motet_no_leaks")
    return bool(everywhere if given is None else given)


def allowed_hosts(item: pytest.Item) -> list[str] | None:
    """Return which hosts a test may reach beside this machine; None for all of them."""
    config = item.config
    everywhere = config.getoption("motet_no_network") or config.getini("motet_no_network")
    here = item.get_closest_marker("motet") or "no_network" in getattr(item, "fixturenames", ())
    if not everywhere and not here:
        return None
    mark = item.get_closest_marker("allow_network")
    if mark is None:
        return []
    return [str(host) for host in mark.args] or None
