"""Thinking for as long as the budget says."""

from motet import BudgetForcingSamplingStrategy as BudgetForcingSamplingStrategy

__all__ = ["BudgetForcingSamplingStrategy"]
