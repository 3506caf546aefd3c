"""Model options: their names, how mappings of them combine, and what each may hold.

Every option that means the same on all servers has a name of its own here, in the shape
``@@@name@@@``, which no server uses. A backend turns the names that its server uses into
these (`normalise`), merges the defaults with those of a call, and turns them back when it
writes a request. What each server calls an option is known to the wire formats, not here.

Nothing in this module changes a mapping that it was given.
"""

import difflib
import logging
import math
import operator
import reprlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, SupportsFloat

import attrs

from .retries import as_retry_policy
from .timeouts import as_timeouts

DEFAULT_STREAM_TIMEOUT: Final = 120.0
"""The longest silence of a server, in seconds, where `ModelOption.STREAM_TIMEOUT` is not given."""

# What the servers know between them; each knows some and refuses the rest itself.
THINKING_LEVELS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

_MARK: Final = "@@@"
_logger: Final = logging.getLogger("motet")


class ModelOption:
    """The names of the options that mean the same with every backend.

    A name that is not listed here is passed on to the server as it is.

    Attributes:
        TOOLS: tools the model may call: a list, or a mapping from name to tool. They are
            offered only by a call that asks for tool calls and sets no format.
        TOOL_CHOICE: ``"none"``, ``"auto"`` or the name of the tool to call.
        MAX_NEW_TOKENS: the most tokens a reply may have.
        SYSTEM_PROMPT: text sent ahead of the conversation, and no part of it. ``""``
            suppresses a default one, ``None`` means that none is given.
        TEMPERATURE: how freely the model chooses; 0 is the least.
        CONTEXT_WINDOW: how many tokens the model can see at once.
        THINKING: whether the model thinks before it answers, or a level such as ``"low"``.
        SEED: where the server's random numbers start.
        STREAM: whether the caller wants to read the reply while it comes.
        STREAM_TIMEOUT: the longest silence of the server, in seconds, before the first
            token as well as between two; ``None`` sets no limit. Not given, it is
            `DEFAULT_STREAM_TIMEOUT`.
        TIMEOUTS: `Timeouts`, which put limits of their own to parts of that time.
        RETRIES: whether and when a request that failed is sent again: a `RetryPolicy`, or
            how many attempts may follow the first. ``0`` or ``None`` for none; not given,
            the backend's own setting holds.
        STOP_SEQUENCES: texts that end the reply; a list, or one text.
        LOGITS: known, and supported by no backend.
        RAW_LOGITS: known, and supported by no backend.
    """

    TOOLS: Final = "@@@tools@@@"
    TOOL_CHOICE: Final = "tool_choice"
    MAX_NEW_TOKENS: Final = "@@@max_new_tokens@@@"
    SYSTEM_PROMPT: Final = "@@@system_prompt@@@"
    TEMPERATURE: Final = "temperature"
    CONTEXT_WINDOW: Final = "@@@context_window@@@"
    THINKING: Final = "@@@thinking@@@"
    SEED: Final = "@@@seed@@@"
    STREAM: Final = "@@@stream@@@"
    STREAM_TIMEOUT: Final = "@@@stream_timeout@@@"
    TIMEOUTS: Final = "@@@timeouts@@@"
    RETRIES: Final = "@@@retries@@@"
    STOP_SEQUENCES: Final = "@@@stop_sequences@@@"
    LOGITS: Final = "@@@logits@@@"
    RAW_LOGITS: Final = "@@@raw_logits@@@"

    @staticmethod
    def replace_keys(options: Mapping[str, Any], from_to: Mapping[str, str]) -> dict[str, Any]:
        """Return a copy of *options* with its keys renamed, and log what gets lost.

        An old key is gone from the copy in any case. Where the new key has a value
        already, that value stays, and a warning on logger ``motet`` names the pair; a new
        key that holds ``None`` counts as absent.

        Args:
            options: the options to copy.
            from_to: from the old key to the new one.
        """
        renamed = dict(options)
        lost: list[str] = []
        for old, new in from_to.items():
            if old not in renamed or old == new:
                continue
            value = renamed.pop(old)
            if renamed.get(new) is None:
                renamed[new] = value
            elif value is not None:
                lost.append(f"{old!r} (the value of {new!r} is used)")
        if lost:
            _logger.warning("model options given twice, ignored: %s", ", ".join(lost))
        return renamed

    @staticmethod
    def merge_model_options(
        persistent: Mapping[str, Any], overwrite: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """Return *persistent* with the values of *overwrite* put over it, key by key.

        Args:
            persistent: what always holds, such as the defaults of a backend.
            overwrite: what holds for one call; ``None`` for nothing.
        """
        return {**persistent, **(overwrite or {})}

    @staticmethod
    def remove_special_keys(options: Mapping[str, Any]) -> dict[str, Any]:
        """Return a copy of *options* without the keys that no server knows (``@@@...``)."""
        return {key: value for key, value in options.items() if not key.startswith(_MARK)}


def normalise(options: Mapping[str, Any] | None, aliases: Mapping[str, str]) -> dict[str, Any]:
    """Return *options* checked and with every option under its name in `ModelOption`.

    Doing it again changes nothing.

    Args:
        options: as the caller wrote them; ``None`` for none at all.
        aliases: from a server's own name of an option to the one in `ModelOption`.

    Raises:
        TypeError: as `validate_options`.
        ValueError: as `validate_options`.
    """
    given = _mapping(options)
    written = {new: old for old, new in aliases.items() if old in given and given.get(new) is None}
    return _checked(ModelOption.replace_keys(given, aliases), written)


def validate_options(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a copy of *options* in which every known option has its exact type.

    What can only mean one thing is accepted: a whole float for an int, one text for a
    list of texts, ``None`` for an option that is not set. A system prompt of ``None`` is
    left out, so that a default one stays in force when the copy is merged. Options that
    this library does not know are kept unseen: the server may know them.

    Args:
        options: with the names in `ModelOption`; ``None`` for none at all.

    Raises:
        TypeError: *options* is not a mapping, a key is not text, or an option holds
            something of the wrong type.
        ValueError: a key in the shape ``@@@...`` is not in `ModelOption`, or an option
            holds something of the right type that makes no sense.
    """
    return _checked(_mapping(options), {})


@attrs.frozen
class _Rule:
    """What one option may hold."""

    constant: str  # its name in ModelOption
    check: Callable[[Any], Any]  # the exact value, or TypeError or ValueError
    wanted: str
    advice: str


def _mapping(options: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise TypeError(
            "model options must be a mapping such as {ModelOption.SEED: 7}, "
            f"not {_described(options)}"
        )
    return options


def _checked(options: Mapping[str, Any], written: Mapping[str, str]) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for key, value in options.items():
        if not isinstance(key, str):
            raise TypeError(
                f"the key of a model option must be a str, not {_described(key)}; "
                "use the names in ModelOption or the server's own"
            )
        rule = _RULES.get(key)
        if rule is None:
            if key.startswith(_MARK):
                raise ValueError(_unknown(key))
            checked[key] = value
        elif value is not None:
            checked[key] = _exact(rule, value, written.get(key))
        elif key != ModelOption.SYSTEM_PROMPT:
            checked[key] = None
    return checked


def _exact(rule: _Rule, value: Any, written: str | None) -> Any:
    try:
        return rule.check(value)
    except (TypeError, ValueError) as exc:
        kind: type[Exception] = TypeError if isinstance(exc, TypeError) else ValueError
    name = f"model option {rule.constant}" + (f" (given as {written!r})" if written else "")
    raise kind(f"{name} must be {rule.wanted}, not {_described(value)}; {rule.advice}")


def _unknown(key: str) -> str:
    stem = key.strip("@").lower()
    names = {name.strip("@"): name for name in _RULES}
    # "stop" is nearer to "tools" than to "stop_sequences", and means the latter.
    near = [name for name in names if stem and name.startswith(stem)]
    near = near or difflib.get_close_matches(stem, names, n=1)
    if near:
        name = names[near[0]]
        advice = f"did you mean ModelOption.{_RULES[name].constant} ({name!r})?"
    else:
        advice = "known are " + ", ".join(
            f"ModelOption.{rule.constant}" for rule in _RULES.values()
        )
    return f"no model option is called {key!r}; {advice}"


def _described(value: object) -> str:
    return f"{reprlib.repr(value)} ({type(value).__name__})"


def _anything(value: Any) -> Any:
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _integer(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    if isinstance(value, float):
        if not value.is_integer():
            raise ValueError
        return int(value)
    return operator.index(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, SupportsFloat):
        raise TypeError
    # A subclass of float, as numpy has them, is not written by the JSON encoder.
    number = value if type(value) in (int, float) else float(value)
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError
    return number  # type: ignore[return-value]  # type(...) in (...) does not narrow


def _seconds(value: Any) -> float | None:
    if isinstance(value, float) and value == math.inf:
        return None
    number = _number(value)
    if number <= 0:
        raise ValueError
    return number


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if not isinstance(value, Sequence) or isinstance(value, bytes | bytearray | memoryview):
        raise TypeError
    return [_text(item) for item in value]


def _thinking(value: Any) -> bool | str:
    if isinstance(value, bool):
        return value
    if _text(value) not in THINKING_LEVELS:
        raise ValueError
    return _text(value)


def _tools(value: Any) -> Any:
    if not isinstance(value, Mapping | Sequence) or isinstance(value, str | bytes | bytearray):
        raise TypeError
    return value


def _tool_choice(value: Any) -> Any:
    if not isinstance(value, str | Mapping):
        raise TypeError
    return value


_INTEGER: Final = ("an int", "leave it out for the server's default")
_RULES: Final[Mapping[str, _Rule]] = {
    ModelOption.TOOLS: _Rule(
        "TOOLS", _tools, "a list of tools or a mapping from name to tool", "wrap one tool in a list"
    ),
    ModelOption.TOOL_CHOICE: _Rule(
        "TOOL_CHOICE", _tool_choice, '"none", "auto" or the name of a tool', "leave it out for auto"
    ),
    ModelOption.MAX_NEW_TOKENS: _Rule("MAX_NEW_TOKENS", _integer, *_INTEGER),
    ModelOption.SYSTEM_PROMPT: _Rule(
        "SYSTEM_PROMPT", _text, "a str or None", 'use "" to send no system prompt'
    ),
    ModelOption.TEMPERATURE: _Rule(
        "TEMPERATURE", _number, "a finite number", "leave it out for the server's default"
    ),
    ModelOption.CONTEXT_WINDOW: _Rule("CONTEXT_WINDOW", _integer, *_INTEGER),
    ModelOption.THINKING: _Rule(
        "THINKING",
        _thinking,
        "True, False or a level",
        "the levels are " + ", ".join(map(repr, THINKING_LEVELS)),
    ),
    ModelOption.SEED: _Rule("SEED", _integer, "an int", "leave it out for a new seed each time"),
    ModelOption.STREAM: _Rule(
        "STREAM", _flag, "True or False", "True is for reading the reply while it comes"
    ),
    ModelOption.STREAM_TIMEOUT: _Rule(
        "STREAM_TIMEOUT",
        _seconds,
        "a positive number of seconds or None",
        "None sets no limit",
    ),
    ModelOption.TIMEOUTS: _Rule(
        "TIMEOUTS", as_timeouts, "Timeouts or None", "write Timeouts(first_token=30), for example"
    ),
    ModelOption.RETRIES: _Rule(
        "RETRIES",
        as_retry_policy,
        "a RetryPolicy, a whole number from 0 or None",
        "0 and None are for no retries",
    ),
    ModelOption.STOP_SEQUENCES: _Rule(
        "STOP_SEQUENCES", _texts, "a list of str", "wrap every stop text in quotes"
    ),
    ModelOption.LOGITS: _Rule("LOGITS", _anything, "anything", ""),
    ModelOption.RAW_LOGITS: _Rule("RAW_LOGITS", _anything, "anything", ""),
}
