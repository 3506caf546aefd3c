"""Tools: functions that a model may ask for, and how it is told of them.

Nothing here runs a tool on an event loop, and nothing speaks a protocol.
"""
