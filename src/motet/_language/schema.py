"""What a reply must conform to, as a JSON schema. Pydantic is imported when it is needed."""

from collections.abc import Mapping
from typing import Any


def json_schema(format: Any) -> dict[str, Any] | None:
    """Return the JSON schema of what a call was given as *format*.

    Args:
        format: a pydantic model class, a finished schema, or None.

    Raises:
        TypeError: it is none of them.
    """
    if format is None:
        return None
    if isinstance(format, Mapping):
        return dict(format)
    make = getattr(format, "model_json_schema", None)
    if isinstance(format, type) and make is not None:
        schema: dict[str, Any] = make()
        return schema
    hint = "; pass the class, not an object of it" if hasattr(type(format), "model_dump") else ""
    raise TypeError(
        f"format should be a pydantic model class or a JSON schema, not {format!r}{hint}"
    )
