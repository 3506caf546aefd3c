"""What happens in a run of streaming validation, as data.

The order in which events come is the engine's business; that a `CompletedEvent` is always
the last one is its promise.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..._language.requirement import PartialValidationResult, ValidationResult


@dataclass(slots=True)
class StreamEvent:
    """Something happened; the base of all events.

    Events are equal when they say the same, whenever that was.

    Attributes:
        timestamp: when, in seconds since the epoch.
    """

    timestamp: float = field(init=False, compare=False, default_factory=time.time)


@dataclass(slots=True)
class QuickCheckEvent(StreamEvent):
    """All requirements have said what they think of a chunk.

    Attributes:
        chunk_index: the chunk, counted from 0; the one that failed has an index, too.
        attempt: which try it was, counted from 1.
        passed: whether none of them said ``"fail"``.
        results: what they said, in the order of the requirements.
    """

    chunk_index: int
    attempt: int
    passed: bool
    results: list[PartialValidationResult]


@dataclass(slots=True)
class ChunkEvent(StreamEvent):
    """A chunk was released.

    Attributes:
        text: the chunk.
        chunk_index: how many were released before it.
        attempt: which try it was, counted from 1.
    """

    text: str
    chunk_index: int
    attempt: int


@dataclass(slots=True)
class StreamingDoneEvent(StreamEvent):
    """The reply is complete and all of it was released.

    Attributes:
        attempt: which try it was, counted from 1.
        full_text: the reply.
    """

    attempt: int
    full_text: str


@dataclass(slots=True)
class FullValidationEvent(StreamEvent):
    """The complete reply was validated.

    Attributes:
        attempt: which try it was, counted from 1.
        passed: whether it meets all requirements.
        results: what they said, in the order of the requirements.
    """

    attempt: int
    passed: bool
    results: list[ValidationResult]


@dataclass(slots=True)
class RetryEvent(StreamEvent):
    """Another try begins.

    Attributes:
        attempt: which one, counted from 1.
        reason: why the one before it was given up.
        void_from: from which character on the text that was released is void; all of it if 0.
        chunk_index: the first chunk that is void; chunks are counted on from here.
        chunk: the chunk that was not valid and was never released; empty if the whole reply was not.
    """

    attempt: int
    reason: str
    void_from: int = 0
    chunk_index: int = 0
    chunk: str = ""


@dataclass(slots=True)
class ErrorEvent(StreamEvent):
    """The run ends with an error.

    Attributes:
        exception_type: the name of its class.
        detail: its message.
    """

    exception_type: str
    detail: str


@dataclass(slots=True)
class CompletedEvent(StreamEvent):
    """The run is over. Always the last event.

    Attributes:
        success: whether the reply came to its natural end and nothing failed on the way. The
            verdict of the final validation is in the `FullValidationEvent`.
        full_text: the reply, or as much of it as was released.
        attempts_used: how many tries there were.
    """

    success: bool
    full_text: str
    attempts_used: int
