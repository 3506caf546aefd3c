"""Objects that a model can be asked about, or be asked to change."""

from motet import MObject as MObject
from motet import MObjectProtocol as MObjectProtocol
from motet import Query as Query
from motet import Transform as Transform

__all__ = ["MObject", "MObjectProtocol", "Query", "Transform"]
