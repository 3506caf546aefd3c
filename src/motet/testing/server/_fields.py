"""
The bodies of requests: JSON objects whose fields have types.

This module knows JSON and no protocol.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import attrs
import msgspec

T = TypeVar("T")


@attrs.frozen
class Invalid(Exception):
    """The body is not what the protocol says."""

    message: str


def fields_of(body: bytes) -> dict[str, Any]:
    """Return the fields of a body.

    Raises:
        Invalid: it is no JSON object.
    """
    if not body:
        raise Invalid("missing request body")
    try:
        fields = msgspec.json.decode(body)
    except msgspec.DecodeError as exc:
        raise Invalid(f"the body is not JSON: {exc}") from exc
    if not isinstance(fields, dict):
        raise Invalid("the body is not a JSON object")
    return fields


def get(fields: Mapping[str, Any], name: str, kind: type[T], default: T) -> T:
    """Return a field, or *default* if it is missing or null.

    Raises:
        Invalid: it has another type than *kind*.
    """
    value = fields.get(name)
    if value is None:
        return default
    # A bool is an int to Python, but not to JSON.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise Invalid(f"field '{name}' has the wrong type: {type(value).__name__}")
    return value
