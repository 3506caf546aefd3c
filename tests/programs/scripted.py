"""What tests with a `ScriptedBackend` say often."""

from motet import BackendError
from motet.testing import ReplyOutcome, ScriptedBackend


def broken() -> BackendError:
    """Return an error for a script."""
    return BackendError("the script says so")


def stopped(backend: ScriptedBackend) -> list[float | None]:
    """Return when replies were cancelled before their end, oldest first."""
    cancelled = (r for r in backend.requests if r.outcome is ReplyOutcome.CANCELLED)
    return sorted(request.ended_at or 0 for request in cancelled)
