"""Named texts as one component."""

from motet import SimpleComponent as SimpleComponent

__all__ = ["SimpleComponent"]
