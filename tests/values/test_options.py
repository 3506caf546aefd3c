"""Model options: names, precedence, and what each may hold."""

import collections
import decimal
import fractions
import logging
import math
import types
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motet import RetryPolicy, Timeouts
from motet._values.options import (
    DEFAULT_STREAM_TIMEOUT,
    THINKING_LEVELS,
    ModelOption,
    normalise,
    validate_options,
)

ALIASES = {"seed": ModelOption.SEED, "system": ModelOption.SYSTEM_PROMPT}


@pytest.mark.parametrize(
    ("constant", "name"),
    [
        ("TOOLS", "@@@tools@@@"),
        ("TOOL_CHOICE", "tool_choice"),
        ("MAX_NEW_TOKENS", "@@@max_new_tokens@@@"),
        ("SYSTEM_PROMPT", "@@@system_prompt@@@"),
        ("TEMPERATURE", "temperature"),
        ("CONTEXT_WINDOW", "@@@context_window@@@"),
        ("THINKING", "@@@thinking@@@"),
        ("SEED", "@@@seed@@@"),
        ("STREAM", "@@@stream@@@"),
        ("STREAM_TIMEOUT", "@@@stream_timeout@@@"),
        ("TIMEOUTS", "@@@timeouts@@@"),
        ("RETRIES", "@@@retries@@@"),
        ("STOP_SEQUENCES", "@@@stop_sequences@@@"),
        ("LOGITS", "@@@logits@@@"),
        ("RAW_LOGITS", "@@@raw_logits@@@"),
    ],
)
def test_the_name_of_each_option(constant: str, name: str) -> None:
    assert getattr(ModelOption, constant) == name


def test_the_default_silence_is_two_minutes() -> None:
    assert DEFAULT_STREAM_TIMEOUT == 120.0


# ---- Renaming and merging ----


@pytest.mark.parametrize(
    ("options", "from_to", "renamed"),
    [
        ({}, {"a": "b"}, {}),
        ({"a": 1}, {}, {"a": 1}),
        ({"a": 1, "c": 2}, {"a": "b"}, {"b": 1, "c": 2}),
        ({"a": 1, "b": None}, {"a": "b"}, {"b": 1}),
        ({"a": None}, {"a": "b"}, {"b": None}),
        ({"a": None, "b": 2}, {"a": "b"}, {"b": 2}),
        ({"a": 0, "b": None}, {"a": "b"}, {"b": 0}),
        ({"a": 1}, {"a": "a"}, {"a": 1}),
    ],
)
def test_keys_are_replaced(
    options: dict[str, Any],
    from_to: dict[str, str],
    renamed: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = dict(options)
    assert ModelOption.replace_keys(options, from_to) == renamed
    assert options == before
    assert not caplog.records


@pytest.mark.parametrize("kept", [2, 0, "", False, []])
def test_a_value_under_the_new_key_stays_and_a_warning_names_both_keys(
    kept: object, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"a": 1, "b": kept, "c": 3, "d": 4}
    assert ModelOption.replace_keys(options, {"a": "b", "c": "d"}) == {"b": kept, "d": 4}
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("motet", logging.WARNING)
    assert all(repr(key) in record.getMessage() for key in options)


def test_two_old_keys_for_one_new_key_are_a_conflict(caplog: pytest.LogCaptureFixture) -> None:
    assert ModelOption.replace_keys({"a": 1, "b": 2}, {"a": "x", "b": "x"}) == {"x": 1}
    assert "'b'" in caplog.text


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from("abcd"), st.none() | st.integers()))
def test_replacing_keys_never_keeps_an_old_key_nor_loses_a_new_one(options: dict[str, Any]) -> None:
    before = dict(options)
    renamed = ModelOption.replace_keys(options, {"a": "c", "b": "d"})
    assert options == before
    assert not {"a", "b"} & renamed.keys()
    for old, new in (("a", "c"), ("b", "d")):
        expected = options.get(new) if options.get(new) is not None else options.get(old)
        assert renamed.get(new) == expected


@pytest.mark.parametrize(
    ("persistent", "overwrite", "merged"),
    [
        ({}, None, {}),
        ({"a": 1}, None, {"a": 1}),
        ({"a": 1, "b": 2}, {"b": 3, "c": 4}, {"a": 1, "b": 3, "c": 4}),
        ({"a": 1}, {"a": None}, {"a": None}),
    ],
)
def test_the_call_wins_key_by_key(
    persistent: dict[str, Any], overwrite: dict[str, Any] | None, merged: dict[str, Any]
) -> None:
    before = (dict(persistent), overwrite and dict(overwrite))
    result = ModelOption.merge_model_options(persistent, overwrite)
    assert result == merged
    assert result is not persistent
    assert (persistent, overwrite) == before


def test_special_keys_are_removed_from_a_copy() -> None:
    options = {ModelOption.SEED: 1, "@@@odd": 2, "temperature": 3, "a@@@": 4}
    assert ModelOption.remove_special_keys(options) == {"temperature": 3, "a@@@": 4}
    assert len(options) == 4


def test_options_may_be_any_mapping() -> None:
    options = types.MappingProxyType({"seed": 1})
    assert normalise(options, ALIASES) == {ModelOption.SEED: 1}
    assert validate_options(collections.ChainMap({"a": 1}, {"b": 2})) == {"a": 1, "b": 2}


# ---- Normalising ----


@pytest.mark.parametrize(
    ("options", "normal"),
    [
        (None, {}),
        ({}, {}),
        ({"seed": 1, "top_k": 2}, {ModelOption.SEED: 1, "top_k": 2}),
        ({ModelOption.SEED: 1}, {ModelOption.SEED: 1}),
        ({"seed": 1, ModelOption.SEED: None}, {ModelOption.SEED: 1}),
        ({"seed": None}, {ModelOption.SEED: None}),
        ({"system": None}, {}),
        ({"system": ""}, {ModelOption.SYSTEM_PROMPT: ""}),
    ],
)
def test_options_are_normalised(options: dict[str, Any] | None, normal: dict[str, Any]) -> None:
    before = options and dict(options)
    assert normalise(options, ALIASES) == normal
    assert normalise(normal, ALIASES) == normal
    assert options == before


def test_both_spellings_in_one_mapping_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    assert normalise({"seed": 1, ModelOption.SEED: 2}, ALIASES) == {ModelOption.SEED: 2}
    assert "'seed'" in caplog.text


@pytest.mark.parametrize("default", ["seed", ModelOption.SEED])
@pytest.mark.parametrize("call", ["seed", ModelOption.SEED])
def test_a_call_wins_whichever_spelling_each_used(default: str, call: str) -> None:
    merged = ModelOption.merge_model_options(
        normalise({default: 1}, ALIASES), normalise({call: 2}, ALIASES)
    )
    assert merged == {ModelOption.SEED: 2}


@pytest.mark.parametrize(("prompt", "in_force"), [("call", "call"), ("", ""), (None, "default")])
def test_a_system_prompt_of_none_leaves_the_default_in_force(
    prompt: str | None, in_force: str
) -> None:
    merged = ModelOption.merge_model_options(
        normalise({"system": "default"}, ALIASES), normalise({"system": prompt}, ALIASES)
    )
    assert merged == {ModelOption.SYSTEM_PROMPT: in_force}


# ---- What each option may hold ----

ACCEPTED: list[tuple[str, Any, Any]] = [
    (ModelOption.TOOLS, [], []),
    (ModelOption.TOOLS, (1,), (1,)),
    (ModelOption.TOOLS, {"a": 1}, {"a": 1}),
    (ModelOption.TOOL_CHOICE, "auto", "auto"),
    (ModelOption.TOOL_CHOICE, {"type": "function"}, {"type": "function"}),
    (ModelOption.MAX_NEW_TOKENS, 5, 5),
    (ModelOption.MAX_NEW_TOKENS, 5.0, 5),
    (ModelOption.MAX_NEW_TOKENS, -1, -1),
    (ModelOption.SYSTEM_PROMPT, "x", "x"),
    (ModelOption.SYSTEM_PROMPT, "", ""),
    (ModelOption.TEMPERATURE, 0, 0),
    (ModelOption.TEMPERATURE, 0.5, 0.5),
    (ModelOption.TEMPERATURE, fractions.Fraction(1, 2), 0.5),
    (ModelOption.TEMPERATURE, decimal.Decimal("0.5"), 0.5),
    (ModelOption.CONTEXT_WINDOW, 4096, 4096),
    *((ModelOption.THINKING, level, level) for level in (True, False, *THINKING_LEVELS)),
    (ModelOption.SEED, 0, 0),
    (ModelOption.SEED, -3, -3),
    (ModelOption.SEED, 2**40, 2**40),
    (ModelOption.STREAM, True, True),
    (ModelOption.STREAM, False, False),
    (ModelOption.STREAM_TIMEOUT, 5, 5),
    (ModelOption.STREAM_TIMEOUT, 0.01, 0.01),
    (ModelOption.STREAM_TIMEOUT, math.inf, None),
    (ModelOption.STREAM_TIMEOUT, None, None),
    (ModelOption.TIMEOUTS, Timeouts(gap=3), Timeouts(gap=3)),
    (ModelOption.RETRIES, 3, RetryPolicy(retries=3)),
    (ModelOption.RETRIES, RetryPolicy(jitter=0), RetryPolicy(jitter=0)),
    (ModelOption.STOP_SEQUENCES, ["a", "b"], ["a", "b"]),
    (ModelOption.STOP_SEQUENCES, ("a",), ["a"]),
    (ModelOption.STOP_SEQUENCES, "ab", ["ab"]),
    (ModelOption.STOP_SEQUENCES, [], []),
    (ModelOption.LOGITS, object, object),
    (ModelOption.RAW_LOGITS, 1, 1),
    ("what_is_new", object, object),
    ("max_new_tokens", "as it is", "as it is"),
]


@pytest.mark.parametrize(("key", "value", "exact"), ACCEPTED)
def test_what_can_mean_one_thing_only_is_accepted(key: str, value: object, exact: object) -> None:
    checked = validate_options({key: value})
    assert checked == {key: exact}
    assert type(checked[key]) is type(exact)
    assert validate_options(checked) == checked


REFUSED: list[tuple[str, Any, type[Exception]]] = [
    (ModelOption.TOOLS, "lookup", TypeError),
    (ModelOption.TOOLS, 5, TypeError),
    (ModelOption.TOOL_CHOICE, True, TypeError),
    (ModelOption.MAX_NEW_TOKENS, "5", TypeError),
    (ModelOption.MAX_NEW_TOKENS, True, TypeError),
    (ModelOption.MAX_NEW_TOKENS, 5.5, ValueError),
    (ModelOption.MAX_NEW_TOKENS, math.inf, ValueError),
    (ModelOption.MAX_NEW_TOKENS, math.nan, ValueError),
    (ModelOption.SYSTEM_PROMPT, 5, TypeError),
    (ModelOption.SYSTEM_PROMPT, b"x", TypeError),
    (ModelOption.TEMPERATURE, "0.5", TypeError),
    (ModelOption.TEMPERATURE, True, TypeError),
    (ModelOption.TEMPERATURE, [0.5], TypeError),
    (ModelOption.TEMPERATURE, 1j, TypeError),
    (ModelOption.TEMPERATURE, math.nan, ValueError),
    (ModelOption.TEMPERATURE, math.inf, ValueError),
    (ModelOption.CONTEXT_WINDOW, "4k", TypeError),
    (ModelOption.THINKING, 1, TypeError),
    (ModelOption.THINKING, "deeply", ValueError),
    (ModelOption.THINKING, "true", ValueError),
    (ModelOption.SEED, "x", TypeError),
    (ModelOption.SEED, False, TypeError),
    (ModelOption.SEED, 1.5, ValueError),
    (ModelOption.STREAM, 1, TypeError),
    (ModelOption.STREAM, "yes", TypeError),
    (ModelOption.STREAM_TIMEOUT, 0, ValueError),
    (ModelOption.STREAM_TIMEOUT, -1.0, ValueError),
    (ModelOption.STREAM_TIMEOUT, -math.inf, ValueError),
    (ModelOption.STREAM_TIMEOUT, math.nan, ValueError),
    (ModelOption.STREAM_TIMEOUT, "5", TypeError),
    (ModelOption.STREAM_TIMEOUT, True, TypeError),
    (ModelOption.TIMEOUTS, 5, TypeError),
    (ModelOption.RETRIES, -1, ValueError),
    (ModelOption.RETRIES, "3", TypeError),
    (ModelOption.STOP_SEQUENCES, 5, TypeError),
    (ModelOption.STOP_SEQUENCES, [5], TypeError),
    (ModelOption.STOP_SEQUENCES, ["a", None], TypeError),
    (ModelOption.STOP_SEQUENCES, b"ab", TypeError),
    (ModelOption.STOP_SEQUENCES, {"a": 1}, TypeError),
]


@pytest.mark.parametrize(("key", "value", "kind"), REFUSED)
def test_a_wrong_value_is_refused_by_the_name_of_its_option(
    key: str, value: object, kind: type[Exception]
) -> None:
    constant = next(name for name, text in vars(ModelOption).items() if text == key)
    with pytest.raises(kind, match=f"ModelOption|{constant} must be ") as caught:
        validate_options({"first": 1, key: value})
    assert type(caught.value) is kind
    assert caught.value.__cause__ is None
    assert f"({type(value).__name__}); " in str(caught.value)


def test_every_option_has_a_row() -> None:
    names = {text for name, text in vars(ModelOption).items() if name.isupper()}
    assert names <= {key for key, _, _ in ACCEPTED}
    free = {ModelOption.LOGITS, ModelOption.RAW_LOGITS}
    assert names - free == {key for key, _, _ in REFUSED}


@pytest.mark.parametrize("key", sorted({key for key, _, _ in ACCEPTED}))
def test_none_means_not_set(key: str) -> None:
    left_out = key == ModelOption.SYSTEM_PROMPT
    assert validate_options({key: None}) == ({} if left_out else {key: None})


def test_a_wrong_value_is_named_as_the_caller_wrote_it() -> None:
    with pytest.raises(
        TypeError, match=r"SEED \(given as 'seed'\) must be an int, not 'x' \(str\)"
    ):
        normalise({"seed": "x"}, ALIASES)
    with pytest.raises(TypeError, match="SEED must be"):
        normalise({"seed": 1, ModelOption.SEED: "x"}, ALIASES)


def test_a_long_value_is_shortened_in_the_message() -> None:
    with pytest.raises(TypeError) as caught:
        validate_options({ModelOption.SEED: "x" * 10_000})
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("options", [[("a", 1)], "seed", 5, {"a"}, object()])
@pytest.mark.parametrize("check", [validate_options, lambda options: normalise(options, {})])
def test_what_is_no_mapping_is_refused(options: Any, check: Any) -> None:
    with pytest.raises(TypeError, match="must be a mapping such as"):
        check(options)


@pytest.mark.parametrize("key", [5, None, b"seed", ("a",)])
def test_a_key_that_is_no_text_is_refused(key: Any) -> None:
    with pytest.raises(TypeError, match="must be a str"):
        normalise({key: 1}, ALIASES)


@pytest.mark.parametrize(
    ("key", "suggested"),
    [
        ("@@@sed@@@", "SEED"),
        ("@@@SEED@@@", "SEED"),
        ("@@@max_tokens@@@", "MAX_NEW_TOKENS"),
        ("@@@stream_time_out@@@", "STREAM_TIMEOUT"),
        ("@@@temperature@@@", "TEMPERATURE"),
        ("@@@system@@@", "SYSTEM_PROMPT"),
        ("@@@stop@@@", "STOP_SEQUENCES"),
        ("@@@tool@@@", "TOOLS"),
    ],
)
def test_an_unknown_special_key_is_refused_with_the_nearest(key: str, suggested: str) -> None:
    with pytest.raises(ValueError, match=r"ModelOption\.") as caught:
        validate_options({key: 1})
    assert repr(key) in str(caught.value)
    assert f"ModelOption.{suggested}" in str(caught.value)


def test_an_unknown_special_key_that_is_near_nothing_is_refused_with_all() -> None:
    with pytest.raises(ValueError, match=r"known are ModelOption\.TOOLS, .*RAW_LOGITS$"):
        validate_options({"@@@qqqqqqqqqqqqqqqq": 1})


def test_the_checked_copy_is_not_what_was_given() -> None:
    stops = ["a"]
    options = {ModelOption.STOP_SEQUENCES: stops}
    checked = validate_options(options)
    checked[ModelOption.STOP_SEQUENCES].append("b")
    assert options == {ModelOption.STOP_SEQUENCES: ["a"]}
