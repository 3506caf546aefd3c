"""Models by the names that servers give them."""

from motet import model_ids as _model_ids
from motet.model_ids import *  # noqa: F403 - every identifier, also one that is added later
from motet.model_ids import ModelIdentifier as ModelIdentifier
from motet.model_ids import get_context_length as get_context_length

__all__ = list(_model_ids.__all__)
