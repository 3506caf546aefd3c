"""What keeps a conversation short."""

from motet import Compactor as Compactor
from motet import Context, ModelOutputThunk
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


def _last_usage_tokens(ctx: Context) -> int | None:
    """Return what the newest reply that says so has cost, in tokens; programs use it."""
    for entry in reversed(ctx.as_list()):
        usage = entry.generation.usage if isinstance(entry, ModelOutputThunk) else None
        if usage:
            total = usage.get("total_tokens")
            if total is None:
                total = (usage.get("prompt_tokens") or 0) + (usage.get("completion_tokens") or 0)
            return int(total)
    return None
