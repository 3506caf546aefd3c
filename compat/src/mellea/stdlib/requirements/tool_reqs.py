"""Requirements on the tools that a model asks for."""

from motet import tool_arg_validator as tool_arg_validator
from motet import uses_tool as uses_tool

__all__ = ["tool_arg_validator", "uses_tool"]
