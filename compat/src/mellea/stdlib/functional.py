"""The calls of a session as functions of a context and a backend."""

from motet.functional import aact as aact
from motet.functional import achat as achat
from motet.functional import act as act
from motet.functional import ainstruct as ainstruct
from motet.functional import aquery as aquery
from motet.functional import atransform as atransform
from motet.functional import avalidate as avalidate
from motet.functional import chat as chat
from motet.functional import instruct as instruct
from motet.functional import query as query
from motet.functional import transform as transform
from motet.functional import validate as validate

__all__ = [
    "aact",
    "achat",
    "act",
    "ainstruct",
    "aquery",
    "atransform",
    "avalidate",
    "chat",
    "instruct",
    "query",
    "transform",
    "validate",
]
