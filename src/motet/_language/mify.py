"""`mify`: any object becomes one that a model can be asked about, or be asked to change.

The class, or the one object, is given the methods of `MObjectProtocol`. Methods of that
name that it has already stay, so they are a way to override one.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypedDict, TypeVar, Unpack, overload

import attrs

from .._thunk.thunk import ModelOutputThunk
from .blocks import CBlock
from .component import Component, TemplateRepresentation
from .objects import (
    MObjectProtocol,
    Query,
    Transform,
    as_tools,
    documented,
    methods_of,
    thunks_in,
)

T = TypeVar("T")

_PROTOCOL: Final = (
    "parts",
    "get_query_object",
    "get_transform_object",
    "content_as_string",
    "format_for_llm",
    "_get_all_members",
    "_parse",
)
_GIVEN: Final = (*_PROTOCOL, "parse")


def _names(given: Iterable[str] | None) -> frozenset[str] | None:
    if isinstance(given, str):
        raise TypeError(f"names should be a list of strings, not the string {given!r}")
    return None if given is None else frozenset(given)


@attrs.frozen
class _Way:
    """How objects are shown and answers are read."""

    query_type: Callable[[Any, str], Query] = Query
    transform_type: Callable[[Any, str], Transform] = Transform
    fields_include: frozenset[str] | None = attrs.field(default=None, converter=_names)
    fields_exclude: frozenset[str] | None = attrs.field(default=None, converter=_names)
    funcs_include: frozenset[str] | None = attrs.field(default=None, converter=_names)
    funcs_exclude: frozenset[str] | None = attrs.field(default=None, converter=_names)
    template: str | None = None
    template_order: str | list[str] | None = None
    parsing_func: Callable[[ModelOutputThunk[Any]], Any] | None = None
    stringify_func: Callable[[Any], str] | None = None

    def methods(self) -> dict[str, Callable[..., Any]]:
        """Return what the class or the object is to have, as functions of ``self``."""
        way = self

        def parts(self: Any) -> list[Any]:
            fields = way.fields(self)
            if fields is None:
                return thunks_in(self)
            return [each for each in fields.values() if _is_part(each)]

        def get_query_object(self: Any, query: str) -> Query:
            return way.query_type(self, query)

        def get_transform_object(self: Any, transformation: str) -> Transform:
            return way.transform_type(self, transformation)

        def content_as_string(self: Any) -> str:
            return str(self) if way.stringify_func is None else way.stringify_func(self)

        def _get_all_members(self: Any) -> dict[str, Callable[..., Any]]:
            return methods_of(self, without=_GIVEN)

        def format_for_llm(self: Any) -> TemplateRepresentation:
            return way.represented(self)

        def _parse(self: Any, computed: ModelOutputThunk[Any]) -> Any:
            return computed.value or "" if way.parsing_func is None else way.parsing_func(computed)

        def parse(self: Any, computed: ModelOutputThunk[Any]) -> Any:
            return Component.parse(self, computed)

        return {each.__name__: each for each in (
            parts, get_query_object, get_transform_object, content_as_string,
            _get_all_members, format_for_llm, _parse, parse,
        )}  # fmt: skip

    def represented(self, obj: Any) -> TemplateRepresentation:
        """Return an object as a template sees it."""
        fields = self.fields(obj)
        order = self.template_order
        if fields is None:
            args: dict[str, Any] = {"content": obj.content_as_string()}
        elif self.template is None and order is None:
            args = {"content": "\n".join(f"{name}: {value}" for name, value in fields.items())}
        else:
            args = fields
        return TemplateRepresentation(
            obj=obj,
            args=args,
            tools=as_tools(self.tools(obj._get_all_members())),
            fields=None if fields is None else list(fields.values()),
            template=self.template,
            template_order=[order] if isinstance(order, str) else order or ["*", "MObject"],
        )

    def tools(self, methods: dict[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
        """Return those of an object's methods that are tools."""
        if self.funcs_include is None:
            chosen = documented(methods)
        else:  # asked for by name, so they need not be documented
            chosen = {name: methods[name] for name in methods if name in self.funcs_include}
        return _without(chosen, self.funcs_exclude)

    def fields(self, obj: Any) -> dict[str, Any] | None:
        """Return the attributes that are shown in place of the content; None for the content."""
        if self.fields_include is not None:
            # Sorted as the object has them, and then what it has only when asked.
            own = [name for name in _attributes(obj) if name in self.fields_include]
            more = sorted(self.fields_include.difference(own))
            return _without(
                {name: getattr(obj, name) for name in (*own, *more)}, self.fields_exclude
            )
        if self.fields_exclude is not None:
            return _without(
                {name: getattr(obj, name) for name in _attributes(obj)}, self.fields_exclude
            )
        return None


def _without(named: Mapping[str, Any], left_out: frozenset[str] | None) -> dict[str, Any]:
    return {name: each for name, each in named.items() if name not in (left_out or ())}


def _attributes(obj: Any) -> list[str]:
    """Return the names of an object's public attributes, in the order of its class or life."""
    slots = [name for cls in reversed(type(obj).__mro__) for name in _slots(cls)]
    names = dict.fromkeys([*slots, *getattr(obj, "__dict__", {})])
    return [
        name
        for name in names
        if not name.startswith("_") and name not in _GIVEN and hasattr(obj, name)
    ]


def _slots(cls: type[Any]) -> Iterable[str]:
    slots: str | Iterable[str] = cls.__dict__.get("__slots__", ())
    return [slots] if isinstance(slots, str) else slots


def _is_part(value: Any) -> bool:
    return isinstance(value, CBlock | ModelOutputThunk | Component)


class MifyOptions(TypedDict, total=False):
    """What `mify` takes by name; its docstring says what each means."""

    query_type: Callable[[Any, str], Query]
    transform_type: Callable[[Any, str], Transform]
    fields_include: Iterable[str] | None
    fields_exclude: Iterable[str] | None
    funcs_include: Iterable[str] | None
    funcs_exclude: Iterable[str] | None
    template: str | None
    template_order: str | list[str] | None
    parsing_func: Callable[[ModelOutputThunk[Any]], Any] | None
    stringify_func: Callable[[Any], str] | None


@overload
def mify(obj_or_class: T, /, **way: Unpack[MifyOptions]) -> T: ...
@overload
def mify(obj_or_class: None = None, /, **way: Unpack[MifyOptions]) -> Callable[[T], T]: ...
def mify(obj_or_class: Any = None, /, **way: Unpack[MifyOptions]) -> Any:
    """Make an object, or every object of a class, one that a model can be asked about.

    As ``@mify``, ``@mify(...)``, ``mify(cls)`` or ``mify(obj)``. What is one already stays as it
    is. The model is shown the object's `str`, or what the options say, and is offered its
    documented methods as tools.

    Args:
        obj_or_class: the object or class; without it, a decorator is returned.
        way: the options:

            - ``query_type``, ``transform_type``: what asks about the object and for a change.
            - ``fields_include``, ``fields_exclude``: names of attributes to show in place of
              the content: only those, or all but those. They are the arguments of the
              template; without one, they are shown line by line.
            - ``funcs_include``, ``funcs_exclude``: names of methods to offer as tools: only
              those, documented or not, or all documented ones but those. A name that is
              both included and excluded is excluded.
            - ``template``, ``template_order``: the template, or names to look for one under.
            - ``parsing_func``: reads the answer, from its thunk.
            - ``stringify_func``: returns the object as text.

    Returns:
        The same object or class.

    Raises:
        TypeError: it cannot be given methods, as a list or a number cannot; or there is no
            such option.
    """
    unknown = ", ".join(way.keys() - MifyOptions.__annotations__.keys())
    if unknown:
        known = ", ".join(MifyOptions.__annotations__)
        raise TypeError(f"mify() has no option {unknown}; it has {known}")
    settings = _Way(**way)

    def decorate(target: T) -> T:
        return _mified(target, settings)

    return decorate if obj_or_class is None else decorate(obj_or_class)


def _mified(target: T, way: _Way) -> T:
    if isinstance(target, type):
        if not all(hasattr(target, name) for name in _PROTOCOL):
            _give(target, way, lambda name, method: setattr(target, name, method))
    elif not isinstance(target, MObjectProtocol):
        # Not setattr: a frozen dataclass would refuse, and nothing it stands for changes.
        _give(
            target,
            way,
            lambda name, method: object.__setattr__(target, name, types.MethodType(method, target)),
        )
    return target


def _give(target: object, way: _Way, attach: Callable[[str, Callable[..., Any]], None]) -> None:
    for name, method in way.methods().items():
        own = getattr(target, name, None)
        if own is not None and not callable(own):
            raise TypeError(
                f"{_called(target)} has an attribute {name!r} already, which mify() would need "
                "for itself; write a class around it"
            )
        if own is None:
            try:
                attach(name, method)
            except (AttributeError, TypeError) as exc:
                raise TypeError(
                    f"{_called(target)} cannot be given methods; mify its class, or ask "
                    "about it as it is"
                ) from exc


def _called(target: object) -> str:
    if isinstance(target, type):
        return f"the class {target.__qualname__}"
    return f"this object of the class {type(target).__qualname__}"
