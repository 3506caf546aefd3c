"""The parameters of a function: how a model is told of them, and how its arguments are read.

Both come from one pydantic model, made from the signature when it is first needed. Pydantic
is imported then.

References: https://json-schema.org/draft/2020-12/json-schema-validation;
https://docs.ollama.com/capabilities/tool-calling
"""

from __future__ import annotations

import copy
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ..records import misfits, readable
from ..signatures import name_of, resolved_signature
from .docstring import Described

if TYPE_CHECKING:
    from pydantic import BaseModel

_NAMED: Final = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
)


class UnfitArguments(ValueError):
    """Arguments are not of the types of the parameters; the message has a line for each."""


class Parameters:
    """The parameters of one function.

    Args:
        func: the function; ``*args`` and ``**kwargs`` are passed over.
        described: what its docstring says.

    Raises:
        TypeError: a parameter is of a type that cannot be described to a model.
    """

    def __init__(self, func: Callable[..., Any], described: Described) -> None:
        self._name = name_of(func)
        self._parameters = [
            parameter
            for parameter in resolved_signature(func, parameters_only=True).parameters.values()
            if parameter.kind in _NAMED
        ]
        self._model = self._make_model()
        self.schema: Final = self._make_schema(described)

    def _make_model(self) -> type[BaseModel]:
        from pydantic import ConfigDict, Field, create_model
        from pydantic.errors import PydanticUserError

        fields: dict[str, Any] = {}
        # Numbered: a parameter may have a name that means something to pydantic.
        for index, parameter in enumerate(self._parameters):
            annotation = parameter.annotation
            if parameter.default is not parameter.empty:
                field = Field(default=parameter.default, alias=parameter.name)
            elif _takes_none(annotation):
                field = Field(default=None, alias=parameter.name)
            else:
                field = Field(alias=parameter.name)
            read_as = Any if annotation is parameter.empty else readable(annotation)
            fields[f"parameter_{index}"] = (read_as, field)
        try:
            return create_model(
                self._name,
                # A model that answers "3" for 3, or 3 for "3", is well understood.
                __config__=ConfigDict(extra="allow", coerce_numbers_to_str=True),
                **fields,
            )
        except PydanticUserError as exc:
            raise TypeError(self._cannot_describe(exc)) from exc

    def _make_schema(self, described: Described) -> dict[str, Any]:
        from pydantic.errors import PydanticUserError
        from pydantic.json_schema import GenerateJsonSchema

        class Quiet(GenerateJsonSchema):
            # A default that JSON cannot hold is left out; Python knows it anyway.
            ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012

        try:
            made = self._model.model_json_schema(schema_generator=Quiet)
        except PydanticUserError as exc:
            raise TypeError(self._cannot_describe(exc)) from exc
        plain = _Inlining(made.get("$defs", {}))
        properties = {}
        for parameter in self._parameters:
            name = parameter.name
            schema = plain.schema(made["properties"][name], nullable=_must_be_given(made, name))
            if parameter.annotation is parameter.empty:
                schema.setdefault("type", "string")
            schema["description"] = described.arguments.get(name) or schema.get("description", "")
            properties[name] = schema
        schema = {
            "type": "object",
            "required": list(made.get("required", [])),
            "properties": properties,
        }
        if plain.kept:
            schema["$defs"] = plain.kept
        return schema

    def _cannot_describe(self, why: Exception) -> str:
        reason = str(why).splitlines()[0]
        return (
            f"a parameter of the tool {self._name}() cannot be described to a model: {reason}; "
            "use types that JSON has, dataclasses, attrs classes or pydantic models"
        )

    def read(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return *arguments* with the types of the parameters; unknown ones are kept.

        Raises:
            UnfitArguments: one is missing, or cannot be read as what it should be.
        """
        from pydantic import ValidationError

        try:
            read = self._model.model_validate(dict(arguments))
        except ValidationError as exc:
            raise UnfitArguments("\n".join(f"  - {line}" for line in misfits(exc))) from exc
        values = {
            parameter.name: getattr(read, f"parameter_{index}")
            for index, parameter in enumerate(self._parameters)
            # Python has its own defaults for the rest, but for an optional one without any.
            if parameter.name in arguments or parameter.default is parameter.empty
        }
        return values | (read.model_extra or {})


def _takes_none(annotation: Any) -> bool:
    return type(None) in typing.get_args(annotation)


def _must_be_given(schema: Mapping[str, Any], name: str) -> bool:
    return name in schema.get("required", ())


class _Inlining:
    """Makes pydantic's schemas plain: no references, no titles, no null for what may be left out.

    Servers put schemas into prompts by templates, and few of those follow a reference. One
    that is part of itself cannot be written out; it stays a reference, and is `kept`.
    """

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions
        self._open: list[str] = []
        self.kept: dict[str, Any] = {}

    def schema(self, schema: Mapping[str, Any], *, nullable: bool = True) -> dict[str, Any]:
        plain = {key: value for key, value in schema.items() if key != "title"}
        if "$ref" in plain:  # beside it stand at most a description and a default
            return self._referred(plain.pop("$ref")) | plain
        if "const" in plain:
            plain["enum"] = [plain.pop("const")]
        # OpenAI's strict mode refuses both words; the tags of the alternatives say the same.
        plain.pop("discriminator", None)
        if "oneOf" in plain and "anyOf" not in plain:
            plain["anyOf"] = plain.pop("oneOf")
        for key in ("items", "additionalProperties", "contains"):
            if isinstance(plain.get(key), Mapping):
                plain[key] = self.schema(plain[key])
        for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
            if key in plain:
                plain[key] = [self.schema(each) for each in plain[key]]
        if "properties" in plain:
            plain["properties"] = {
                name: self.schema(each, nullable=_must_be_given(schema, name))
                for name, each in plain["properties"].items()
            }
        if not nullable:
            _leave_null_out(plain)
        return _merged(plain)

    def _referred(self, reference: str) -> dict[str, Any]:
        name = reference.rpartition("/")[2]
        if name in self._open:
            if name not in self.kept:
                self.kept[name] = {}  # before what follows, which meets it again
                opened, self._open = self._open, [name]
                self.kept[name] = self.schema(self._definitions[name])
                self._open = opened
            return {"$ref": reference}
        self._open.append(name)
        found = self.schema(copy.deepcopy(self._definitions[name]))
        self._open.pop()
        return found


def _leave_null_out(schema: dict[str, Any]) -> None:
    """Change a schema to that of a value that may be left out, and is not null otherwise."""
    if schema.get("default", ...) is None:
        del schema["default"]
    if "anyOf" in schema:
        schema["anyOf"] = [each for each in schema["anyOf"] if each.get("type") != "null"]


def _merged(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema of alternatives without those, where it can be said more simply."""
    match schema.get("anyOf"):
        case [only]:
            del schema["anyOf"]
            return {**only, **schema}
        case list(alternatives) if all(each.keys() == {"type"} for each in alternatives):
            del schema["anyOf"]
            return {"type": [each["type"] for each in alternatives], **schema}
        case _:
            return schema
