"""Which tools a call may use, and which of them the model asked for."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, cast, runtime_checkable

from ..._values.chat import ToolCallRequest
from ..._values.metadata import ModelToolCall
from ..component import Component, TemplateRepresentation
from .parameters import UnfitArguments
from .tool import MelleaTool

_log: Final = logging.getLogger("motet")


@runtime_checkable
class Tool(Protocol):
    """What a backend needs of a tool; `MelleaTool` is one."""

    @property
    def name(self) -> str:
        """What the model calls it."""

    @property
    def as_json_tool(self) -> Mapping[str, Any]:
        """The description for the model."""

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Call it."""


def as_tool(given: Tool | Callable[..., Any]) -> Tool:
    """Return a tool as it is, and a function as a tool.

    Raises:
        TypeError: it is neither, or a parameter of it cannot be described to a model.
    """
    if not isinstance(given, MelleaTool) and isinstance(given, Tool):
        return given
    if not callable(given):
        raise TypeError(f"a tool should be a function or a tool, not {type(given).__name__}")
    made = given if isinstance(given, MelleaTool) else MelleaTool.from_callable(given)
    _ = made.as_json_tool  # now, where the caller sees what is wrong with it
    return cast("Tool", made)


def tools_of_options(given: object) -> dict[str, Tool]:
    """Return the tools of ``ModelOption.TOOLS`` by name.

    Args:
        given: a list, or a mapping from name to tool, of tools and functions; or None.

    Raises:
        TypeError: an element is no tool.
    """
    if given is None:
        return {}
    if isinstance(given, Mapping):
        named = (
            each if isinstance(each, Tool) else MelleaTool.from_callable(each, str(name))
            for name, each in given.items()
        )
        return _by_name(named)
    return _by_name(cast("Iterable[Any]", given))


def tools_of_components(entries: Iterable[Any]) -> dict[str, Tool]:
    """Return the tools that components bring along, by name; a later one overrides.

    Every pending part of them must have arrived.
    """
    found: dict[str, Tool] = {}
    for entry in entries:
        if isinstance(entry, Component):
            representation = entry.format_for_llm()
            if isinstance(representation, TemplateRepresentation) and representation.tools:
                found |= _describable(representation.tools.values(), entry)
    return found


def _describable(tools: Iterable[Tool | Callable[..., Any]], entry: object) -> dict[str, Tool]:
    # Nobody has named these methods, so one that a model cannot use is no error.
    found: dict[str, Tool] = {}
    for each in tools:
        try:
            found |= _by_name([each])
        except TypeError as exc:
            _log.warning(
                "a %s brings along a method that is no tool: %s", type(entry).__name__, exc
            )
    return found


def _by_name(tools: Iterable[Tool | Callable[..., Any]]) -> dict[str, Tool]:
    return {each.name: each for each in map(as_tool, tools)}


def matched_calls(
    requests: Sequence[ToolCallRequest], tools: Mapping[str, Any]
) -> dict[str, ModelToolCall] | None:
    """Return the calls that a model asked for, with their tools; None for none.

    They stand in its order, under the name of the tool. A further call of the same tool
    stands under that name with a number, so that none is lost. Never raises: a call to no
    tool is left out and arguments that do not fit are kept as they are, with a warning.
    """
    calls: dict[str, ModelToolCall] = {}
    for request in requests:
        tool = tools.get(request.name)
        if tool is None:
            _log.warning("the model asked for a tool that it was not offered: %r", request.name)
            continue
        key, count = request.name, 1
        while key in calls:
            count += 1
            key = f"{request.name} ({count})"
        calls[key] = ModelToolCall(
            request.name, tool, _read(tool, request), id=request.id, request=request
        )
    return calls or None


def _read(tool: Any, request: ToolCallRequest) -> Mapping[str, Any]:
    if not isinstance(tool, MelleaTool):
        return dict(request.arguments)
    try:
        return tool.read_arguments(request.arguments)
    except UnfitArguments as exc:
        _log.warning(
            "the arguments of a call to %r do not fit, and are passed on as they came:\n%s",
            request.name,
            exc,
        )
    except Exception:  # from code of the program that pydantic was told to run
        _log.warning(
            "the arguments of a call to %r could not be read, and are passed on as they came",
            request.name,
            exc_info=True,
        )
    return dict(request.arguments)
