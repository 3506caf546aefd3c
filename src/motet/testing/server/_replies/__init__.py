"""
What the simulated model says: a few rules that take their words from the prompt.

    _words      sentences, clauses, moods: what can be found in a text
    _prompts    what a prompt asks for, and the text it is about
    _digests    summaries
    _choices    one of several words; yes or no
    _schemas    JSON that fits a schema
    _verses     poems, stories, lists, small talk

These modules know text only. The same conversation and seed give the same reply, in every
process and on every machine. Nothing here understands anything, and a reply that has to
fall back to the last rule says so.
"""

import json
import random
from typing import Any

import attrs

from motet.testing.server._protocol import Ask
from motet.testing.server._replies._choices import choose, judge
from motet.testing.server._replies._digests import summarise
from motet.testing.server._replies._prompts import Wish, Wishes, read_prompt
from motet.testing.server._replies._schemas import fill
from motet.testing.server._replies._verses import compose, confess, converse


@attrs.frozen
class Invention:
    """A reply before it is cut into tokens."""

    text: str
    thinking: str = ""


def invent(ask: Ask) -> Invention:
    """Find a reply to a conversation."""
    wish = read_prompt(ask.prompt)
    # A string seeds the generator by its bytes, unlike a tuple, whose hash changes from
    # process to process.
    chance = random.Random(f"{ask.seed}\n{ask.prompt}")
    text = _text(ask, wish, chance)
    thinking = f"The rule for this prompt is: {wish.kind.value}." if ask.wants_thinking else ""
    return Invention(text, thinking)


def _text(ask: Ask, wish: Wish, chance: random.Random) -> str:
    text = wish.source or ask.prompt
    if ask.schema is not None:
        return json.dumps(fill(ask.schema, text, wish, chance), ensure_ascii=False)
    if wish.kind is Wishes.JSON or ask.wants_json:
        return _json(wish, text, chance)
    match wish.kind:
        case Wishes.JUDGEMENT:
            return "yes" if judge(wish.task, wish.source) else "no"
        case Wishes.CHOICE:
            return choose(wish.choices, text, chance)
        case Wishes.SUMMARY:
            return summarise(text, wish, chance)
        case Wishes.COMPOSITION:
            return compose(wish, chance)
        case Wishes.SMALL_TALK:
            return converse(ask.turns, chance)
        case Wishes.OTHER:
            return confess(ask.prompt)


def _json(wish: Wish, text: str, chance: random.Random) -> str:
    keys = wish.keys or ("summary", "sentiment")
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {key: {"type": "string"} for key in keys},
    }
    return json.dumps(fill(schema, text, wish, chance), ensure_ascii=False, indent=2)
