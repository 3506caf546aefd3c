"""What talks to models, and what is said to a server beside the words."""

from motet import ModelIdentifier as ModelIdentifier

from ..core.backend import Backend as Backend
from ..core.backend import BaseModelSubclass as BaseModelSubclass
from . import model_ids as model_ids
from .backend import FormatterBackend as FormatterBackend
from .cache import SimpleLRUCache as SimpleLRUCache
from .model_options import ModelOption as ModelOption
from .tools import MelleaTool as MelleaTool
from .tools import tool as tool

__all__ = [
    "Backend",
    "BaseModelSubclass",
    "FormatterBackend",
    "MelleaTool",
    "ModelIdentifier",
    "ModelOption",
    "SimpleLRUCache",
    "model_ids",
    "tool",
]
