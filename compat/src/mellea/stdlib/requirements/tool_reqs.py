"""Requirements on the tools that a model asks for."""

from collections.abc import Callable
from typing import Any

from motet import tool_arg_validator as tool_arg_validator
from motet import uses_tool as uses_tool

__all__ = ["tool_arg_validator", "uses_tool"]


def _name2str(tool_name: str | Callable[..., Any]) -> str:
    """Return the name of a tool that is given by it or as a function; programs use it."""
    if isinstance(tool_name, str):
        return tool_name
    if callable(tool_name):
        return tool_name.__name__
    raise TypeError(f"Expected Callable or str, not {type(tool_name).__name__}")
