"""The calls of a session as functions of a context and a backend.

See `MelleaSession` for what each does and raises. They return the answer and the context
with the turn added.
"""

from ._session.functional import aact as aact
from ._session.functional import achat as achat
from ._session.functional import act as act
from ._session.functional import ainstruct as ainstruct
from ._session.functional import aquery as aquery
from ._session.functional import atransform as atransform
from ._session.functional import avalidate as avalidate
from ._session.functional import chat as chat
from ._session.functional import instruct as instruct
from ._session.functional import query as query
from ._session.functional import transform as transform
from ._session.functional import validate as validate

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

for _name in __all__:
    globals()[_name].__module__ = __name__
del _name
