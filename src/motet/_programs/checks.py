"""Short ways to write requirements, and requirements that many programs need."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from .._language.requirement import Requirement, ValidationResult

if TYPE_CHECKING:
    from .._language.context import Context

_log: Final = logging.getLogger("motet")


class LLMaJRequirement(Requirement):
    """A requirement that a model judges: an LLM as a judge."""

    use_aloras = False


def req(*args: Any, **kwargs: Any) -> Requirement:
    """Return ``Requirement(*args, **kwargs)``."""
    return Requirement(*args, **kwargs)


def check(*args: Any, **kwargs: Any) -> Requirement:
    """Return a requirement that is checked and that the prompt does not mention."""
    return Requirement(*args, **kwargs, check_only=True)


def reqify(x: object) -> Requirement:
    """Return *x* as a requirement; a string becomes one.

    Raises:
        TypeError: it is neither a string nor a requirement.
    """
    match x:
        case str():
            return Requirement(x)
        case Requirement():
            return x
        case _:
            raise TypeError(f"expected a string or a Requirement, not {type(x).__name__}")


def simple_validate(
    fn: Callable[[str], Any], *, reason: str | None = None
) -> Callable[[Context], ValidationResult | Awaitable[ValidationResult]]:
    """Return a validation function that applies *fn* to the text of the last output.

    Args:
        fn: returns a bool, or a bool and a reason; may be async.
        reason: the reason to give when *fn* returns a bool.

    Raises:
        ValueError: when it is used: *fn* returned something else.
    """

    def judged(outcome: object) -> ValidationResult:
        match outcome:
            case bool():
                return ValidationResult(outcome, reason=reason)
            case (bool() as passed, str() as why) if isinstance(outcome, tuple):
                return ValidationResult(passed, reason=why)
            case _:
                raise ValueError(
                    f"{_name_of(fn)}, which simple_validate was given, should return a bool or "
                    f"a tuple of a bool and a string, not {outcome!r}"
                )

    async def judged_later(outcome: Awaitable[object]) -> ValidationResult:
        return judged(await outcome)

    def validate(ctx: Context) -> ValidationResult | Awaitable[ValidationResult]:
        output = ctx.last_output()
        if output is None or output.value is None:
            _log.warning("there is no output to check with %s, so it fails", _name_of(fn))
            return ValidationResult(False)
        outcome = fn(output.value)
        return judged_later(outcome) if inspect.isawaitable(outcome) else judged(outcome)

    return validate


def requirement_check_to_bool(x: object) -> bool:
    """Tell whether a requirement check says that it is met: its score is above one half.

    Args:
        x: JSON text of the form ``{"requirement_check": {"score": 0.9}}``.

    Raises:
        ValueError: it is something else.
    """
    text = str(x)
    try:
        return float(json.loads(text)["requirement_check"]["score"]) > 0.5
    except (ValueError, LookupError, TypeError) as exc:
        raise ValueError(
            f'expected a requirement check, as in {{"requirement_check": {{"score": 0.9}}}}, '
            f"not {text[:80]!r}"
        ) from exc


def uses_tool(tool_name: str | Callable[..., Any], check_only: bool = False) -> Requirement:
    """Return a requirement that the model asks for a call of the tool.

    Args:
        tool_name: the tool or its name.
        check_only: leave it out of the prompt.
    """
    name = _tool_name(tool_name)

    def validate(ctx: Context) -> ValidationResult:
        calls = _calls(ctx)
        if not calls:
            return ValidationResult(False, reason="No tool was called.")
        if any(call.name == name for call in calls):
            return ValidationResult(True)
        return ValidationResult(False, reason=f"The tool {name} was not called.")

    return Requirement(f"Use the {name} tool.", validate, check_only=check_only)


def tool_arg_validator(
    description: str,
    tool_name: str | Callable[..., Any] | None,
    arg_name: str,
    validation_fn: Callable[[Any], Any],
    check_only: bool = False,
) -> Requirement:
    """Return a requirement on an argument that the model wants a tool to be called with.

    Args:
        description: the requirement in words.
        tool_name: the tool or its name; None for every tool that is called with the argument.
        arg_name: the argument.
        validation_fn: is given the argument's value; what it returns is true if it will do.
        check_only: leave it out of the prompt.
    """
    name = None if tool_name is None else _tool_name(tool_name)

    def validate(ctx: Context) -> ValidationResult:
        calls = _calls(ctx)
        if not calls:
            return _failed(f"{name or 'A tool'} should have been called, and no tool was.")
        if name is not None:
            calls = [call for call in calls if call.name == name]
            if not calls:
                return _failed(f"The tool {name} was not called.")
        given = [call for call in calls if arg_name in call.args]
        if not given:
            return _failed(
                f"{name or 'A tool'} should have been called with {arg_name}, and was not."
            )
        if name is not None and len(given) < len(calls):
            return _failed(f"{name} was once called without the argument {arg_name}.")
        for call in given:
            value = call.args[arg_name]
            verdict = validation_fn(value)
            if not verdict:
                return _failed(
                    f"The argument {arg_name} of {call.name} will not do: its value is {value!r}, "
                    f"and the check of it returned {verdict!r}."
                )
        return ValidationResult(True)

    return Requirement(description, validate, check_only=check_only)


def _failed(reason: str) -> ValidationResult:
    return ValidationResult(False, reason=reason)


@attrs.frozen
class _Call:
    name: str
    args: Mapping[str, Any]


def _calls(ctx: Context) -> list[_Call]:
    output = ctx.last_output()
    asked: Any = None if output is None else output.tool_calls
    if not asked:
        return []
    calls = asked.values() if isinstance(asked, Mapping) else asked
    return [_Call(call.name, call.args) for call in calls]


def _tool_name(tool: object) -> str:
    name = tool if isinstance(tool, str) else getattr(tool, "name", None)
    if name is None:
        name = getattr(tool, "__name__", None)
    if not isinstance(name, str):
        raise TypeError(f"expected a tool or the name of one, not {tool!r}")
    return name


def _name_of(fn: object) -> str:
    return getattr(fn, "__name__", None) or repr(fn)
