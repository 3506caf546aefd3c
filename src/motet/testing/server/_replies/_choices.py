"""
One of several words, and yes or no.

This module knows some families of words (moods, degrees), and looks for any other word
in the text itself. A requirement is checked where that needs no understanding: lengths,
letters, words that must occur. Any other one is taken to be met.
"""

import json
import random
import re
from collections.abc import Callable, Sequence
from typing import Final

from motet.testing.server._replies._words import mood, sentences, urgency, words

_SENTIMENTS: Final = frozenset(["positive", "negative", "mixed", "neutral"])
_DEGREES: Final = {
    **dict.fromkeys(["none", "no"], 0.0),
    **dict.fromkeys(["low", "minor", "small", "trivial"], 0.2),
    **dict.fromkeys(["medium", "moderate", "normal", "middle"], 0.5),
    **dict.fromkeys(["high", "major", "urgent", "big"], 0.8),
    **dict.fromkeys(["critical", "severe", "blocker", "immediate"], 1.0),
}
_BOUND: Final = re.compile(
    r"(?P<how>at most|no more than|fewer than|less than|under|below|up to|maximum of|within"
    r"|at least|no fewer than|no less than|more than|over|exactly)\s+"
    r"(?P<count>\d+|one|two|three|four|five|ten)\s+(?P<unit>word|sentence|character|line)",
    re.IGNORECASE,
)
_ONE_SENTENCE: Final = re.compile(r"\b(?:a|one|single)[ -](?:single )?sentence\b", re.IGNORECASE)
_NAMED: Final = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "ten": 10}
_QUOTED: Final = re.compile(r"[\"“'`]([^\"”'`]+)[\"”'`]")
_MEASURES: Final[dict[str, Callable[[str], int]]] = {
    "word": lambda text: len(text.split()),
    "sentence": lambda text: len(sentences(text)),
    "character": len,
    "line": lambda text: len(text.splitlines()),
}


def choose(choices: Sequence[str], text: str, chance: random.Random) -> str:
    """Return the choice that the text speaks for, or any if it speaks for none."""
    by_name = {choice.lower(): choice for choice in choices}
    if _SENTIMENTS.intersection(by_name):
        found = mood(text, ignore=by_name).sentiment
        for name in (found, *{"mixed": ["neutral"], "neutral": ["mixed"]}.get(found, [])):
            if name in by_name:
                return by_name[name]
    if all(name in _DEGREES for name in by_name):
        wanted = urgency(text)
        return min(choices, key=lambda choice: abs(_DEGREES[choice.lower()] - wanted))
    if set(by_name) <= {"yes", "no", "true", "false"}:
        good = mood(text).balance >= 0
        return next((c for n, c in by_name.items() if (n in ("yes", "true")) == good), choices[0])
    counts = [_mentions(choice, text) for choice in choices]
    if max(counts):
        return choices[counts.index(max(counts))]
    return chance.choice(list(choices))


def _mentions(choice: str, text: str) -> int:
    stems = [word[:6] if len(word) > 6 else word for word in words(choice) if len(word) > 2]
    return sum(word.startswith(stem) for word in words(text) for stem in stems)


def judge(demand: str, text: str) -> bool:
    """Whether a text meets a requirement, as far as can be seen without understanding."""
    low = demand.lower()
    checks = [_within(found, text) for found in _BOUND.finditer(demand)]
    if not checks and _ONE_SENTENCE.search(demand):
        checks.append(len(sentences(text)) == 1)
    if re.search(r"lower[- ]?case", low):
        checks.append(text == text.lower())
    if re.search(r"upper[- ]?case|capital letters", low):
        checks.append(text == text.upper())
    if "json" in low:
        checks.append(_is_json(text))
    if re.search(r"\b(contain|include|mention|use|start|end|say)", low):
        unwanted = re.search(r"\b(not|never|avoid|without|no)\b|n't", low) is not None
        checks += [(word.lower() in text.lower()) != unwanted for word in _QUOTED.findall(demand)]
    if not checks:
        for name in ("positive", "negative"):
            if re.search(rf"\b{name}\b", low):
                checks.append(mood(text).sentiment == name)
        if "urgent" in low:
            checks.append(urgency(text) > 0.5)
    return bool(text.strip()) and all(checks)


def _within(found: re.Match[str], text: str) -> bool:
    count = _NAMED.get(found["count"].lower()) or int(found["count"])
    measured = _MEASURES[found["unit"].lower()](text)
    match found["how"].lower():
        case "fewer than" | "less than" | "under" | "below":
            return measured < count
        case "at least" | "no fewer than" | "no less than":
            return measured >= count
        case "more than" | "over":
            return measured > count
        case "exactly":
            return measured == count
        case _:
            return measured <= count


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
