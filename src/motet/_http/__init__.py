"""Requests to a model server: connections, limits on calls in flight, one exchange.

Knows HTTP and event loops; does not know what the bytes of a reply mean.
"""
