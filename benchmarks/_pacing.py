"""
What one reply of the load server looks like, carried by the name of the model.

The name is the one thing that every client library passes on untouched, so
``load:first=0.2,gap=0.01,tokens=20`` reaches the server through all of them.
This module knows the name and the records on the wire, and nothing of sockets or time.
"""

from __future__ import annotations

import functools
from typing import Final

import attrs

FAMILY: Final = "load"

# Five characters and a space's worth of text per token is what a model sends on average.
WORD: Final = "word "

# A prompt that is answered by one token at once, whatever the model: the first call of a
# client pays for its connection and, often, for an SSL context, and is never measured.
WARM_UP: Final = "briefly"


@attrs.frozen
class Pacing:
    """When the pieces of one reply are sent, and how they are cut; times in seconds."""

    first: float = 0.0  # from the request to the first token
    gap: float = 0.0  # from one token to the next; 0 sends them in one go
    tokens: int = 20
    silence: float = 0.0  # between the last token and the end of the reply
    segments: bool = False  # never two tokens in one write, also when late
    stamped: bool = False  # the text of a token is the server's clock when it was sent

    @property
    def model(self) -> str:
        """The model name that asks for this pacing."""
        wanted = attrs.asdict(self, filter=lambda field, value: value != field.default)
        return FAMILY + ":" + ",".join(f"{name}={float(v):g}" for name, v in wanted.items())

    @property
    def characters(self) -> int:
        """The length of the whole text; meaningless for a stamped reply."""
        return self.tokens * len(WORD)


@functools.lru_cache(maxsize=256)
def parse_model(model: str) -> Pacing:
    """Return the pacing that a model name asks for.

    Raises:
        ValueError: the name is not one that `Pacing.model` makes.
    """
    family, _, tag = model.partition(":")
    if family != FAMILY:
        raise ValueError(f"no such model: {model!r}; try {Pacing(gap=0.01).model!r}")
    wanted = dict(part.split("=", 1) for part in tag.split(",") if part)
    try:
        return Pacing(
            first=float(wanted.pop("first", 0)),
            gap=float(wanted.pop("gap", 0)),
            tokens=int(float(wanted.pop("tokens", 20))),
            silence=float(wanted.pop("silence", 0)),
            segments=bool(float(wanted.pop("segments", 0))),
            stamped=bool(float(wanted.pop("stamped", 0))),
        )
    finally:
        if wanted:
            raise ValueError(f"unknown pacing: {', '.join(wanted)}")
