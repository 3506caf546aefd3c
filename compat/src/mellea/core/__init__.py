"""What everything else is made of."""

import warnings
from typing import Any

from .backend import Backend as Backend
from .backend import BaseModelSubclass as BaseModelSubclass
from .backend import generate_walk as generate_walk
from .base import C as C
from .base import CBlock as CBlock
from .base import Component as Component
from .base import ComponentParseError as ComponentParseError
from .base import ComputedModelOutputThunk as ComputedModelOutputThunk
from .base import Context as Context
from .base import ContextTurn as ContextTurn
from .base import GenerateLog as GenerateLog
from .base import GenerateType as GenerateType
from .base import GenerationMetadata as GenerationMetadata
from .base import ImageBlock as ImageBlock
from .base import ImageUrlBlock as ImageUrlBlock
from .base import ModelOutputThunk as ModelOutputThunk
from .base import ModelToolCall as ModelToolCall
from .base import RawProviderResponse as RawProviderResponse
from .base import S as S
from .base import TemplateRepresentation as TemplateRepresentation
from .base import blockify as blockify
from .formatter import Formatter as Formatter
from .requirement import PartialValidationResult as PartialValidationResult
from .requirement import Requirement as Requirement
from .requirement import ValidationResult as ValidationResult
from .requirement import default_output_to_bool as default_output_to_bool
from .sampling import SamplingResult as SamplingResult
from .sampling import SamplingStrategy as SamplingStrategy
from .utils import MelleaLogger as MelleaLogger
from .utils import clear_log_context as clear_log_context
from .utils import log_context as log_context
from .utils import set_log_context as set_log_context

__all__ = [
    "Backend",
    "BaseModelSubclass",
    "C",
    "CBlock",
    "Component",
    "ComponentParseError",
    "ComputedModelOutputThunk",
    "Context",
    "ContextTurn",
    "Formatter",
    "GenerateLog",
    "GenerateType",
    "GenerationMetadata",
    "ImageBlock",
    "ImageUrlBlock",
    "MelleaLogger",
    "ModelOutputThunk",
    "ModelToolCall",
    "PartialValidationResult",
    "RawProviderResponse",
    "Requirement",
    "S",
    "SamplingResult",
    "SamplingStrategy",
    "TemplateRepresentation",
    "ValidationResult",
    "blockify",
    "clear_log_context",
    "default_output_to_bool",
    "generate_walk",
    "log_context",
    "set_log_context",
]


def __getattr__(name: str) -> Any:
    if name == "FancyLogger":
        warnings.warn(
            "FancyLogger has been renamed to MelleaLogger; update your imports",
            DeprecationWarning,
            stacklevel=2,
        )
        return MelleaLogger
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
