"""What is said and what comes back: blocks, components, thunks, contexts."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, TypeVar

import motet
from motet import CBlock as CBlock
from motet import Component as Component
from motet import ComponentParseError as ComponentParseError
from motet import Context as Context
from motet import ContextTurn as ContextTurn
from motet import GenerateLog as GenerateLog
from motet import GenerationMetadata as GenerationMetadata
from motet import ImageBlock as ImageBlock
from motet import ImageUrlBlock as ImageUrlBlock
from motet import ModelToolCall as ModelToolCall
from motet import RawProviderResponse as RawProviderResponse
from motet import TemplateRepresentation as TemplateRepresentation
from motet import blockify as blockify

from .feed import GenerateType as GenerateType
from .thunk import ComputedModelOutputThunk as ComputedModelOutputThunk
from .thunk import ModelOutputThunk as ModelOutputThunk

__all__ = [
    "AbstractMelleaTool",
    "C",
    "CBlock",
    "Component",
    "ComponentParseError",
    "ComputedModelOutputThunk",
    "Context",
    "ContextT",
    "ContextTurn",
    "GenerateLog",
    "GenerateType",
    "GenerationMetadata",
    "ImageBlock",
    "ImageUrlBlock",
    "ModelOutputThunk",
    "ModelToolCall",
    "RawProviderResponse",
    "S",
    "TemplateRepresentation",
    "blockify",
    "get_images_from_component",
]

C = TypeVar("C")
S = TypeVar("S")
ContextT = TypeVar("ContextT", bound=Context)


class AbstractMelleaTool(abc.ABC):
    """What a model may ask to be called: every `MelleaTool`, and tools of one's own."""

    name: str

    @abc.abstractmethod
    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Call it and return what it returns."""

    @property
    @abc.abstractmethod
    def as_json_tool(self) -> Mapping[str, Any]:
        """The description for the model."""


AbstractMelleaTool.register(motet.MelleaTool)


def get_images_from_component(c: Component[Any]) -> list[ImageBlock | ImageUrlBlock] | None:
    """Return the images of a component; None for none."""
    if hasattr(c, "images"):
        return list(c.images) if c.images else None
    representation = c.format_for_llm()
    if isinstance(representation, TemplateRepresentation) and representation.images:
        return list(representation.images)
    return None
