"""What a model is told to do."""

from motet import Instruction as Instruction

__all__ = ["Instruction"]
