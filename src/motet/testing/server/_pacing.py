"""
When each token is due.

This module knows the two numbers that describe a model's speed; it neither waits nor
looks at a clock. Due times are counted from the request and not from token to token, so
that a server that is late once catches up instead of being late for good.
"""

import math

import attrs
from attrs.validators import ge, gt


@attrs.frozen
class Pace:
    """How fast a model replies.

    Attributes:
        time_to_first_token: seconds from the request to the first token.
        tokens_per_second: ``math.inf`` for as fast as possible.
    """

    time_to_first_token: float = attrs.field(default=0.0, validator=ge(0))
    tokens_per_second: float = attrs.field(default=math.inf, validator=gt(0))

    def due(self, index: int) -> float:
        """Return when a token is due, in seconds after the request; 0 is the first."""
        return self.time_to_first_token + index / self.tokens_per_second

    def but(self, time_to_first_token: float | None, tokens_per_second: float | None) -> "Pace":
        """Return this pace with what is given replaced."""
        if time_to_first_token is None and tokens_per_second is None:
            return self
        return Pace(
            self.time_to_first_token if time_to_first_token is None else time_to_first_token,
            self.tokens_per_second if tokens_per_second is None else tokens_per_second,
        )
