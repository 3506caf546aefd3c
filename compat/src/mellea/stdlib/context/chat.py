"""A conversation."""

from motet import ChatContext as ChatContext

__all__ = ["ChatContext"]
