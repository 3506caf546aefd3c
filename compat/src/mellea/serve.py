"""Where mellea serves programs as models, which is left out."""

from ._left_out import SERVE, named

__getattr__ = named(__name__, {"serve": SERVE})
