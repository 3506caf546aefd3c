"""
Which models the server pretends to have, and what they are called.

This module knows names. Every model that replies says in its name that it is simulated,
so that nobody takes its words for a real model's, not even in a log read months later.
"""

from collections.abc import Iterable
from typing import Final

import attrs

SUFFIX: Final = "-simulated"
DEFAULT_MODELS: Final = ("granite4.1:3b-simulated",)


def simulated_name(name: str) -> str:
    """Return a model's name with the suffix that says it is simulated."""
    return name if name.endswith(SUFFIX) else name + SUFFIX


def _simulated_names(names: Iterable[str]) -> frozenset[str]:
    return frozenset(map(simulated_name, names))


def _listed(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(simulated_name, names))


@attrs.frozen
class Catalogue:
    """The models of a server.

    Attributes:
        offered: the names that are listed; the suffix is added where it is missing.
        accept_any: reply under any other name, too.
        missing: the names that are refused in any case, with or without the suffix.
    """

    offered: tuple[str, ...] = attrs.field(default=DEFAULT_MODELS, converter=_listed)
    accept_any: bool = True
    missing: frozenset[str] = attrs.field(default=(), converter=_simulated_names)
    _pulled: dict[str, None] = attrs.field(factory=dict, init=False, repr=False)

    @property
    def listed(self) -> tuple[str, ...]:
        """The names that are there: those offered, and those pulled since."""
        return tuple(dict.fromkeys((*self.offered, *self._pulled)))

    def pull(self, name: str) -> str:
        """Get a model, also one that was missing; return its full name."""
        model = simulated_name(name.removesuffix(":latest"))
        self._pulled[model] = None
        return model

    def find(self, name: str) -> str | None:
        """Return the full name of a model, or ``None`` if there is no such model."""
        wanted = simulated_name(name.removesuffix(":latest"))
        if wanted in self._pulled:
            return wanted
        if wanted in self.missing or simulated_name(name) in self.missing:
            return None
        for candidate in (wanted, simulated_name(name)):
            if candidate in self.offered:
                return candidate
        return wanted if self.accept_any else None
