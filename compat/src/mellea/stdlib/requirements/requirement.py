"""Short ways to write requirements."""

from motet import LLMaJRequirement as LLMaJRequirement
from motet import Requirement as Requirement
from motet import ValidationResult as ValidationResult
from motet import check as check
from motet import default_output_to_bool as default_output_to_bool
from motet import req as req
from motet import reqify as reqify
from motet import requirement_check_to_bool as requirement_check_to_bool
from motet import simple_validate as simple_validate

from ..._left_out import ADAPTERS, named

__all__ = [
    "LLMaJRequirement",
    "Requirement",
    "ValidationResult",
    "check",
    "default_output_to_bool",
    "req",
    "reqify",
    "requirement_check_to_bool",
    "simple_validate",
]

__getattr__ = named(__name__, {"ALoraRequirement": ADAPTERS})
