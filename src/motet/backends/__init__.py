"""Backends: each talks to one kind of model server.

To add one, subclass `Backend` and write `Backend.reply`: take a `Request`, feed a `Reply`.
Everything else (laziness, cancellation, waiting for inputs, prompts, logs) is done
around it.
"""

from typing import TYPE_CHECKING, Any

from .._values.options import ModelOption as ModelOption
from .._wire.ollama_models import PullProgress as PullProgress
from .base import Backend as Backend
from .base import Reply as Reply
from .base import Request as Request
from .combinators import BalancedBackend as BalancedBackend
from .combinators import FallbackBackend as FallbackBackend
from .combinators import HedgedBackend as HedgedBackend
from .ollama import OllamaModelBackend as OllamaModelBackend

if TYPE_CHECKING:
    from .openai import OpenAIBackend as OpenAIBackend

__all__ = [
    "Backend",
    "BalancedBackend",
    "FallbackBackend",
    "HedgedBackend",
    "ModelOption",
    "OllamaModelBackend",
    "OpenAIBackend",
    "PullProgress",
    "Reply",
    "Request",
]


def __getattr__(name: str) -> Any:
    # When it is first asked for: most programs speak to one kind of server.
    if name != "OpenAIBackend":
        raise AttributeError(f"module 'motet.backends' has no attribute {name!r}")
    from .openai import OpenAIBackend

    return OpenAIBackend
