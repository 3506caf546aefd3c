"""Functions that a model may ask to be called, and finding such calls in what it says."""

from __future__ import annotations

import importlib
import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, cast, overload

import pydantic
import pydantic_core

import motet

if TYPE_CHECKING:
    from motet import ModelToolCall

__all__ = [
    "MelleaTool",
    "OllamaTool",
    "SubscriptableBaseModel",
    "add_tools_from_context_actions",
    "add_tools_from_model_options",
    "convert_function_to_ollama_tool",
    "convert_tools_to_json",
    "find_func",
    "get_code_field_from_schema",
    "json_extraction",
    "parse_tools",
    "tool",
    "validate_tool_arguments",
]

P = ParamSpec("P")
R = TypeVar("R")

_log: Final = logging.getLogger("mellea")

# What a parameter that takes source text is called.
_CODE_NAMES: Final = ("code", "source", "script", "program", "snippet")


class _Foreign(TypeError, ValueError):
    """A tool is not of the library that it was said to be of. Programs expect a `ValueError`."""


class MelleaTool(motet.MelleaTool[P, R]):
    """A function that a model may ask to be called; see `motet.MelleaTool`."""

    @property
    def _call_tool(self) -> Callable[P, R]:
        return self.func

    @overload
    @classmethod
    def from_callable(
        cls, func: Callable[P, Awaitable[R]], name: str | None = None
    ) -> MelleaTool[P, R]: ...
    @overload
    @classmethod
    def from_callable(cls, func: Callable[P, R], name: str | None = None) -> MelleaTool[P, R]: ...
    @classmethod
    def from_callable(cls, func: Any, name: str | None = None) -> MelleaTool[Any, Any]:
        """Return a function as a tool; see `motet.MelleaTool.from_callable`."""
        return cast("MelleaTool[Any, Any]", super().from_callable(func, name))

    @classmethod
    def from_langchain(cls, tool: Any) -> MelleaTool[..., Any]:
        """Return a tool of LangChain's as one of ours.

        Raises:
            ImportError: LangChain is not installed.
            ValueError: *tool* is none of LangChain's.
        """
        theirs: Any = importlib.import_module("langchain_core.tools")
        calling: Any = importlib.import_module("langchain_core.utils.function_calling")

        if not isinstance(tool, theirs.BaseTool):
            raise _Foreign(f"expected a langchain Tool type, not {type(tool).__name__}")

        def run(*args: Any, **kwargs: Any) -> Any:
            if args:
                _log.warning("ignoring unexpected args of the langchain tool %s", tool.name)
            return tool.run(tool_input=kwargs)

        return cls(tool.name, run, calling.convert_to_openai_tool(tool))

    @classmethod
    def from_smolagents(cls, tool: Any) -> MelleaTool[..., Any]:
        """Return a tool of smolagents' as one of ours.

        Raises:
            ImportError: smolagents is not installed.
            ValueError: *tool* is none of theirs.
        """
        theirs: Any = importlib.import_module("smolagents")
        models: Any = importlib.import_module("smolagents.models")

        if not isinstance(tool, theirs.Tool):
            raise _Foreign(f"expected a smolagents Tool type, not {type(tool).__name__}")
        return cls(tool.name, tool, models.get_tool_json_schema(tool))

    def run(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function and return what it returns, that of an ``async`` one awaited."""
        return cast("R", super().run(*args, **kwargs))


@overload
def tool(func: Callable[P, Awaitable[R]], /, name: str | None = None) -> MelleaTool[P, R]: ...
@overload
def tool(func: Callable[P, R], /, name: str | None = None) -> MelleaTool[P, R]: ...
@overload
def tool(
    func: None = None, /, name: str | None = None
) -> Callable[[Callable[P, R]], MelleaTool[P, R]]: ...
def tool(func: Any = None, /, name: str | None = None) -> Any:
    """Make a function a tool, as ``@tool`` or ``@tool(name="...")``.

    Args:
        func: the function.
        name: what the model calls it; the name of the function without it.
    """

    def decorate(func: Any) -> MelleaTool[Any, Any]:
        return MelleaTool.from_callable(func, name)

    return decorate if func is None else decorate(func)


def add_tools_from_model_options(
    tools_dict: dict[str, Any], model_options: Mapping[str, Any]
) -> None:
    """Add the tools of ``ModelOption.TOOLS`` to *tools_dict*, by name."""
    given = model_options.get(motet.ModelOption.TOOLS)
    if isinstance(given, Mapping):
        tools_dict.update({str(name): _as_tool(each, str(name)) for name, each in given.items()})
    else:
        for each in map(_as_tool, given or ()):
            tools_dict[each.name] = each


def add_tools_from_context_actions(
    tools_dict: dict[str, Any], ctx_actions: Sequence[Any] | None
) -> None:
    """Add the tools that components bring along to *tools_dict*; a later one overrides."""
    for action in ctx_actions or ():
        if isinstance(action, motet.Component):
            representation = action.format_for_llm()
            if isinstance(representation, motet.TemplateRepresentation):
                tools_dict.update(representation.tools or {})


def _as_tool(given: Any, name: str | None = None) -> Any:
    if hasattr(given, "as_json_tool"):
        return given
    return MelleaTool.from_callable(given, name)


def convert_tools_to_json(tools: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the descriptions of tools, as servers want them."""
    return [dict(each.as_json_tool) for each in tools.values()]


def json_extraction(text: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects in a text, those in other objects not by themselves."""
    decoder = json.JSONDecoder()
    start = text.find("{")
    while start >= 0:
        try:
            found, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            yield found
        start = text.find("{", end)


def find_func(d: object) -> tuple[str | None, Mapping[str, Any] | None]:
    """Return the name and the arguments of the call that a JSON object is or contains.

    A call has a ``name`` and either ``arguments`` or ``parameters``. Two times None for none.
    """
    if not isinstance(d, Mapping):
        return None, None
    name = d.get("name")
    arguments = d.get("arguments", d.get("parameters"))
    if isinstance(name, str) and isinstance(arguments, Mapping):
        return name, arguments
    for value in d.values():
        found = find_func(value)
        if found[0] is not None:
            return found
    return None, None


def parse_tools(llm_response: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the calls that a model wrote down as JSON, with their arguments, in order."""
    calls = map(find_func, json_extraction(llm_response))
    return [(name, args) for name, args in calls if name is not None and args is not None]


def validate_tool_arguments(
    tool: Any, args: Mapping[str, Any], *, coerce_types: bool = True, strict: bool = False
) -> dict[str, Any]:
    """Return what a model gave as arguments with the types of the tool's parameters.

    What is a pydantic model to the tool stays a mapping; `read_tool_arguments` makes it one.

    Args:
        tool: the tool.
        args: the arguments.
        coerce_types: whether ``"3"`` will do for 3, and the like.
        strict: whether what does not fit is an error. Otherwise there is a warning and the
            arguments come back as they are. Unknown arguments are kept if not strict.

    Raises:
        pydantic.ValidationError: they do not fit, and *strict* is true.
    """
    read = read_tool_arguments(tool, args, coerce_types=coerce_types, strict=strict)
    return {name: _dumped(value) for name, value in read.items()}


def _dumped(value: Any) -> Any:
    match value:
        case pydantic.BaseModel():
            return value.model_dump()
        case list():
            return [_dumped(each) for each in value]
        case dict():
            return {key: _dumped(each) for key, each in value.items()}
        case _:
            return value


def read_tool_arguments(
    tool: Any, args: Mapping[str, Any], *, coerce_types: bool = True, strict: bool = False
) -> dict[str, Any]:
    """Return arguments as the tool can be called with; otherwise as `validate_tool_arguments`.

    Raises:
        pydantic.ValidationError: they do not fit, and *strict* is true.
    """
    if not isinstance(tool, motet.MelleaTool):
        return dict(args)
    try:
        return _fitting(tool, args, coerce_types=coerce_types, strict=strict)
    except pydantic.ValidationError as exc:
        lines = "".join(
            f"\n  - {'.'.join(map(str, each['loc']))}: {each['msg']}" for each in exc.errors()
        )
        if strict:
            _log.error("Tool argument validation failed for %r:%s", tool.name, lines)
            raise
        _log.warning(
            "Tool argument validation failed for %r:%s\n"
            "Returning original arguments without validation.",
            tool.name,
            lines,
        )
        return dict(args)


def _fitting(
    tool: motet.MelleaTool[..., Any], args: Mapping[str, Any], *, coerce_types: bool, strict: bool
) -> dict[str, Any]:
    given = {name: each.strip() if isinstance(each, str) else each for name, each in args.items()}
    try:
        read = tool.read_arguments(given)
    except ValueError as exc:
        if isinstance(exc.__cause__, pydantic.ValidationError):
            raise exc.__cause__ from None
        raise
    wrong: list[pydantic_core.InitErrorDetails] = []
    if strict:
        known = tool.as_json_tool["function"]["parameters"].get("properties", {})
        wrong += [
            {"type": "extra_forbidden", "loc": (name,), "input": args[name]}
            for name in args
            if name not in known
        ]
    if not coerce_types:
        changed = pydantic_core.PydanticCustomError("changed", "Input is not of the right type")
        wrong += [
            {"type": changed, "loc": (name,), "input": value}
            for name, value in given.items()
            if type(read.get(name)) is not type(value)
        ]
    if wrong:
        raise pydantic.ValidationError.from_exception_data(tool.name, wrong)
    return read


class SubscriptableBaseModel(pydantic.BaseModel):
    """A pydantic model whose fields can be had like those of a mapping, too."""

    def __getitem__(self, key: str) -> Any:
        if key not in self:
            raise KeyError(key)
        return getattr(self, key)

    def __setitem__(self, key: str, value: Any) -> None:
        setattr(self, key, value)

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str):
            return False
        extra = self.model_extra or {}
        if key in self.model_fields_set or key in extra:
            return True
        field = type(self).model_fields.get(key)
        return field is not None and field.default is not None

    def get(self, key: str, default: Any = None) -> Any:
        """Return the field *key*, or *default* if there is none."""
        return getattr(self, key, default)


class OllamaTool(SubscriptableBaseModel):
    """The description of a tool, as Ollama wants it."""

    class Function(SubscriptableBaseModel):
        """The function."""

        class Parameters(SubscriptableBaseModel):
            """Its parameters: a JSON schema."""

            model_config = pydantic.ConfigDict(populate_by_name=True, extra="allow")

            type: str | None = "object"
            defs: Any | None = pydantic.Field(None, alias="$defs")
            items: Any | None = None
            required: Sequence[str] | None = None
            properties: Mapping[str, Any] | None = None

        name: str | None = None
        description: str | None = None
        parameters: Parameters | None = None

    type: str | None = "function"
    function: Function | None = None


def convert_function_to_ollama_tool(
    func: Callable[..., Any], name: str | None = None
) -> OllamaTool:
    """Return the description of a function, as Ollama wants it."""
    return OllamaTool.model_validate(MelleaTool.from_callable(func, name).as_json_tool)


def get_code_field_from_schema(tool_call: ModelToolCall) -> str | None:
    """Return which argument of a call holds source code, by its name; None for none."""
    described: Any = getattr(tool_call.func, "as_json_tool", {})
    properties = described.get("function", {}).get("parameters", {}).get("properties", {})
    return next(
        (name for name in properties if any(each in name.lower() for each in _CODE_NAMES)), None
    )
