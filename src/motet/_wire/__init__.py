"""Wire formats without input or output: bytes and text in, values out, and back.

This layer knows what model servers send and want to be sent. It knows nothing of
sockets, tasks or time, and imports only the values below it.
"""
