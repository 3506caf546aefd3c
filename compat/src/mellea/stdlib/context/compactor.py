"""What keeps a conversation short."""

from motet import Compactor as Compactor
from motet import InlineCompactor as InlineCompactor
from motet import LLMSummarizeCompactor as LLMSummarizeCompactor
from motet import PinPredicate as PinPredicate
from motet import ThresholdCompactor as ThresholdCompactor
from motet import WindowCompactor as WindowCompactor
from motet import pin_nothing as pin_nothing
from motet import pin_system as pin_system
from motet import pin_system_and_initial_user as pin_system_and_initial_user

__all__ = [
    "Compactor",
    "InlineCompactor",
    "LLMSummarizeCompactor",
    "PinPredicate",
    "ThresholdCompactor",
    "WindowCompactor",
    "pin_nothing",
    "pin_system",
    "pin_system_and_initial_user",
]
