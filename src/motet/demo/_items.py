"""
A feedback item, and the ones that come with the package.

This module knows what an item is. It does not know files of users (`_reading`), nor
what becomes of an item (`_rows`).
"""

import json
from importlib import resources

import attrs


@attrs.frozen
class FeedbackItem:
    """What a customer wrote, or the place where that should have been.

    Attributes:
        id: what the row of the result is called; not necessarily unique.
        text: the feedback.
        error: why *text* cannot be used; such an item becomes a row without a call.
    """

    id: str
    text: str
    error: str | None = None


def built_in_items() -> list[FeedbackItem]:
    """Return the feedback that the package brings along, always in the same order."""
    data = resources.files(__package__).joinpath("feedback.jsonl").read_text(encoding="utf-8")
    # Not splitlines(): a text may hold one of the many other characters it splits at.
    return [FeedbackItem(**json.loads(line)) for line in data.split("\n") if line]
