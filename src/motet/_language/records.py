"""Typed values out of what a model wrote: types for pydantic, and what it finds wrong.

Pydantic knows dataclasses and its own models, and not attrs classes. Each is given a
pydantic model with the same fields, and what that has read becomes an object of the class,
which does the rest, its converters and validators included. This is done once, at the end,
and not by each model: where a class contains itself, pydantic goes past what a model adds
to its own schema. Dataclasses and pydantic models that have attrs fields are beyond this.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

if TYPE_CHECKING:
    from pydantic import BaseModel

# Values, and what JSON does not have, in the place of types.
_LEFT_ALONE: Final = (typing.Literal, Callable)

_CONTAINERS: Final = (list, set, frozenset, tuple)

# The models of the classes met so far, complete ones only.
_models: Final[dict[type[Any], type[BaseModel]]] = {}
_objects: Final[set[type[Any]]] = set()  # ... and these models


def readable(annotation: Any) -> Any:
    """Return *annotation* such that pydantic can read it, also where it names attrs classes.

    Raises:
        TypeError: an attrs class has an annotation that names something unknown.
    """
    replaced = _Replacing().replaced(annotation)
    if replaced is annotation:
        return annotation
    from pydantic import AfterValidator

    return typing.Annotated[replaced, AfterValidator(_made)]


def misfits(error: Exception) -> list[str]:
    """Return what pydantic found wrong with a value, one line for each place in it."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return [f"{type(error).__name__}: {error}"]
    return [
        ": ".join(filter(None, (".".join(str(step) for step in each["loc"]), each["msg"])))
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    ]


class _Replacing:
    """One walk through an annotation, and through the classes that are found in it."""

    def __init__(self) -> None:
        self._begun: dict[type[Any], str] = {}
        self._made: dict[type[Any], type[BaseModel]] = {}

    def replaced(self, annotation: Any) -> Any:
        arguments = typing.get_args(annotation)
        if not arguments:
            return self._model(annotation) if _is_attrs(annotation) else annotation
        origin = typing.get_origin(annotation)
        if origin in _LEFT_ALONE or _is_attrs(origin):  # a generic class is pydantic's to refuse
            return annotation
        replaced = tuple(self.replaced(each) for each in arguments)
        if all(new is old for new, old in zip(replaced, arguments, strict=True)):
            return annotation
        if origin is typing.Annotated:
            return typing.Annotated[(replaced[0], *annotation.__metadata__)]
        if origin in (typing.Union, types.UnionType):
            return typing.Union[replaced]  # noqa: UP007 - of a tuple, and with forward references
        if hasattr(annotation, "copy_with"):  # typing.List and the like
            return annotation.copy_with(replaced)
        return origin[replaced]

    def _model(self, cls: type[Any]) -> Any:
        if cls in _models:
            return _models[cls]
        if cls in self._begun:  # a class that contains itself, at whatever distance
            return typing.ForwardRef(self._begun[cls])
        outermost = not self._begun
        self._begun[cls] = f"_attrs_class_{len(self._begun)}"
        self._made[cls] = model = self._create(cls)
        if outermost:
            self._complete()
        return model

    def _create(self, cls: type[Any]) -> type[BaseModel]:
        from pydantic import Field, create_model

        try:
            hints = typing.get_type_hints(cls, include_extras=True)
        except NameError as exc:
            raise TypeError(
                f"an annotation of {cls.__qualname__} names {exc.name!r}, which its module does "
                "not know; define or import it at the top level of the module"
            ) from exc
        fields: dict[str, Any] = {}
        names: dict[str, str] = {}
        for index, field in enumerate(field for field in attrs.fields(cls) if field.init):
            # Numbered: a field may have a name that means something to pydantic.
            name, parameter = f"field_{index}", field.alias or field.name
            names[name] = parameter
            if field.default is attrs.NOTHING:
                info = Field(alias=parameter)
            elif hasattr(field.default, "takes_self"):  # a factory, which the class calls
                info = Field(default_factory=lambda: None, alias=parameter)
            else:
                info = Field(default=field.default, alias=parameter)
            fields[name] = (self.replaced(hints.get(field.name, Any)), info)
        return create_model(
            cls.__name__,
            __base__=_base(cls, names),
            __module__=cls.__module__,
            __doc__=_written_doc(cls),
            **fields,
        )

    def _complete(self) -> None:
        known = {self._begun[cls]: model for cls, model in self._made.items()}
        for model in self._made.values():
            model.model_rebuild(force=True, _types_namespace=known)
        _models.update(self._made)
        _objects.update(self._made.values())
        self._begun = {}


def _is_attrs(annotation: Any) -> bool:
    return isinstance(annotation, type) and attrs.has(annotation)


def _written_doc(cls: type[Any]) -> str | None:
    # attrs writes none, and a class without one would show that of its base.
    return inspect.cleandoc(cls.__doc__) if cls.__doc__ else None


def _base(cls: type[Any], names: Mapping[str, str]) -> type[BaseModel]:
    """Return the base of the model of *cls*, which knows how to become the object it is for."""
    from pydantic import BaseModel

    class Record(BaseModel):
        def _object(self) -> Any:
            # What was not said is left to the defaults of the class.
            said = {names[name]: _made(getattr(self, name)) for name in self.model_fields_set}
            try:
                return cls(**said)
            except TypeError as exc:  # a validator's; pydantic takes ValueError for one
                raise ValueError(str(exc)) from exc

    return Record


def _made(read: Any) -> Any:
    """Return what was read with objects of the attrs classes in the place of their models."""
    match read:
        case list() | set() | frozenset() | tuple() if type(read) in _CONTAINERS:
            return type(read)(_made(each) for each in read)
        case dict():
            return {key: _made(each) for key, each in read.items()}
        case _ if type(read) in _objects:
            return read._object()
        case _:
            return read
