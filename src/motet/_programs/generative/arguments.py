"""The arguments of one call of a generative function, in words."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs

from ..._language.blocks import CBlock
from ..._language.component import Component, TemplateRepresentation
from ..._language.signatures import resolved_signature
from ..._thunk.thunk import ModelOutputThunk
from .function import Function


@attrs.frozen
class Argument:
    """One argument.

    Attributes:
        annotation: the type, as the function annotates it, or else that of the value.
        name: the name of the parameter.
        value: the value; it may be, or contain, replies that have not arrived yet.
    """

    annotation: str
    name: str
    value: Any


class Arguments(Component[str]):
    """The arguments of one call.

    Text is put in quotes, a component as its template says, anything else as `repr` shows it.
    """

    def __init__(self, arguments: Sequence[Argument] = ()) -> None:
        self.arguments = list(arguments)

    @classmethod
    def of(cls, function: Function, values: dict[str, Any]) -> Arguments:
        """Return the arguments of a call of *function* with *values*."""
        return cls([_argument(function.signature, *each) for each in values.items()])

    def __bool__(self) -> bool:
        return bool(self.arguments)

    def parts(self) -> list[Any]:
        """Return the components and replies among the values, and in lists and mappings there."""
        return [part for argument in self.arguments for part in _parts(argument.value)]

    def format_for_llm(self) -> TemplateRepresentation:
        """Return what the template needs; every pending part must have arrived."""
        return TemplateRepresentation(
            obj=self,
            args={
                "arguments": [
                    {"name": each.name, "value": _shown(each.value), "annotation": each.annotation}
                    for each in self.arguments
                ]
            },
            template_order=["*", "Arguments"],
        )

    def _parse(self, computed: ModelOutputThunk[Any]) -> str:
        return computed.value or ""


def get_argument(func: Callable[..., Any], key: str, val: Any) -> Argument:
    """Return the argument *key* of *func* with a value."""
    return _argument(resolved_signature(func), key, val)


def _argument(signature: inspect.Signature, name: str, value: Any) -> Argument:
    parameter = signature.parameters.get(name)
    if parameter is None or parameter.annotation is parameter.empty:
        is_text = isinstance(value, CBlock | ModelOutputThunk)
        annotation: Any = str if is_text else type(value)
    else:
        annotation = parameter.annotation
    return Argument(inspect.formatannotation(annotation), name, value)


def _parts(value: Any) -> Iterator[Any]:
    match value:
        case list() | tuple() | set() | frozenset():
            for each in value:
                yield from _parts(each)
        case dict():
            for each in value.values():
                yield from _parts(each)
        case _ if isinstance(value, CBlock | ModelOutputThunk | Component):
            yield value


def _shown(value: Any) -> Any:
    match value:
        case str() | CBlock() | ModelOutputThunk():
            return f'"{value}"'
        case list() | tuple() | set() | frozenset() | dict():
            return repr(_plain(value))
        case _:
            return value if isinstance(value, Component) else repr(value)


def _plain(value: Any) -> Any:
    """Return a value with text in place of the replies in it; `repr` shows those otherwise."""
    match value:
        case CBlock() | ModelOutputThunk():
            return str(value)
        case list() | tuple() | set() | frozenset() if type(value) in (list, tuple, set, frozenset):
            return type(value)(_plain(each) for each in value)
        case dict() if type(value) is dict:
            return {key: _plain(each) for key, each in value.items()}
        case _:
            return value
