"""Libraries that only some programs need, and that pip installs only when asked to."""

import importlib
import importlib.util
from typing import Any


def require_extra(module: str, extra: str, needed_for: str) -> None:
    """Make sure that a module of an optional dependency is there, without importing it.

    Raises:
        ImportError: it is not installed; says how to install it.
    """
    if importlib.util.find_spec(module) is None:
        raise _missing(module, extra, needed_for)


def import_extra(module: str, extra: str, needed_for: str) -> Any:
    """Import a module of an optional dependency.

    Raises:
        ImportError: it is not installed; says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as exc:
        raise _missing(module, extra, needed_for) from exc


def _missing(module: str, extra: str, needed_for: str) -> ImportError:
    return ImportError(
        f"{needed_for} needs the module {module!r}, which is not installed: "
        f"pip install 'motet[{extra}]'",
        name=module,
    )
