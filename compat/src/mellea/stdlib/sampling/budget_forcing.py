"""Thinking for as long as the budget says; not yet."""

from ..._left_out import LATER, named

__getattr__ = named(__name__, {"BudgetForcingSamplingStrategy": LATER})
