"""Replies as inputs of other calls: whoever needs one waits for it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
        PendingReplyError: one of them waits for this call.
    """
    # Interest in all from the start: while one is waited for, nobody else may want the others.
    with _interest_in(heard):
        if needed:
            for outcome in await gather_all(needed):
                if outcome.error is not None:
                    raise _failed(outcome.mot, outcome.error) from outcome.error
        # Only waited for, and not taken: whether a consumer knows the end of an earlier
        # turn is no business of ours, and its `is_computed` must not turn true by itself.
        for mot in heard:
            await mot._source.wait_outcome()


@contextmanager
def _interest_in(mots: Sequence[ModelOutputThunk[Any]]) -> Iterator[None]:
    generations = [mot._source for mot in mots if mot._source.live]
    for generation in generations:
        generation.gain_interest()
    try:
        yield
    finally:
        for generation in generations:
            generation.lose_interest()


def _failed(mot: ModelOutputThunk[Any], error: Exception) -> DependencyError:
    kind = "was cancelled" if isinstance(error, GenerationCancelled) else "failed"
    if not isinstance(error, MotetError):
        kind = f"failed with a {type(error).__name__}"
    return DependencyError(f"a reply that this call needs as an input {kind}")
