"""A fast model first, and a slow one for what it cannot do; not yet."""

from ..._left_out import LATER, named

__getattr__ = named(__name__, {"SOFAISamplingStrategy": LATER})
