"""Backends: each talks to one kind of model server.

To add one, subclass `Backend` and write `Backend.reply`: take a `Request`, feed a `Reply`.
Everything else (laziness, cancellation, waiting for inputs, prompts, logs) is done
around it.
"""

from .._values.options import ModelOption as ModelOption
from .._wire.ollama_models import PullProgress as PullProgress
from .base import Backend as Backend
from .base import Reply as Reply
from .base import Request as Request
from .ollama import OllamaModelBackend as OllamaModelBackend
from .openai import OpenAIBackend as OpenAIBackend

__all__ = [
    "Backend",
    "ModelOption",
    "OllamaModelBackend",
    "OpenAIBackend",
    "PullProgress",
    "Reply",
    "Request",
]
