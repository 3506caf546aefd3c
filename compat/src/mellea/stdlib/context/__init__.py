"""What was said before."""

from motet import CBlock as CBlock
from motet import Component as Component
from motet import Context as Context
from motet import ContextTurn as ContextTurn

from .chat import ChatContext as ChatContext
from .compactor import Compactor as Compactor
from .compactor import InlineCompactor as InlineCompactor
from .compactor import LLMSummarizeCompactor as LLMSummarizeCompactor
from .compactor import PinPredicate as PinPredicate
from .compactor import ThresholdCompactor as ThresholdCompactor
from .compactor import WindowCompactor as WindowCompactor
from .compactor import pin_nothing as pin_nothing
from .compactor import pin_system as pin_system
from .compactor import pin_system_and_initial_user as pin_system_and_initial_user
from .simple import SimpleContext as SimpleContext

__all__ = [
    "CBlock",
    "ChatContext",
    "Compactor",
    "Component",
    "Context",
    "ContextTurn",
    "InlineCompactor",
    "LLMSummarizeCompactor",
    "PinPredicate",
    "SimpleContext",
    "ThresholdCompactor",
    "WindowCompactor",
    "pin_nothing",
    "pin_system",
    "pin_system_and_initial_user",
]
