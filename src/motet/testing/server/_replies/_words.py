"""
What can be found in a text without understanding it: sentences, clauses, moods, numbers.

This module knows a few hundred words, mostly English. A mood is counted word by word; a
negation shortly before turns a word over.
"""

import math
import re
from collections.abc import Iterable
from typing import Final

import attrs

_SENTENCE_END: Final = re.compile(r"(?<=[.!?…])[\"”»')\]]*\s+|(?<=[。！？])|\n+")
_TURN: Final = re.compile(
    r",?\s+(?:but|however|although|though|whereas|yet|aber|pero|mais)\s+|;\s+",
    re.IGNORECASE,
)
_BARE: Final = re.compile(r"""^[^\w"“«'\[{(]+|^(?:but|and)\s+""", re.IGNORECASE)
_WORD: Final = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_NUMBER: Final = re.compile(r"(?<![\d.,])-?\d+(?:[.,]\d{3})*(?:[.,]\d+)?(?!\d|[.,]\d)")

# Beginnings of words, so that "confusing" and "confused" need one entry.
_GOOD: Final = (
    *("accurate", "advantage", "amaz", "awesome", "beautiful", "benefi", "best", "better"),
    *("brilliant", "calm", "cheerful", "clean", "clear", "comfortab", "competent", "convenien"),
    *("correct", "courteous", "delicious", "delight", "eas", "efficient", "elegant", "enjoy"),
    *("excellent", "fair", "fantastic", "fast", "favourite", "favorite", "fine"),
    *("flawless", "free", "friendly", "generous", "glad", "good", "gorgeous", "grateful"),
    *("great", "happ", "help", "impress", "intact", "intuitive", "joy", "kind", "love"),
    *("lovely", "magnificent", "nice", "perfect", "pleas", "polite", "pretty"),
    *("promptly", "quick", "quiet", "recommend", "reliab", "satisf", "simple", "smooth", "solid"),
    *("solved", "special", "strong", "superb", "terrific", "thank", "useful", "value", "warm"),
    *("well", "wonderful", "work", "worth", "hervorragend", "schön", "ewig", "precioso"),
    *("bueno", "excelente", "merveilleu", "excellent", "parfait"),
)
_BAD: Final = (
    *("angry", "annoy", "apolog", "awful", "bad", "block", "bore", "boring", "break", "broke"),
    *("bug", "burst", "cheap", "complain", "confus", "crash", "damag", "defect", "delay"),
    *("difficult", "dirty", "disappoint", "drain", "embarrass", "error", "expensive", "fail"),
    *("fault", "flims", "freez", "froze", "frustrat", "hard", "hate", "headache", "horribl"),
    *("impossible", "lag", "late", "leak", "leaving", "lost", "lose", "mess", "miss", "nightmare"),
    *("nois", "overcharg", "pain", "poor", "problem", "rattl", "refus", "rude", "sad", "scratch"),
    *("slow", "smell", "snail", "stick", "stuck", "terribl", "thin", "tiny", "ugly", "unhappy"),
    *("unreliab", "unusab", "useless", "wait", "waste", "worse", "worst", "wrong", "twice"),
    *("langsam", "schade", "verloren", "nichts", "drücken", "rompió", "nadie", "attends"),
    *("raccroche", "meh", "mind"),
)
# What begins like an entry and means something else.
_NEITHER: Final = frozenset(
    [
        "along",
        "blocks",
        "easter",
        "fastened",
        "finely",
        "fixture",
        "freezer",
        "funeral",
        "hardware",
        "helpless",
        "kinds",
        "latency",
        "later",
        "latest",
        "likely",
        "longer",
        "longest",
        "message",
        "messages",
        "mission",
        "padding",
        "painting",
        "please",
        "sticker",
        "thing",
        "things",
        "think",
        "thinking",
        "thinks",
        "third",
        "workday",
        "workshop",
    ]
)
# Too short, or too common a beginning, to be one.
_WHOLE: Final = {"fun": 1, "super": 1, "positive": 1, "negative": -1, "long": -1}
# Who likes something, and does not merely look like it.
_LIKERS: Final = frozenset(
    ["i", "we", "they", "really", "also", "still", "not", "don't", "teachers", "people"]
)
_GOOD_SIGNS: Final = re.compile("[😀😃😄😁😊😍🥰👍🎉❤💯]|満足|丁寧")
_BAD_SIGNS: Final = re.compile("[😠😡🤬😢😭👎🐌💔😞]|残念")
_NEGATIONS: Final = frozenset(
    [
        "not",
        "no",
        "never",
        "nobody",
        "nothing",
        "none",
        "without",
        "hardly",
        "cannot",
        "nor",
        "kein",
        "keine",
        "nicht",
        "nie",
        "sin",
        "sans",
        "pas",
        "jamais",
    ]
)
# What speaks ill even if there is nothing to turn over: "nobody answers".
_MISSING: Final = frozenset(
    ["no", "never", "nobody", "cannot", "can't", "won't", "doesn't", "kein", "nicht"]
)
_REACH: Final = 3  # words that a negation turns over
_URGENT: Final = re.compile(
    r"\b(urgent\w*|immediate\w*|asap|right now|today|at once|emergenc\w*|must|block\w*|critical"
    r"|deadline|due|this week|lawyer|legal|bank|security|safety|danger\w*|medical|leaving|cancel)\b",
    re.IGNORECASE,
)
_CALM: Final = re.compile(r"\b(no hurry|no rush|whenever|some day|minor|question)\b", re.IGNORECASE)


@attrs.frozen
class Mood:
    """How many words of a text speak well or ill of something."""

    good: int
    bad: int

    @property
    def sentiment(self) -> str:
        """One word for it."""
        match bool(self.good), bool(self.bad):
            case True, True:
                return "mixed"
            case True, False:
                return "positive"
            case False, True:
                return "negative"
            case _:
                return "neutral"

    @property
    def balance(self) -> float:
        """From -1, all bad, to 1, all good; 0 if there is nothing to go by."""
        return (self.good - self.bad) / ((self.good + self.bad) or 1)


def words(text: str) -> list[str]:
    """Return the words of a text, in lower case."""
    return [word.lower().replace("’", "'") for word in _WORD.findall(text)]


def mood(text: str, ignore: Iterable[str] = ()) -> Mood:
    """Count the good and the bad words of a text, but for those to ignore."""
    ignored = {word.lower() for word in ignore}
    good = len(_GOOD_SIGNS.findall(text))
    bad = len(_BAD_SIGNS.findall(text))
    reach, missing = 0, False  # of the last negation
    before = ""
    for word in words(text):
        if word in _NEGATIONS or word.endswith("n't"):
            bad += missing
            reach, missing = _REACH, word in _MISSING
        else:
            value = 0 if word in ignored else _value(word, before)
            if reach and value:
                value, reach, missing = -value, 0, False
            good += value > 0
            bad += value < 0
            reach = max(0, reach - 1)
        before = word
    return Mood(good, bad + missing)


def _value(word: str, before: str) -> int:
    if word in _WHOLE:
        return _WHOLE[word]
    if word in ("like", "likes"):
        return int(before in _LIKERS)
    if word in _NEITHER:
        return 0
    return -1 if word.startswith(_BAD) else int(word.startswith(_GOOD))


def urgency(text: str) -> float:
    """From 0, none, to 1."""
    if _CALM.search(text):
        return 0.0
    pressing = len(_URGENT.findall(text)) + text.count("!") / 2
    return min(1.0, pressing / 2 + (0.4 if mood(text).bad else 0.0))


def sentences(text: str) -> list[str]:
    """Cut a text into sentences."""
    return [found for part in _SENTENCE_END.split(text) if part and (found := part.strip())]


def clauses(text: str) -> list[str]:
    """Cut a text into sentences, and those where they turn to the contrary."""
    return [
        found
        for sentence in sentences(text)
        for part in _TURN.split(sentence)
        if (found := _BARE.sub("", part).rstrip(" ,;:.!?…。"))
    ]


def most_telling(text: str, *, good: bool = False, bad: bool = False) -> list[str]:
    """Return the clauses of a text, the most telling first; only good or bad ones if asked."""
    ranked = []
    for place, clause in enumerate(clauses(text)):
        found = mood(clause)
        if (good and found.good <= found.bad) or (bad and found.bad <= found.good):
            continue
        weight = 2 * (found.good + found.bad) + min(len(words(clause)), 16) / 4
        ranked.append((-weight, place, clause))
    return [clause for _, _, clause in sorted(ranked)]


def numbers(text: str) -> list[float]:
    """Return the numbers that stand in a text as digits, but for those beyond all floats."""
    # A point or comma before exactly three digits separates thousands.
    plain = (re.sub(r"[.,](?=\d{3}(?:\D|$))", "", digits) for digits in _NUMBER.findall(text))
    found = (float(digits.replace(",", ".")) for digits in plain)
    return [number for number in found if math.isfinite(number)]


def excerpt(text: str, count: int) -> str:
    """Return the first words of a text."""
    listed = text.split()
    return " ".join(listed[:count]) + (" …" if len(listed) > count else "")
