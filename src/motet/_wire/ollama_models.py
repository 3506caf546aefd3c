"""The models of an Ollama server: which are there, and getting one that is not.

This module knows what ``/api/tags`` and ``/api/pull`` want and send. It knows nothing of
connections, tasks or time.

Reference: https://github.com/ollama/ollama/blob/main/docs/api.md, "List Local Models" and
"Pull a Model"
"""

from typing import Any, Final

import attrs
import msgspec

from motet._values.errors import ProtocolError, ReplyError

from .wording import line_of, quoted

_SUCCESS: Final = "success"


@attrs.frozen
class PullProgress:
    """How far a model has come that is being fetched.

    Attributes:
        status: what the server is doing, in its words; ``success`` at the end.
        digest: the part of the model that is coming, if one is.
        total: the bytes of that part, if they are known.
        completed: how many of them are there, if it has begun.
    """

    status: str
    digest: str | None = None
    total: int | None = None
    completed: int | None = None

    @property
    def done(self) -> bool:
        """Whether the model is there."""
        return self.status == _SUCCESS

    @property
    def fraction(self) -> float | None:
        """How much of the part is there, from 0 to 1; ``None`` while that is not known."""
        return self.completed / self.total if self.total and self.completed is not None else None

    def __str__(self) -> str:
        fraction = self.fraction
        return self.status if fraction is None else f"{self.status}: {fraction:.0%}"


class _Pull(msgspec.Struct):
    status: str | None = None
    digest: str | None = None
    total: int | None = None
    completed: int | None = None
    error: Any = None


class _Entry(msgspec.Struct):
    name: str


class _Tags(msgspec.Struct):
    models: list[_Entry]


_decode_pull: Final = msgspec.json.Decoder(_Pull).decode
_decode_tags: Final = msgspec.json.Decoder(_Tags).decode


def model_names(page: bytes) -> list[str]:
    """Return the names in an answer of ``/api/tags``.

    Raises:
        ProtocolError: it is no such answer.
    """
    try:
        return [each.name for each in _decode_tags(page).models]
    except (ValueError, RecursionError) as exc:
        raise ProtocolError(f"not a list of models ({exc}): {quoted(page)}") from exc


def pull_body(model: str) -> bytes:
    """Return the body of a request to ``/api/pull``."""
    return msgspec.json.encode({"model": model, "stream": True})


def pull_progress(line: bytes) -> PullProgress:
    """Return what one line of an answer of ``/api/pull`` says.

    Raises:
        ReplyError: the server reports an error.
        ProtocolError: it is no such line.
    """
    try:
        said = _decode_pull(line)
    except (ValueError, RecursionError) as exc:
        raise ProtocolError(f"not a line about a model ({exc}): {quoted(line)}") from exc
    if said.error:
        raise ReplyError(line_of(said.error))
    if said.status is None:
        raise ProtocolError(f"not a line about a model: {quoted(line)}")
    return PullProgress(said.status, said.digest, said.total, said.completed)
