"""`Component`: something that can be said to a model and knows how to read the answer."""

from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

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
        case _ if isinstance(x, Component):
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
    found: dict[int, ModelOutputThunk[Any]] = {}
    _walk(part, found)
    return list(found.values())


def _walk(part: Any, found: dict[int, ModelOutputThunk[Any]]) -> None:
    match part:
        case ModelOutputThunk():
            if not part.is_settled():
                found[id(part)] = part
        case CBlock() | str() | None:
            pass
        case _ if isinstance(part, Component):
            for inner in part.parts():
                _walk(inner, found)
        case _:
            raise ValueError(f"{str(part)[:10]!r} of type {type(part).__name__} is no part")
