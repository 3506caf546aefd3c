"""Event loops, the tasks we start on them, and threads. Knows no models and no HTTP.

This is the only layer that may tell asyncio from Trio.
"""
