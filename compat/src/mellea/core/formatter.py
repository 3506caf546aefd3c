"""What puts components into words."""

import abc
from typing import Any

__all__ = ["Formatter"]


class Formatter(abc.ABC):
    """Puts components into words."""

    @abc.abstractmethod
    def print(self, c: Any) -> str:
        """Return the text of a component, a block or a computed thunk."""
