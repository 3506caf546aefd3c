"""Errors of a program that asks wrongly, where programs written for mellea expect an `AssertionError`.

Each is what it should be in Python, and that as well.
"""


class Misuse(RuntimeError, AssertionError):
    """An object was used where it cannot be."""


class WrongType(TypeError, AssertionError):
    """An argument is of a type that cannot be used."""


class WrongValue(ValueError, AssertionError):
    """An argument is of the right type and makes no sense."""
