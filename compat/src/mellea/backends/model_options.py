"""The names of model options."""

from motet import ModelOption as ModelOption

__all__ = ["ModelOption"]
