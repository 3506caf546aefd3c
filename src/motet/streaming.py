"""Streams that are validated while they come, chunk by chunk, and end early when a chunk fails.

`stream_with_chunking` runs in the background and tells what happens as events; `stream` runs
on the task of whoever iterates over it. Both stop the request at the first chunk that a
requirement refuses, and with ``attempts=`` try again.
"""

from ._programs.streaming.chunked import StreamChunkingResult as StreamChunkingResult
from ._programs.streaming.chunked import stream_with_chunking as stream_with_chunking
from ._programs.streaming.events import ChunkEvent as ChunkEvent
from ._programs.streaming.events import CompletedEvent as CompletedEvent
from ._programs.streaming.events import ErrorEvent as ErrorEvent
from ._programs.streaming.events import FullValidationEvent as FullValidationEvent
from ._programs.streaming.events import QuickCheckEvent as QuickCheckEvent
from ._programs.streaming.events import RetryEvent as RetryEvent
from ._programs.streaming.events import StreamEvent as StreamEvent
from ._programs.streaming.events import StreamingDoneEvent as StreamingDoneEvent
from ._programs.streaming.repair import FailedAttempt as FailedAttempt
from ._programs.streaming.repair import GoOn as GoOn
from ._programs.streaming.repair import StartOver as StartOver
from ._programs.streaming.repair import StreamRepair as StreamRepair
from ._programs.streaming.streamer import Streamer as Streamer
from ._programs.streaming.streamer import stream as stream
from ._programs.streaming.web import EventStream as EventStream
from ._programs.streaming.web import server_sent_event as server_sent_event
from ._wire.chunking import Chunker as Chunker
from ._wire.chunking import ChunkingStrategy as ChunkingStrategy
from ._wire.chunking import JSONValueChunker as JSONValueChunker
from ._wire.chunking import LineChunker as LineChunker
from ._wire.chunking import ParagraphChunker as ParagraphChunker
from ._wire.chunking import ParagraphChunking as ParagraphChunking
from ._wire.chunking import RegexChunker as RegexChunker
from ._wire.chunking import SentenceChunker as SentenceChunker
from ._wire.chunking import SentenceChunking as SentenceChunking
from ._wire.chunking import WordChunker as WordChunker
from ._wire.chunking import WordChunking as WordChunking
from ._wire.chunking import resolve_chunking_strategy as resolve_chunking_strategy

__all__ = [
    "ChunkEvent",
    "Chunker",
    "ChunkingStrategy",
    "CompletedEvent",
    "ErrorEvent",
    "EventStream",
    "FailedAttempt",
    "FullValidationEvent",
    "GoOn",
    "JSONValueChunker",
    "LineChunker",
    "ParagraphChunker",
    "ParagraphChunking",
    "QuickCheckEvent",
    "RegexChunker",
    "RetryEvent",
    "SentenceChunker",
    "SentenceChunking",
    "StartOver",
    "StreamChunkingResult",
    "StreamEvent",
    "StreamRepair",
    "Streamer",
    "StreamingDoneEvent",
    "WordChunker",
    "WordChunking",
    "resolve_chunking_strategy",
    "server_sent_event",
    "stream",
    "stream_with_chunking",
]
