"""How to get an answer that meets its requirements."""

from motet import SamplingResult as SamplingResult
from motet import SamplingStrategy as SamplingStrategy

from ..._left_out import PYTHON, named
from .base import BaseSamplingStrategy as BaseSamplingStrategy
from .base import MultiTurnStrategy as MultiTurnStrategy
from .base import RejectionSamplingStrategy as RejectionSamplingStrategy
from .base import RepairTemplateStrategy as RepairTemplateStrategy
from .budget_forcing import BudgetForcingSamplingStrategy as BudgetForcingSamplingStrategy
from .majority_voting import MajorityVotingStrategyForMath as MajorityVotingStrategyForMath
from .majority_voting import MBRDRougeLStrategy as MBRDRougeLStrategy
from .sofai import SOFAISamplingStrategy as SOFAISamplingStrategy

__all__ = [
    "BaseSamplingStrategy",
    "BudgetForcingSamplingStrategy",
    "MBRDRougeLStrategy",
    "MajorityVotingStrategyForMath",
    "MultiTurnStrategy",
    "RejectionSamplingStrategy",
    "RepairTemplateStrategy",
    "SOFAISamplingStrategy",
    "SamplingResult",
    "SamplingStrategy",
]

__getattr__ = named(
    __name__,
    {
        "ModelFriendlyFeedbackFormatter": PYTHON,
        "ModelFriendlyRepairStrategy": PYTHON,
        "SamplingPreset": PYTHON,
        "python_code_generation_sampling": PYTHON,
        "python_plotting_sampling": PYTHON,
    },
)
