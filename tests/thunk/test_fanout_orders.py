"""Every order in which three replies can end, well or badly, with the caller cancelled or not.

The expectations are worked out by the functions of this module, from what the
documentation says, and compared with what happens on a virtual clock.
"""

import itertools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Final

import anyio
import attrs
import pytest

from motet._thunk.fanout import (
    as_completed,
    first_valid,
    gather_all,
    wait_for_all_mots,
    wait_for_quorum,
)
from motet._thunk.thunk import ModelOutputThunk
from motet._values.errors import GenerationCancelled, NoValidReply, QuorumNotReached
from motet.testing.leaks import no_leaks
from thunk.by_hand import interest, scripted
from virtual_time import on_virtual_time

pytestmark = [pytest.mark.anyio, on_virtual_time]

LINGER: Final = 0.25
# Three replies end at 1, 2 and 3 seconds; the caller is cancelled before each of them, or never.
MOMENTS: Final = (1, 2, 3)
CANCELLATIONS: Final = (0.5, 1.5, 2.5, None)


class Own(Exception):
    """The error of a reply."""


@attrs.frozen
class Case:
    """When each reply ends, whether it ends well, and when the caller is cancelled."""

    ends: Sequence[int]
    good: tuple[bool, ...]
    cancelled: float | None

    def by_time(self) -> list[int]:
        """Return the numbers of the replies in the order in which they end."""
        return sorted(range(len(self.ends)), key=self.ends.__getitem__)


@attrs.frozen
class Expected:
    """How the call ends, when, and what becomes of the replies that are pending then."""

    at: float
    result: Any
    stopped: bool = True  # pending replies have unwound when the call ends


def cases() -> Iterator[Case]:
    # All that the order of the list can mean: it is that of the ends, or it is not.
    for ends in (MOMENTS, (3, 1, 2)):
        for good in itertools.product([True, False], repeat=len(MOMENTS)):
            for cancelled in CANCELLATIONS:
                yield Case(ends, good, cancelled)


def all_mots(case: Case) -> Expected:
    for number in case.by_time():
        if not case.good[number]:
            return Expected(case.ends[number], ("Own", number))
    return Expected(3, None)


def gathered(case: Case) -> Expected:
    return Expected(3, [str(i) if case.good[i] else ("Own", i) for i in range(3)])


def first(case: Case) -> Expected:
    for number in case.by_time():
        if case.good[number]:
            return Expected(case.ends[number], number)
    return Expected(3, ("NoValidReply", case.by_time()))


def quorum_of_two(case: Case) -> Expected:
    good: list[int] = []
    bad: list[int] = []
    for number in case.by_time():
        (good if case.good[number] else bad).append(number)
        if len(good) == 2:
            return Expected(case.ends[number], good)
        if len(bad) == 2:
            return Expected(case.ends[number], ("QuorumNotReached", bad))
    raise AssertionError("one of the two is certain")


def two_of_the_arrivals(case: Case) -> Expected:
    return Expected(2, case.by_time()[:2])


Thunks = list[ModelOutputThunk[Any]]


async def take_two(mots: Thunks) -> Thunks:
    taken: Thunks = []
    async with as_completed(mots) as arriving:
        async for mot in arriving:
            taken.append(mot)
            if len(taken) == 2:
                break
    return taken


async def quorum(mots: Thunks) -> Thunks:
    return await wait_for_quorum(mots, 2)


CALLS: dict[str, tuple[Callable[[Thunks], Awaitable[Any]], Callable[[Case], Expected]]] = {
    "wait_for_all_mots": (wait_for_all_mots, all_mots),
    "gather_all": (gather_all, gathered),
    "first_valid": (first_valid, first),
    "wait_for_quorum": (quorum, quorum_of_two),
    "as_completed": (take_two, two_of_the_arrivals),
}


def plain(result: Any, mots: Thunks) -> Any:
    """Return a result in the words of the expectations."""
    match result:
        case ModelOutputThunk():
            return mots.index(result)
        case Own():
            return ("Own", result.args[0])
        case NoValidReply() | QuorumNotReached():
            return (type(result).__name__, [error.args[0] for error in result.errors])
        case list() if all(isinstance(item, ModelOutputThunk) for item in result):
            return [mots.index(item) for item in result]
        case list():
            return [item.value if item.ok else plain(item.error, mots) for item in result]
        case _:
            return result


async def try_case(
    call: Callable[[Thunks], Awaitable[Any]], case: Case, expected: Expected
) -> None:
    start = anyio.current_time()
    stopped: list[list[float]] = [[] for _ in MOMENTS]
    mots = [
        scripted(
            float(end), str(number), *([] if good else [Own(number)]), stopped=at, linger=LINGER
        )
        for number, (end, good, at) in enumerate(zip(case.ends, case.good, stopped, strict=True))
    ]
    result: Any = None
    with anyio.CancelScope() as scope:
        if case.cancelled is not None:
            scope.deadline = start + case.cancelled
        try:
            result = await call(mots)
        except Exception as exc:
            result = exc
    ended = anyio.current_time() - start
    assert scope.cancelled_caught is (case.cancelled is not None and case.cancelled < expected.at)
    if scope.cancelled_caught:
        assert ended == case.cancelled
    else:
        assert ended == expected.at
        assert plain(result, mots) == expected.result
    # What had ended keeps its outcome; the rest was stopped, at once or after *linger*.
    at_once = not scope.cancelled_caught or call is take_two
    assert [interest(mot) for mot in mots] == [0, 0, 0]
    for number, mot in enumerate(mots):
        if case.ends[number] <= ended:
            assert stopped[number] == []
            if case.good[number]:
                assert await mot == str(number)
            else:
                with pytest.raises(Own):
                    await mot
        elif at_once:
            assert stopped[number] == [start + ended]
            with pytest.raises(GenerationCancelled):
                await mot
    await anyio.sleep(start + ended + LINGER + 0.125 - anyio.current_time())
    for number, mot in enumerate(mots):
        if case.ends[number] > ended:
            assert stopped[number] == [start + ended + (0 if at_once else LINGER)]
            with pytest.raises(GenerationCancelled):
                await mot


@pytest.mark.parametrize("name", CALLS)
async def test_every_order_of_ends_failures_and_cancellations(name: str) -> None:
    call, expect = CALLS[name]
    with no_leaks():
        for case in cases():
            try:
                await try_case(call, case, expect(case))
            except BaseException as exc:
                exc.add_note(f"{case}")
                raise
