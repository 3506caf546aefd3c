"""The life of a thunk: its states, the signals that change them, and nothing else.

A thunk lives on three axes, each with one writer, so no state is ever fought over:

* its *generation* is written by the task that produces the reply, its last state once;
* its *delivery* is written by the one reader of its deltas;
* its *resolution* is written by the first consumer that learns the end.

The tables are the whole truth: only `advance` moves along them, and it refuses, by
name, a signal that the state does not know.
"""

import enum
from collections.abc import Mapping
from typing import Final, TypeVar


class GenerationState(enum.Enum):
    """What the producing task is up to."""

    BLANK = "blank"  # made by hand without a value: nothing will ever come
    PENDING = "pending"  # accepted, its task has not been started
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"  # by cancel_generation(): the partial text is its value
    ABANDONED = "abandoned"  # by losing interest or its owner: raises GenerationCancelled


class GenerationSignal(enum.Enum):
    """What happens to a generation."""

    GIVEN = "given"  # the value was there from the start
    PLANNED = "planned"
    STARTED = "started"
    ENDED = "ended"
    BROKE = "broke"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"


class DeliveryState(enum.Enum):
    """How far the reader of the deltas is."""

    IDLE = "idle"  # nobody has streamed
    ATTACHED = "attached"  # a reader has begun and not seen the end
    DRAINED = "drained"  # the reader has seen the end, or has given up the rest


class DeliverySignal(enum.Enum):
    """What the reader does."""

    ATTACHED = "attached"
    DRAINED = "drained"


class ResolutionState(enum.Enum):
    """Whether a consumer knows the outcome."""

    UNKNOWN = "unknown"
    KNOWN = "known"


class ResolutionSignal(enum.Enum):
    """What a consumer finds out."""

    LEARNED = "learned"


_G, _S = GenerationState, GenerationSignal

# A generation can be stopped before its task has begun, and a task that breaks at
# its very start has not said STARTED; the four final states take no signal at all,
# because an outcome is written once.
GENERATION: Final[Mapping[GenerationState, Mapping[GenerationSignal, GenerationState]]] = {
    _G.BLANK: {_S.GIVEN: _G.DONE, _S.PLANNED: _G.PENDING},
    _G.PENDING: {
        _S.STARTED: _G.RUNNING,
        _S.BROKE: _G.FAILED,
        _S.CANCELLED: _G.CANCELLED,
        _S.ABANDONED: _G.ABANDONED,
    },
    _G.RUNNING: {
        _S.ENDED: _G.DONE,
        _S.BROKE: _G.FAILED,
        _S.CANCELLED: _G.CANCELLED,
        _S.ABANDONED: _G.ABANDONED,
    },
    _G.DONE: {},
    _G.FAILED: {},
    _G.CANCELLED: {},
    _G.ABANDONED: {},
}

# A reader may read on after the end (it gets the full value again), and giving up
# twice is harmless; but a drained reply is never attached again.
DELIVERY: Final[Mapping[DeliveryState, Mapping[DeliverySignal, DeliveryState]]] = {
    DeliveryState.IDLE: {
        DeliverySignal.ATTACHED: DeliveryState.ATTACHED,
        DeliverySignal.DRAINED: DeliveryState.DRAINED,
    },
    DeliveryState.ATTACHED: {
        DeliverySignal.ATTACHED: DeliveryState.ATTACHED,
        DeliverySignal.DRAINED: DeliveryState.DRAINED,
    },
    DeliveryState.DRAINED: {DeliverySignal.DRAINED: DeliveryState.DRAINED},
}

RESOLUTION: Final[Mapping[ResolutionState, Mapping[ResolutionSignal, ResolutionState]]] = {
    ResolutionState.UNKNOWN: {ResolutionSignal.LEARNED: ResolutionState.KNOWN},
    ResolutionState.KNOWN: {ResolutionSignal.LEARNED: ResolutionState.KNOWN},
}

FINAL_STATES: Final = frozenset(state for state, moves in GENERATION.items() if not moves)
LIVE_STATES: Final = frozenset({_G.PENDING, _G.RUNNING})

StateT = TypeVar("StateT", bound=enum.Enum)
SignalT = TypeVar("SignalT", bound=enum.Enum)


def advance(
    table: Mapping[StateT, Mapping[SignalT, StateT]], state: StateT, signal: SignalT
) -> StateT:
    """Return the state that *signal* leads to.

    Raises:
        AssertionError: the table has no such move; that is a bug in motet.
    """
    try:
        return table[state][signal]
    except KeyError:
        raise AssertionError(f"{state} does not take {signal}") from None
