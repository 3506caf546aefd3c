"""What an answer must be like."""

from motet import PartialValidationResult as PartialValidationResult
from motet import Requirement as Requirement
from motet import ValidationResult as ValidationResult
from motet import default_output_to_bool as default_output_to_bool

__all__ = [
    "PartialValidationResult",
    "Requirement",
    "ValidationResult",
    "default_output_to_bool",
]
