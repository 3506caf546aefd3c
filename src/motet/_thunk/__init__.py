"""Replies that may not have arrived yet, and waiting for many of them.

Knows outcomes, interest and deltas; does not know who produces them.
"""
