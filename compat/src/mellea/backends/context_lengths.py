"""How many tokens a model can see."""

from motet.model_ids import get_context_length as get_context_length

__all__ = ["get_context_length"]
