"""Any object becomes one that a model can be asked about, or be asked to change."""

from motet import MObjectProtocol as MifiedProtocol
from motet import mify as mify

__all__ = ["MifiedProtocol", "mify"]
