"""What programs are made of."""

from .chunking import ChunkingStrategy as ChunkingStrategy
from .chunking import ParagraphChunker as ParagraphChunker
from .chunking import SentenceChunker as SentenceChunker
from .chunking import WordChunker as WordChunker
from .streaming import ChunkEvent as ChunkEvent
from .streaming import CompletedEvent as CompletedEvent
from .streaming import ErrorEvent as ErrorEvent
from .streaming import FullValidationEvent as FullValidationEvent
from .streaming import QuickCheckEvent as QuickCheckEvent
from .streaming import StreamChunkingResult as StreamChunkingResult
from .streaming import StreamEvent as StreamEvent
from .streaming import StreamingDoneEvent as StreamingDoneEvent
from .streaming import stream_with_chunking as stream_with_chunking

__all__ = [
    "ChunkEvent",
    "ChunkingStrategy",
    "CompletedEvent",
    "ErrorEvent",
    "FullValidationEvent",
    "ParagraphChunker",
    "QuickCheckEvent",
    "SentenceChunker",
    "StreamChunkingResult",
    "StreamEvent",
    "StreamingDoneEvent",
    "WordChunker",
    "stream_with_chunking",
]
