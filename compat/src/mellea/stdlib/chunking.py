"""What cuts a reply into chunks while it comes."""

from motet.streaming import Chunker as Chunker
from motet.streaming import ChunkingStrategy as ChunkingStrategy
from motet.streaming import ParagraphChunker as ParagraphChunker
from motet.streaming import ParagraphChunking as ParagraphChunking
from motet.streaming import SentenceChunker as SentenceChunker
from motet.streaming import SentenceChunking as SentenceChunking
from motet.streaming import WordChunker as WordChunker
from motet.streaming import WordChunking as WordChunking
from motet.streaming import resolve_chunking_strategy as resolve_chunking_strategy

__all__ = [
    "Chunker",
    "ChunkingStrategy",
    "ParagraphChunker",
    "ParagraphChunking",
    "SentenceChunker",
    "SentenceChunking",
    "WordChunker",
    "WordChunking",
    "resolve_chunking_strategy",
]
