"""Objects that a model can be asked about, or be asked to change.

An object is shown to the model as text, and its methods are offered as tools. `MObject` is
a base class for such objects, `MObjectProtocol` what they have in common; how any other
object becomes one is in `mify`.
"""

import inspect
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol, runtime_checkable

from .._thunk.thunk import ModelOutputThunk
from .blocks import CBlock
from .component import Component, TemplateRepresentation, blockify
from .tools.tool import MelleaTool

NO_INDEX: Final = "[no-index]"  # in the docstring of a method that is no tool

_FOREIGN: Final = sys.stdlib_module_names | {"pydantic"}


@runtime_checkable
class MObjectProtocol(Protocol):
    """What can be asked about and be changed."""

    def parts(self) -> list[Any]:
        """Return the blocks, components and thunks this consists of."""

    def get_query_object(self, query: str) -> "Query":
        """Return the component that asks *query* about this object."""

    def get_transform_object(self, transformation: str) -> "Transform":
        """Return the component that asks for this object to be changed."""

    def content_as_string(self) -> str:
        """Return the object as the model is shown it."""

    def format_for_llm(self) -> TemplateRepresentation | str:
        """Return what a template needs, or the finished text."""

    def _get_all_members(self) -> dict[str, Callable[..., Any]]:
        """Return the methods that could be tools, by name."""

    def _parse(self, computed: ModelOutputThunk[Any]) -> Any:
        """Read the model's answer."""


class _About(Component[str]):
    """What queries and transformations have in common: an object, and a text about it."""

    def __init__(self, obj: Any) -> None:
        self._obj = blockify(obj)

    def parts(self) -> list[Any]:
        """Return the object."""
        return [self._obj]

    def _represented(self, **args: Any) -> TemplateRepresentation:
        shown: Any = self._obj
        if isinstance(shown, Component):
            shown = shown.format_for_llm()
        brought = shown if isinstance(shown, TemplateRepresentation) else None
        return TemplateRepresentation(
            obj=self,
            args={"content": self._obj, **args},
            tools=brought.tools if brought else None,
            fields=brought.fields if brought else None,
            images=brought.images if brought else None,
            template_order=["*", type(self)._template],
        )

    _template: str

    def _parse(self, computed: ModelOutputThunk[Any]) -> str:
        return computed.value or ""


class Query(_About):
    """A question about an object.

    Args:
        obj: the object: a component, an `MObject`, text, or a reply that may be pending.
        query: the question.

    Raises:
        TypeError: *obj* cannot be said; `mify` makes it so.
    """

    _template = "Query"

    def __init__(self, obj: Any, query: str) -> None:
        super().__init__(obj)
        self.query = query

    def format_for_llm(self) -> TemplateRepresentation:
        """Return what the template needs, with the tools that the object brings along."""
        return self._represented(query=self.query)


class Transform(_About):
    """A change of an object that a model is asked for.

    Args:
        obj: the object: a component, an `MObject`, text, or a reply that may be pending.
        transformation: the change.

    Raises:
        TypeError: *obj* cannot be said; `mify` makes it so.
    """

    _template = "Transform"

    def __init__(self, obj: Any, transformation: str) -> None:
        super().__init__(obj)
        self.transformation = transformation

    def format_for_llm(self) -> TemplateRepresentation:
        """Return what the template needs, with the tools that the object brings along."""
        return self._represented(transformation=self.transformation)


class MObject(Component[str]):
    """A base for objects that a model can be asked about, or be asked to change.

    The model is shown what `content_as_string` returns. Methods with a docstring are offered
    to it as tools, unless ``[no-index]`` stands in it or the name begins with an underscore.

    Args:
        query_type: what asks about the object.
        transform_type: what asks for it to be changed.
    """

    def __init__(
        self,
        *,
        query_type: Callable[[Any, str], Query] = Query,
        transform_type: Callable[[Any, str], Transform] = Transform,
    ) -> None:
        self._query_type = query_type
        self._transform_type = transform_type

    def parts(self) -> list[Any]:
        """Return the attributes that are replies, which may not have arrived yet."""
        return thunks_in(self)

    def get_query_object(self, query: str) -> Query:
        """Return the component that asks *query* about this object."""
        return self._query_type(self, query)

    def get_transform_object(self, transformation: str) -> Transform:
        """Return the component that asks for this object to be changed."""
        return self._transform_type(self, transformation)

    def content_as_string(self) -> str:
        """Return the object as the model is shown it: what `str` gives."""
        return str(self)

    def _get_all_members(self) -> dict[str, Callable[..., Any]]:
        return methods_of(self, without=dir(MObject))

    def format_for_llm(self) -> TemplateRepresentation:
        """Return what the template needs, with the methods that are tools."""
        return TemplateRepresentation(
            obj=self,
            args={"content": self.content_as_string()},
            tools=as_tools(documented(self._get_all_members())),
            template_order=["*", "MObject"],
        )

    def _parse(self, computed: ModelOutputThunk[Any]) -> str:
        return computed.value or ""


class ShownObject(MObject):
    """Any object at all, as a model is shown it; the object itself is left as it is.

    Args:
        obj: the object: its `str` is the content, its documented methods are the tools.
    """

    def __init__(self, obj: Any) -> None:
        super().__init__()
        self.obj = obj

    def parts(self) -> list[Any]:
        """Return the attributes of the object that are replies."""
        return thunks_in(self.obj)

    def content_as_string(self) -> str:
        """Return what `str` gives for the object."""
        return str(self.obj)

    def _get_all_members(self) -> dict[str, Callable[..., Any]]:
        return methods_of(self.obj)


def as_query(obj: Any, query: str) -> Query:
    """Return the component that asks *query* about *obj*.

    Args:
        obj: an `MObject`, or what `mify` has made like one, asks in its own way; text, blocks,
            components and replies are asked about as they are, any other object as a
            `ShownObject`.
        query: the question.
    """
    if isinstance(obj, MObjectProtocol):
        return obj.get_query_object(query)
    return Query(_said(obj), query)


def as_transform(obj: Any, transformation: str) -> Transform:
    """Return the component that asks for *obj* to be changed; see `as_query`."""
    if isinstance(obj, MObjectProtocol):
        return obj.get_transform_object(transformation)
    return Transform(_said(obj), transformation)


def _said(obj: Any) -> Any:
    is_part = isinstance(obj, str | CBlock | ModelOutputThunk | Component)
    return obj if is_part else ShownObject(obj)


def methods_of(obj: object, *, without: Iterable[str] = ()) -> dict[str, Callable[..., Any]]:
    """Return the public methods of an object by name. Properties are left alone.

    Those of Python's own classes and of pydantic are not what the object is about.
    """
    names = dict.fromkeys(
        name
        for cls in reversed(type(obj).__mro__)
        if cls.__module__.partition(".")[0] not in _FOREIGN
        for name, attribute in vars(cls).items()
        if not name.startswith("_") and _is_method(attribute)
    )
    return {name: getattr(obj, name) for name in names if name not in set(without)}


def _is_method(attribute: object) -> bool:
    return inspect.isfunction(attribute) or isinstance(attribute, classmethod | staticmethod)


def documented(methods: dict[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """Return the methods that have a docstring, without ``[no-index]`` in it."""
    return {
        name: method
        for name, method in methods.items()
        if method.__doc__ and NO_INDEX not in method.__doc__
    }


def as_tools(methods: dict[str, Callable[..., Any]]) -> dict[str, MelleaTool[..., Any]]:
    """Return methods as tools."""
    return {name: MelleaTool.from_callable(method, name) for name, method in methods.items()}


def thunks_in(obj: object) -> list[Any]:
    """Return the attributes of an object that are replies."""
    attributes = getattr(obj, "__dict__", {})
    return [value for value in attributes.values() if isinstance(value, ModelOutputThunk)]
