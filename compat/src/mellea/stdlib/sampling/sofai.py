"""A fast model first, and a slow one for what it cannot do."""

from motet import SOFAISamplingStrategy as SOFAISamplingStrategy

__all__ = ["SOFAISamplingStrategy"]
