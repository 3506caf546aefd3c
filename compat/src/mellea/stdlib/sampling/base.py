"""Attempts in a loop until one meets all requirements."""

from motet import BaseSamplingStrategy as BaseSamplingStrategy
from motet import MultiTurnStrategy as MultiTurnStrategy
from motet import RejectionSamplingStrategy as RejectionSamplingStrategy
from motet import RepairTemplateStrategy as RepairTemplateStrategy

__all__ = [
    "BaseSamplingStrategy",
    "MultiTurnStrategy",
    "RejectionSamplingStrategy",
    "RepairTemplateStrategy",
]
