"""
The import paths of mellea, served by motet.

It knows only motet's public names and holds no logic that motet could hold: a module
here re-exports, adapts or warns.
"""

from typing import Final

from . import serve as serve
from ._left_out import explain_missing_modules
from ._neighbour import warn_of_a_neighbour
from .backends import model_ids as model_ids
from .core.utils import adopt_records_of_motet
from .stdlib.components.genstub import generative as generative
from .stdlib.session import MelleaSession as MelleaSession
from .stdlib.session import start_session as start_session
from .stdlib.start_backend import start_backend as start_backend

__all__ = [
    "MelleaSession",
    "generative",
    "model_ids",
    "serve",
    "start_backend",
    "start_session",
]

__version__: Final = "0.1.0"

warn_of_a_neighbour()
explain_missing_modules()
adopt_records_of_motet()
