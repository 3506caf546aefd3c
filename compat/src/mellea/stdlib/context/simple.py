"""A context of which a model is told nothing."""

from motet import SimpleContext as SimpleContext

__all__ = ["SimpleContext"]
