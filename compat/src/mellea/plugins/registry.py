"""Says that there is no plugin framework."""

from typing import Final

from .._left_out import named
from . import NAMES

_HAS_PLUGIN_FRAMEWORK: Final = False

__getattr__ = named(__name__, NAMES)
