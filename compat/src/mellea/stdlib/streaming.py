"""Replies that are validated while they come, chunk by chunk."""

from motet.streaming import ChunkEvent as ChunkEvent
from motet.streaming import CompletedEvent as CompletedEvent
from motet.streaming import ErrorEvent as ErrorEvent
from motet.streaming import FullValidationEvent as FullValidationEvent
from motet.streaming import QuickCheckEvent as QuickCheckEvent
from motet.streaming import RetryEvent as RetryEvent
from motet.streaming import StreamChunkingResult as StreamChunkingResult
from motet.streaming import Streamer as Streamer
from motet.streaming import StreamEvent as StreamEvent
from motet.streaming import StreamingDoneEvent as StreamingDoneEvent
from motet.streaming import stream as stream
from motet.streaming import stream_with_chunking as stream_with_chunking

__all__ = [
    "ChunkEvent",
    "CompletedEvent",
    "ErrorEvent",
    "FullValidationEvent",
    "QuickCheckEvent",
    "RetryEvent",
    "StreamChunkingResult",
    "StreamEvent",
    "Streamer",
    "StreamingDoneEvent",
    "stream",
    "stream_with_chunking",
]
