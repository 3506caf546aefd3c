"""How to get an answer that meets its requirements, and what came of it."""

from motet import SamplingResult as SamplingResult
from motet import SamplingStrategy as SamplingStrategy

__all__ = ["SamplingResult", "SamplingStrategy"]
