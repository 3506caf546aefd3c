"""One layer of retries and limits for all backends: a request, sent again while that is of use.

It stands around `Backend.reply`, so no backend knows of it, and a backend that combines
others is tried again as a whole. What is worth another attempt, and how long to wait,
the policy says; the sleeping and the deadlines are here. Each attempt waits for a place of
its own, so nobody holds one while it waits to try again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import anyio

from .._values.errors import BackendError, StatusError
from .._values.options import ModelOption
from .._values.retries import hint_of

if TYPE_CHECKING:
    from .._values.retries import RetryPolicy
    from .base import Backend, Reply, Request

_log: Final = logging.getLogger("motet")

_TOO_MANY_REQUESTS: Final = 429
# Of English text, as most tokenizers cut it; code and other languages take more tokens.
_LETTERS_A_TOKEN: Final = 4


async def reply_with_retries(
    backend: Backend,
    request: Request,
    reply: Reply,
    policy: RetryPolicy,
) -> None:
    """Have *backend* reply, again and again if need be; return when the reply is complete.

    Args:
        backend: who is asked.
        request: what it is asked.
        reply: where its reply goes.
        policy: whether and when to ask again.

    Raises:
        BackendError: the last one; the others are its ``earlier``.
    """
    earlier: list[BackendError] = []
    clock = reply.host.time
    deadline = min(request.deadline, clock() + policy.timeout)
    while True:
        try:
            await _ask(backend, request, reply)
            return
        except BackendError as exc:
            exc.locate(backend=backend.provider, model=backend.model_id, attempt=len(earlier) + 1)
            exc.follow(earlier)
            wait = _wait_after(exc, policy, len(earlier) + 1, reply, deadline - clock())
            if wait is None:
                raise exc from exc.__cause__
            # Without its frames, which hold this list.
            earlier.append(exc.with_traceback(None))
            reply.failed(exc)
        _log.info("%s; the next attempt is in %.3g s", earlier[-1], wait)
        await anyio.sleep(wait)


async def _ask(backend: Backend, request: Request, reply: Reply) -> None:
    """Make one attempt, within the limits of the backend."""
    if backend.limits is None:
        await backend.reply(request, reply)
        return
    asked = reply.host.time()
    async with backend.limits.place(_tokens_of(request)) as place:
        reply.queued(reply.host.time() - asked)
        try:
            await backend.reply(request, reply)
        except StatusError as exc:
            if exc.status == _TOO_MANY_REQUESTS:
                place.refused()
            raise
        finally:
            if reply.usage and isinstance(taken := reply.usage.get("total_tokens"), int):
                place.took(taken)
        place.succeeded()


def _tokens_of(request: Request) -> int:
    """Guess how many tokens a request takes, before the server can say."""
    letters = len(request.prompt or "") + sum(len(each.content) for each in request.messages)
    return letters // _LETTERS_A_TOKEN + int(request.options.get(ModelOption.MAX_NEW_TOKENS) or 0)


def _wait_after(
    exc: BackendError, policy: RetryPolicy, attempt: int, reply: Reply, left: float
) -> float | None:
    """Return for how long to wait for the next attempt, None if there is to be none.

    The error says why, if there would have been one.
    """
    if attempt > policy.retries or not policy.is_worth_it(exc) or not reply.untouched:
        return None
    wait = policy.wait_after(exc, attempt)
    hint = hint_of(exc)
    if hint is not None and hint > policy.longest_hint:
        exc.message += (
            f"; not tried again, because it asks to wait {hint:g} s and longest_hint is "
            f"{policy.longest_hint:g} s"
        )
        return None
    if wait >= left:
        exc.message += (
            f"; not tried again, because the wait of {wait:.3g} s does not fit into the "
            f"{max(left, 0):.3g} s before the deadline"
        )
        return None
    return wait
