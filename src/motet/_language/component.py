"""`Component`: something that can be said to a model and knows how to read the answer."""

from typing import Any, Generic, Protocol, TypeGuard, TypeVar, runtime_checkable

import attrs

from .._thunk.thunk import ModelOutputThunk
from .._values.errors import MotetError
from .blocks import CBlock, ImageBlock, ImageUrlBlock

S_co = TypeVar("S_co", covariant=True)
S = TypeVar("S")


class ComponentParseError(MotetError):
    """A component could not read the model's answer; the reason is the ``__cause__``."""


@attrs.define
class TemplateRepresentation:
    """A component as a template sees it.

    Attributes:
        obj: the component.
        args: what the template may use, by name: text, and lists and mappings of text.
        tools: tools that the component brings along, by name.
        fields: parts of the object that may be shown.
        template: the template itself; wins over *template_order*.
        template_order: names of templates to look for; ``*`` is the component's class name.
        images: images to send with the text.
    """

    obj: Any
    args: dict[str, Any]
    tools: dict[str, Any] | None = None
    fields: list[Any] | None = None
    template: str | None = None
    template_order: list[str] | None = None
    images: list[ImageBlock | ImageUrlBlock] | None = None


@runtime_checkable
class Component(Protocol, Generic[S_co]):
    """Something that can be said to a model.

    A subclass says what it consists of (`parts`), how it is put (`format_for_llm`) and how
    the answer is read (`_parse`). Parts may be replies that have not arrived yet: the
    call that uses the component waits for them before it is put into words.
    """

    def parts(self) -> list[Any]:
        """Return the blocks, components and thunks this consists of."""
        raise NotImplementedError(f"{type(self).__name__} does not implement parts()")

    def format_for_llm(self) -> TemplateRepresentation | str:
        """Return what a template needs, or the finished text."""
        raise NotImplementedError(f"{type(self).__name__} does not implement format_for_llm()")

    def parse(self, computed: ModelOutputThunk[Any]) -> S_co:
        """Read the model's answer.

        Raises:
            ComponentParseError: `_parse` failed; its error is the cause.
        """
        try:
            return self._parse(computed)
        except Exception as exc:
            raise ComponentParseError(f"component parsing failed: {exc}") from exc

    def _parse(self, computed: ModelOutputThunk[Any]) -> S_co:
        raise NotImplementedError(f"{type(self).__name__} does not implement _parse()")


Part = Any  # CBlock | Component | ModelOutputThunk; a protocol cannot be told by isinstance cheaply


def is_component(x: object) -> TypeGuard[Component[Any]]:
    """Whether *x* is a component, by inheritance or by having what one has."""
    # Asking a runtime-checkable protocol takes longer than putting a message into words,
    # and it takes the class of a component for one.
    if Component in type(x).__mro__:
        return True
    return not isinstance(x, type) and isinstance(x, Component)


def blockify(x: Any) -> Any:
    """Return *x* as something that may be a part: a string becomes a `CBlock`.

    Raises:
        TypeError: it is neither text, a block, a component nor a thunk.
    """
    match x:
        case str():
            return CBlock(x)
        case CBlock() | ModelOutputThunk():
            return x
        case _ if is_component(x):
            return x
        case _:
            raise TypeError(
                "expected a string, a CBlock, a component or a ModelOutputThunk, "
                f"not {type(x).__name__}"
            )


def pending_parts(part: Any) -> list[ModelOutputThunk[Any]]:
    """Return the thunks under *part* whose outcome is not written, each once, depth first.

    Raises:
        ValueError: something below is no part at all.
    """
    return [thunk for thunk in _thunks_under(part) if not thunk.is_settled()]


def unfinished_parts(part: Any) -> list[ModelOutputThunk[Any]]:
    """Return the thunks under *part* that have no text: on their way, failed or given up.

    What has any of them cannot be put into words yet, or never. Each comes once, depth first.

    Raises:
        ValueError: something below is no part at all.
    """
    return [thunk for thunk in _thunks_under(part) if lacks_text(thunk)]


def lacks_text(thunk: ModelOutputThunk[Any]) -> bool:
    """Whether a reply is on its way, or ended without a text: it failed or was given up."""
    return not thunk.is_settled() or (thunk.is_lost() and not thunk.cancelled)


def _thunks_under(part: Any) -> list[ModelOutputThunk[Any]]:
    found: dict[int, ModelOutputThunk[Any]] = {}
    # A stack and no recursion, because a program may nest components as deep as it likes.
    # What was seen is kept, not only its id: `parts` may make a component on the way.
    seen: dict[int, Any] = {}
    left = [part]
    while left:
        match left.pop():
            case ModelOutputThunk() as thunk:
                found[id(thunk)] = thunk
            case CBlock() | str() | None:
                pass
            case inner if is_component(inner):
                if id(inner) not in seen:
                    seen[id(inner)] = inner
                    left += reversed(inner.parts())
            case other:
                raise ValueError(f"{str(other)[:10]!r} of type {type(other).__name__} is no part")
    return list(found.values())
