"""Errors of a server as the errors of its official client, for programs that catch those.

A program can only catch `ollama.ResponseError` or `openai.APIStatusError` if it has imported
them. Then, and only then, an error of motet's is one of them as well, with its attributes.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import motet

_OPENAI_BY_STATUS: Final = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    409: "ConflictError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
}


def for_ollama(error: motet.BackendError) -> motet.BackendError:
    """Return an error as one of the package ``ollama``, too, if it has one for it."""
    theirs = getattr(sys.modules.get("ollama"), "ResponseError", None)
    match error:
        case motet.StatusError():
            return _as_both(error, theirs, error=error.message, status_code=error.status)
        case motet.ModelNotFound():
            return _as_both(error, theirs, error=error.message, status_code=404)
        case motet.ReplyError():
            return _as_both(error, theirs, error=error.message, status_code=-1)
        case _:
            return error


def for_openai(error: motet.BackendError) -> motet.BackendError:
    """Return an error as one of the package ``openai``, too, if it has one for it."""
    package = sys.modules.get("openai")
    shown = {"request": None, "response": None, "body": None, "code": None, "request_id": None}
    match error:
        case motet.StatusError():
            status = error.status
        case motet.ModelNotFound():
            status = 404
        case motet.BackendTimeout():
            return _as_both(error, getattr(package, "APITimeoutError", None), **shown)
        case motet.BackendUnavailable() | motet.ConnectionLost():
            return _as_both(error, getattr(package, "APIConnectionError", None), **shown)
        case motet.ReplyError():
            return _as_both(error, getattr(package, "APIError", None), **shown)
        case _:
            return error
    name = "InternalServerError" if status >= 500 else _OPENAI_BY_STATUS.get(status)
    theirs = getattr(package, name or "APIStatusError", None)
    return _as_both(error, theirs, status_code=status, **shown)


def _as_both(
    error: motet.BackendError, theirs: type[Exception] | None, /, **attributes: Any
) -> motet.BackendError:
    if theirs is None or isinstance(error, theirs):
        return error
    both = _class_of_both(type(error), theirs)
    # Not through __init__: neither knows the arguments of the other's.
    made = both.__new__(both)
    made.__dict__.update(attributes | vars(error) | {"_ours": error})
    made.args = error.args
    made.__cause__ = error.__cause__
    return made


_made: Final[dict[tuple[type, type], type[motet.BackendError]]] = {}


def _class_of_both(
    ours: type[motet.BackendError], theirs: type[Exception]
) -> type[motet.BackendError]:
    if (ours, theirs) in _made:
        return _made[ours, theirs]

    def reduced(self: Any) -> tuple[Any, ...]:
        # It crosses to another process as motet's own: theirs may not be imported there.
        return _restored, (self._ours, self.partial)

    both = type(ours.__name__, (ours, theirs), {"__reduce__": reduced, "__module__": __name__})
    return _made.setdefault((ours, theirs), both)


def _restored(error: motet.BackendError, partial: str) -> motet.BackendError:
    error.partial = partial
    return error
