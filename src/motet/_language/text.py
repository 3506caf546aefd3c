"""Templates in the texts that users write: ``{{name}}`` and the rest of Jinja, in a sandbox.

Only the text that the program wrote is a template. A value is data: braces in it mean
nothing, and it is never rendered a second time. Jinja is imported when it is first used.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2.sandbox import SandboxedEnvironment


@functools.cache
def _environment() -> SandboxedEnvironment:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    # Prompts are not HTML, so nothing is escaped.
    return ImmutableSandboxedEnvironment(autoescape=False)


@functools.lru_cache(maxsize=512)
def _compiled(source: str) -> Any:
    return _environment().from_string(source)


def check_template(source: str, what: str) -> None:
    """Make sure that *source* is a template, before anything is sent.

    Raises:
        ValueError: it is not; names *what* it was given as, the line and the reason.
    """
    from jinja2 import TemplateSyntaxError

    try:
        _compiled(source)
    except TemplateSyntaxError as exc:
        raise ValueError(
            f"{what} is not a valid template, line {exc.lineno}: {exc.message}; "
            "braces that are meant as text belong into a user variable"
        ) from exc


def fill_in(source: str, variables: Mapping[str, Any], what: str) -> str:
    """Return *source* with the variables filled in; an unknown variable becomes empty.

    Raises:
        ValueError: it is no template, or does what a template may not.
    """
    from jinja2 import TemplateError

    check_template(source, what)
    try:
        rendered: str = _compiled(source).render(variables)
    except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as exc:
        raise ValueError(f"{what} cannot be rendered: {exc}") from exc
    return rendered


def check_variables(variables: Mapping[str, Any]) -> None:
    """Make sure that *variables* can be filled in.

    Raises:
        TypeError: it is no mapping, or a name is no string.
    """
    if not isinstance(variables, Mapping):
        raise TypeError(
            f"user_variables should be a mapping of names to values, not {type(variables).__name__}"
        )
    for name in variables:
        if not isinstance(name, str):
            raise TypeError(f"the names in user_variables should be strings, not {name!r}")
