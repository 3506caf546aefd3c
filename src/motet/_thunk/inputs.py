"""Replies as inputs of other calls: whoever needs one waits for it."""

from collections.abc import Sequence
from typing import Any

from .._values.errors import DependencyError, GenerationCancelled, MotetError
from .fanout import gather_all
from .thunk import ModelOutputThunk


async def wait_for_inputs(
    needed: Sequence[ModelOutputThunk[Any]], heard: Sequence[ModelOutputThunk[Any]] = ()
) -> None:
    """Wait until the pending inputs of a call have arrived.

    A thunk that two calls need is produced once, so diamonds resolve by themselves.
    Giving up the wait gives up the interest in the inputs.

    Args:
        needed: the call cannot be put into words without them.
        heard: earlier turns of the conversation; one that failed is left out of it.

    Raises:
        DependencyError: one that is needed failed; its error is the cause.
    """
    if not needed and not heard:
        return
    outcomes = await gather_all([*needed, *heard])
    for outcome in outcomes[: len(needed)]:
        if outcome.error is not None:
            raise _failed(outcome.mot, outcome.error) from outcome.error


def _failed(mot: ModelOutputThunk[Any], error: Exception) -> DependencyError:
    kind = "was cancelled" if isinstance(error, GenerationCancelled) else "failed"
    if not isinstance(error, MotetError):
        kind = f"failed with a {type(error).__name__}"
    return DependencyError(f"a reply that this call needs as an input {kind}")
