"""
What became of each item: the rows of the result, and the sums over them.

Data only. The pipeline writes it, the progress display and the reports read it, and
since the rows are made before the first call, none can be lost on the way.
"""

import enum
from collections import Counter
from collections.abc import Iterable

import anyio
import attrs

from ._items import FeedbackItem


class Status(enum.StrEnum):
    """How far an item is."""

    WAITING = "waiting"
    IN_FLIGHT = "in flight"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@attrs.frozen
class CallRecord:
    """What one call of a model took.

    Attributes:
        seconds: from sending the request to the last token, or to the error.
        tokens: how many the reply had.
    """

    seconds: float
    tokens: int


@attrs.define(eq=False)
class Row:
    """One item and what the pipeline found out about it.

    A row that failed keeps what was found before.

    Attributes:
        seconds: from the item's first call to the end of its last one.
        calls: by the names ``summary``, ``issues`` and ``sentiment``.
        error: why it failed or is not there.
        settled: set when nothing of the row will change any more.
    """

    item: FeedbackItem
    status: Status = Status.WAITING
    sentiment: str | None = None
    summary: str | None = None
    main_complaint: str | None = None
    positive_aspect: str | None = None
    urgency: str | None = None
    seconds: float | None = None
    calls: dict[str, CallRecord] = attrs.field(factory=dict)
    error: str | None = None
    settled: anyio.Event = attrs.field(factory=anyio.Event, repr=False)

    def settle(self, error: str | None) -> None:
        """Say that the item is through, well if there is no *error*."""
        self.error = error
        self.status = Status.DONE if error is None else Status.FAILED
        self.settled.set()

    def cancel(self) -> None:
        """Say that nothing more will come, if the row is not settled already."""
        if not self.settled.is_set():
            self.status = Status.CANCELLED
            self.error = "cancelled"
            self.settled.set()


@attrs.define(eq=False)
class Board:
    """All rows, in the order of the items, and what is counted across them.

    Attributes:
        tokens: how many have arrived so far, also of replies that are still coming.
        open_calls: replies that are being waited for at this moment.
        wall_seconds: how long the run took, once it is over.
    """

    rows: list[Row]
    tokens: int = 0
    open_calls: int = 0
    wall_seconds: float = 0.0

    @classmethod
    def of(cls, items: Iterable[FeedbackItem]) -> "Board":
        """Make the board for *items*, each waiting in its row."""
        return cls([Row(item) for item in items])

    def count(self) -> Counter[Status]:
        """Return how many rows have each status."""
        return Counter(row.status for row in self.rows)

    @property
    def calls(self) -> list[CallRecord]:
        """Every call that has ended."""
        return [call for row in self.rows for call in row.calls.values()]

    def cancel_rest(self) -> None:
        """Mark every row that is not settled as cancelled."""
        for row in self.rows:
            row.cancel()
