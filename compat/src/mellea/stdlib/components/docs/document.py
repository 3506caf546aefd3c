"""A text that a message refers to."""

from motet import Document as Document

__all__ = ["Document"]
