"""What a reply must conform to, as a JSON schema. Pydantic is imported when it is needed."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import TypeAlias

    import pydantic

    Format: TypeAlias = type[pydantic.BaseModel] | Mapping[str, Any] | None


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
        return dict(_schema_of(format))
    hint = "; pass the class, not an object of it" if hasattr(type(format), "model_dump") else ""
    raise TypeError(
        f"format should be a pydantic model class or a JSON schema, not {format!r}{hint}"
    )


@functools.lru_cache(maxsize=256)
def _schema_of(model: Any) -> dict[str, Any]:
    # Pydantic makes it anew each time, which takes longer than to render a prompt.
    schema: dict[str, Any] = model.model_json_schema()
    return schema
