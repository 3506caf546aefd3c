"""Every fault by both protocols, read in both ways, on both loops: an error with facts, or none."""

import gc
from collections.abc import Iterator
from typing import Any

import httpx
import httpx2
import pytest

from faults.matrix import (
    CELLS,
    FAULTS,
    FORMS,
    HANGS,
    LIMIT,
    PAGE,
    PATIENCE,
    PROTOCOLS,
    TEXT,
    Fault,
    Place,
    Seen,
    open_place,
    row,
    rows_of,
    table,
)
from motet import Phase

on_both_loops = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"], indirect=True),
]


def both_loops(function: Any) -> Any:
    for mark in on_both_loops:
        function = mark(function)
    return function


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with open_place() as opened:
        # Each cell looks for what it has left; what was there before need not be looked at.
        gc.collect()
        gc.freeze()
        yield opened
        gc.unfreeze()


def check(seen: Seen, fault: Fault, outcome: str) -> None:
    assert seen.outcome == outcome
    assert seen.partial == (fault.partial if outcome else TEXT)
    # Every byte that the error speaks of was there to be read before it.
    assert seen.read in (None, seen.partial)
    assert seen.seconds < (HANGS if fault.waits else PATIENCE)
    if fault.waits:
        assert seen.seconds >= LIMIT


@both_loops
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_fault_is_a_named_error_with_what_came_or_survived(
    fault: Fault, protocol: str, form: str, place: Place
) -> None:
    seen = await place.run(fault, protocol, form)
    check(seen, fault, fault.outcome(protocol))
    if seen.error is not None:
        assert seen.error.backend == protocol.lower()
        assert seen.error.model == "a-model"
        assert isinstance(seen.error.phase, Phase)
        if fault.waits:
            assert getattr(seen.error, "timeout", None) == LIMIT
        for name, value in fault.knows:
            assert getattr(seen.error, name) == value


# The libraries do not tell a head that is too long from a connection that broke.
_OTHERWISE = {"endless headers": "ConnectionLost"}


@both_loops
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
async def test_so_it_is_with_a_client_of_the_users_own(
    fault: Fault, library: Any, place: Place
) -> None:
    async with library.AsyncClient(follow_redirects=True) as http:
        for protocol, form in (("Ollama", "streamed"), ("OpenAI", "plain")):
            seen = await place.run(fault, protocol, form, http_client=http)
            check(seen, fault, _OTHERWISE.get(fault.name) or fault.outcome(protocol))


def test_the_page_says_what_happens() -> None:
    said = [row(*cell) for cell in CELLS]
    assert [each[: len(said[0])] for each in rows_of(PAGE.read_text(encoding="utf-8"))] == said


def test_the_table_is_made_of_what_was_measured() -> None:
    made = table(lambda loop: [0.25 if loop == "trio" else 0.5] * len(CELLS))
    assert [each[-2:] for each in rows_of(made)] == [["0.500 s", "0.250 s"]] * len(CELLS)
