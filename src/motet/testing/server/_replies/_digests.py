"""
Summaries that are cut out of the text.

This module knows how to join clauses into a sentence and how to speak of somebody who
spoke of himself.
"""

import random
import re
from typing import Final

from motet.testing.server._replies._prompts import Wish
from motet.testing.server._replies._words import clauses, excerpt, mood, most_telling, words

_MAX_WORDS: Final = 28  # of one clause; more is cut at a comma
_FEW_WORDS: Final = 5
_THIRD_PERSON: Final = {
    "i": "they",
    "i'm": "they are",
    "i am": "they are",
    "i was": "they were",
    "i've": "they have",
    "i'd": "they would",
    "i'll": "they will",
    "i have": "they have",
    "me": "them",
    "my": "their",
    "mine": "theirs",
    "myself": "themselves",
    "we": "they",
    "we're": "they are",
    "we've": "they have",
    "us": "them",
    "our": "their",
    "ours": "theirs",
}
_FIRST_PERSON: Final = re.compile(
    r"\b(I (?:am|was|have)|I['’](?:m|ve|d|ll)|I|[Mm]e|[Mm]y|[Mm]ine|[Mm]yself"
    r"|[Ww]e['’](?:re|ve)|[Ww]e|us|[Oo]urs?)\b"
)
_ENGLISH: Final = frozenset(
    ["the", "a", "an", "and", "is", "was", "it", "of", "to", "in", "for", "with", "this"]
)
# Words that are not names though they begin a sentence; so are most with these endings.
_PLAIN: Final = frozenset(
    [
        "the",
        "a",
        "an",
        "and",
        "it",
        "this",
        "that",
        "these",
        "those",
        "there",
        "they",
        "their",
        "he",
        "she",
        "you",
        "your",
        "nobody",
        "somebody",
        "no",
        "not",
        "since",
        "after",
        "before",
        "when",
        "while",
        "if",
        "as",
        "at",
        "by",
        "for",
        "from",
        "in",
        "of",
        "on",
        "to",
        "with",
        "without",
        "once",
        "never",
        "still",
        "please",
        "support",
        "delivery",
        "product",
        "shipping",
        "service",
        "checkout",
        "setup",
        "customer",
        "billing",
        "password",
        "staff",
        "shop",
        "app",
        "fabric",
        "fast",
        "slow",
        "quick",
        "good",
        "great",
        "got",
        "paid",
        "oh",
        "wow",
        "would",
        "well",
        "thank",
        "everything",
        "nothing",
        "every",
        "all",
        "some",
        "many",
        "most",
        "other",
        "another",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "ten",
        "twelve",
        "best",
        "it's",
        "garden",
        "coffee",
        "update",
        "neither",
        "love",
        "nice",
    ]
)
_PLAIN_ENDINGS: Final = ("s", "ed", "ly", "ing")


def summarise(text: str, wish: Wish, chance: random.Random) -> str:
    """Return a summary of one sentence, or of as many as are asked for."""
    who = _speaker(wish.task)
    if len(words(text)) <= _FEW_WORDS or not clauses(text):
        return f"The {who} only writes “{text.strip()}”."
    if wish.count is None or wish.count == 1:
        lead = chance.choice(
            [f"According to the {who}, ", "In short, ", f"The {who} writes: ", "In sum, "]
        )
        return lead + _joined(_chosen(text), text) + "."
    chosen = most_telling(text)[: wish.count]
    ordered = [clause for clause in clauses(text) if clause in chosen]
    while len(ordered) < wish.count:
        ordered.append(f"There is no more in what the {who} writes")
    return " ".join(f"{_upper(_reported(clause, text))}." for clause in ordered)


def key_sentence(text: str, found: list[str]) -> str:
    """Return the first of some clauses as a sentence in the third person."""
    return _upper(_reported(_cut(found[0]), text))


def _chosen(text: str) -> list[str]:
    """Return the one or two clauses that say most, in their order."""
    best = most_telling(text)
    good, bad = most_telling(text, good=True), most_telling(text, bad=True)
    if good and bad:
        chosen = [bad[0], good[0]]
    else:
        chosen = [best[0], *(clause for clause in best[1:2] if len(words(clause)) > _FEW_WORDS)]
    return [clause for clause in dict.fromkeys(clauses(text)) if clause in chosen]


def _joined(chosen: list[str], text: str) -> str:
    if not _is_english(text):
        return "; ".join(map(_cut, chosen))
    parts = [_lower(_reported(_cut(clause), text)) for clause in chosen]
    if len(parts) == 1:
        return parts[0]
    first, second = (mood(clause) for clause in chosen)
    contrary = first.balance * second.balance < 0
    return f"{parts[0]}, {'but' if contrary else 'and'} {parts[1]}"


def _cut(clause: str) -> str:
    while len(clause.split()) > _MAX_WORDS and "," in clause:
        clause = clause.rpartition(",")[0]
    return excerpt(clause, _MAX_WORDS)


def _reported(clause: str, text: str) -> str:
    """Speak of the writer in the third person, if the text is English."""
    if not _is_english(text):
        return clause
    return _FIRST_PERSON.sub(
        lambda found: _THIRD_PERSON[found[0].lower().replace("’", "'")], clause
    )


def _is_english(text: str) -> bool:
    found = words(text)
    return len(_ENGLISH.intersection(found)) > 1 or (len(found) < 12 and text.isascii())


def _speaker(task: str) -> str:
    return "customer" if re.search(r"customer|feedback|review", task, re.IGNORECASE) else "text"


def _lower(clause: str) -> str:
    first = clause.split(maxsplit=1)[0].rstrip(",.:")
    plain = first.lower() in _PLAIN or first.endswith(_PLAIN_ENDINGS)
    if plain and (len(first) == 1 or first[1:].islower()):
        return clause[0].lower() + clause[1:]
    return clause


def _upper(clause: str) -> str:
    return clause[:1].upper() + clause[1:]
