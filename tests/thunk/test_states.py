"""Every state with every signal, from an expectation that was written down independently."""

import enum
import itertools
from collections.abc import Mapping
from typing import Any, Final

import pytest

from motet._values import states
from motet._values.states import advance

# Each line: a state, and what each signal makes of it; "-" where the state refuses it.
# In the order of the names below, which is that of the documentation and not of the source.
GENERATION: Final = """
            planned  given  started  ended  broke   cancelled  abandoned
blank       pending  done   -        -      -       -          -
pending     -        -      running  -      failed  cancelled  abandoned
running     -        -      -        done   failed  cancelled  abandoned
done        -        -      -        -      -       -          -
failed      -        -      -        -      -       -          -
cancelled   -        -      -        -      -       -          -
abandoned   -        -      -        -      -       -          -
"""

DELIVERY: Final = """
            attached  drained
idle        attached  drained
attached    attached  drained
drained     -         drained
"""

RESOLUTION: Final = """
            learned
unknown     known
known       known
"""

AXES: Final = {
    "generation": (
        GENERATION,
        states.GENERATION,
        states.GenerationState,
        states.GenerationSignal,
    ),
    "delivery": (DELIVERY, states.DELIVERY, states.DeliveryState, states.DeliverySignal),
    "resolution": (RESOLUTION, states.RESOLUTION, states.ResolutionState, states.ResolutionSignal),
}


def read(text: str) -> dict[tuple[str, str], str | None]:
    """Return what a table above says: the next state for each state and signal."""
    head, *lines = text.strip("\n").splitlines()
    moves: dict[tuple[str, str], str | None] = {}
    for line in lines:
        state, *following = line.split()
        for signal, after in zip(head.split(), following, strict=True):
            moves[state, signal] = None if after == "-" else after
    return moves


MOVES: Final = [
    pytest.param(*axis[1:], state, signal, after, id=f"{name}: {state} + {signal}")
    for name, axis in AXES.items()
    for (state, signal), after in read(axis[0]).items()
]


@pytest.mark.parametrize(("table", "state_type", "signal_type", "state", "signal", "after"), MOVES)
def test_a_state_takes_a_signal_or_refuses_it_by_name(
    table: Mapping[Any, Mapping[Any, Any]],
    state_type: type[enum.Enum],
    signal_type: type[enum.Enum],
    state: str,
    signal: str,
    after: str | None,
) -> None:
    before, happens = state_type(state), signal_type(signal)
    if after is None:
        with pytest.raises(AssertionError) as caught:
            advance(table, before, happens)
        assert str(before) in str(caught.value)
        assert str(happens) in str(caught.value)
    else:
        assert advance(table, before, happens) is state_type(after)


@pytest.mark.parametrize("name", AXES)
def test_every_state_and_every_signal_is_expected(name: str) -> None:
    text, _, state_type, signal_type = AXES[name]
    everything = itertools.product(
        (state.value for state in state_type), (signal.value for signal in signal_type)
    )
    assert read(text).keys() == set(everything)


def test_an_outcome_is_written_once() -> None:
    assert {state.value for state in states.FINAL_STATES} == {
        "done",
        "failed",
        "cancelled",
        "abandoned",
    }
    for state in states.FINAL_STATES:
        for signal in states.GenerationSignal:
            with pytest.raises(AssertionError):
                advance(states.GENERATION, state, signal)


def test_what_is_live_is_neither_blank_nor_over() -> None:
    everything = frozenset(states.GenerationState)
    unborn = frozenset({states.GenerationState.BLANK})
    assert everything == states.LIVE_STATES | states.FINAL_STATES | unborn
