"""Documents that messages refer to."""

from .document import Document as Document

__all__ = ["Document"]
