"""Data: errors, options, model names, messages, metadata, states.

This layer knows values and what they mean. It knows nothing of awaiting, event loops,
threads, HTTP or wire formats, and imports no other layer.
"""
