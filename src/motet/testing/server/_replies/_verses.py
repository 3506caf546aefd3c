"""
Poems, stories, lists and small talk from templates.

This module knows stock sentences with a place for a topic. They are meant to look like a
reply of the wanted length, and to differ with the seed, not to be literature.
"""

import itertools
import random
import re
from collections.abc import Iterator, Sequence
from typing import Final

from motet.testing.server._protocol import Turn
from motet.testing.server._replies._prompts import Wish
from motet.testing.server._replies._words import excerpt, words

_MAX_COUNT: Final = 100_000  # words or sentences

_POEM: Final = (
    "I went to look for {topic}",
    "before the day was loud,",
    "and found a corner of the sky",
    "unbuttoned from its cloud.",
    "The morning spoke of {topic}",
    "the way a kettle sings,",
    "in little breaths, in half a tune,",
    "of large and patient things.",
    "Whoever waits for {topic}",
    "will wait with open hands,",
    "and count the hours one by one",
    "as children count the sands.",
    "So let me keep, of {topic},",
    "no more than what I see:",
    "a line of light, a turning road,",
    "a door that has no key.",
)
_HAIKUS: Final = {
    "concurrency": (
        "Many tasks take turns;\none waits, another hurries —\nthe evening comes once.",
        "Two threads, one small lock:\neach bows and lets the other\nstep through the gate first.",
    ),
    "": (
        "Slow light on the page:\na word or two on {topic},\nand then the silence.",
        "The window is wide.\nSomebody thinks of {topic}\nand forgets the tea.",
    ),
}
_STORY: Final = (
    "Once there was {topic}.",
    "At first nobody paid much attention.",
    "The first attempt ended in smoke, noise and a long silence.",
    "The second one went a little better, because this time somebody had read the instructions.",
    "On the third day an old neighbour knocked at the door and asked what all this was about.",
    "She listened to the end, laughed, and rolled up her sleeves.",
    "Together they tried again, more slowly, and wrote down what went wrong.",
    "By the end of the week the list was long and the mistakes were small.",
    "Then came the evening on which everything worked.",
    "The whole street had come to see it, and for a moment nobody said a word.",
    "Somebody began to clap, and then they all did.",
    "Nothing grand came of it, but from then on the lights in that house burned late.",
    "And whoever walked past could hear the two of them argue, happily, about salt.",
)
_FACTS: Final = {
    "water cycle": (
        "Water evaporates from seas and plants, rises, and condenses into clouds where it is cool.",
        "It falls as rain or snow, runs back to the sea through soil and rivers, and begins anew.",
        "The sun provides the energy for all of it.",
        "Some of the water rests for thousands of years in ice or deep under ground.",
    ),
}
_SENTENCES: Final = (
    "There is more to {topic} than one would think.",
    "People have written about {topic} for a long time.",
    "Some of it is obvious, and some of it shows only on a second look.",
    "The details depend on where one stands.",
    "What matters most about {topic} is easy to overlook.",
    "A good beginning is to watch closely and to take notes.",
    "Small causes have large effects here.",
    "Whoever has the time should ask those who work with {topic} every day.",
    "Not everything that is said about {topic} is true.",
    "In the end a simple picture is worth more than a long list.",
)
_GREETINGS: Final = (
    "Hello! I am a simulated model. What would you like to talk about?",
    "Hello there! I am only simulated, but I am listening. What is it about?",
    "Good day! You have reached a simulated model. How can I be of use?",
)
_THANKS: Final = "You are welcome. Simulated models like to be thanked, too."
_GREETING: Final = re.compile(r"^\W*(hello|hi|hey|good|hallo|hola|bonjour)\b", re.IGNORECASE)
_PLAIN_WORDS: Final = frozenset(
    [
        "about",
        "after",
        "again",
        "also",
        "because",
        "been",
        "before",
        "being",
        "could",
        "does",
        "doing",
        "down",
        "each",
        "from",
        "have",
        "having",
        "here",
        "into",
        "itself",
        "just",
        "more",
        "most",
        "only",
        "other",
        "please",
        "same",
        "should",
        "some",
        "such",
        "tell",
        "than",
        "that",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "through",
        "under",
        "until",
        "very",
        "were",
        "what",
        "when",
        "where",
        "which",
        "while",
        "will",
        "with",
        "would",
        "write",
        "your",
    ]
)


def compose(wish: Wish, chance: random.Random) -> str:
    """Return a text of the form and length that a prompt asks for."""
    topic = wish.topic or "nothing in particular"
    count = None if wish.count is None else max(1, min(wish.count, _MAX_COUNT))
    match wish.form:
        case "haiku":
            known = next((poems for name, poems in _HAIKUS.items() if name and name in topic), None)
            return chance.choice(known or _HAIKUS[""]).format_map({"topic": topic})
        case "poem":
            return _poem(topic, count, "short" in wish.task.lower(), chance)
        case "story":
            return _story(topic, count, "short" in wish.task.lower())
        case "words":
            endless = itertools.chain.from_iterable(s.split() for s in _about(topic, chance))
            return " ".join(itertools.islice(endless, count))
        case "list":
            lines = itertools.islice(_about(topic, chance), count or 3)
            return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, start=1))
        case _:
            return " ".join(itertools.islice(_about(topic, chance), count or 3))


def converse(turns: Sequence[Turn], chance: random.Random) -> str:
    """Answer a greeting, thanks, or a wish to hear more of what was spoken of before."""
    said = next((turn.text for turn in reversed(turns) if turn.role == "user"), "")
    if _GREETING.match(said):
        return chance.choice(_GREETINGS)
    if re.match(r"\W*thank", said, re.IGNORECASE):
        return _THANKS
    before = [turn.text for turn in turns if turn.role == "user" and turn.text != said]
    if not before:
        return "Gladly, but of what? This is the first thing you say to me, a simulated model."
    if _GREETING.match(before[-1]):
        return (
            f"Gladly. So far you have only said “{excerpt(before[-1], 6)}”, and I greeted you."
            " Name a topic (travel, cooking, the water cycle), and I will fill in a template"
            " about it; for more than that you need a model that is not simulated."
        )
    more = " ".join(itertools.islice(_about("it", chance), 2))
    return f"There is more to say about “{excerpt(before[-1], 8)}”. {more}"


def confess(prompt: str) -> str:
    """Say that no rule fits, and show that the prompt has arrived."""
    noticed = [word for word in words(prompt) if len(word) > 3 and word not in _PLAIN_WORDS]
    listed = ", ".join(list(dict.fromkeys(noticed))[:5])
    heard = f" I noticed these words: {listed}." if listed else ""
    return (
        f"I am a simulated model and have no rule for “{excerpt(prompt, 8)}”.{heard}"
        " Please ask a real one."
    )


def _poem(topic: str, count: int | None, short: bool, chance: random.Random) -> str:
    lines = count or (4 if short else 8)
    begin = 4 * chance.randrange(len(_POEM) // 4)
    endless = itertools.cycle(_POEM[begin:] + _POEM[:begin])
    chosen = [line.format_map({"topic": topic}) for line in itertools.islice(endless, lines)]
    stanzas = [chosen[at : at + 4] for at in range(0, len(chosen), 4)]
    return "\n\n".join("\n".join(stanza) for stanza in stanzas)


def _story(topic: str, count: int | None, short: bool) -> str:
    wanted = count or (8 if short else len(_STORY))
    # From the second round on without the beginning.
    endless = itertools.chain(_STORY, itertools.cycle(_STORY[1:]))
    told = itertools.islice(endless, wanted)
    return " ".join(sentence.format_map({"topic": topic}) for sentence in told)


def _about(topic: str, chance: random.Random) -> Iterator[str]:
    """Yield sentences about a topic without end."""
    known = next((facts for name, facts in _FACTS.items() if name in topic.lower()), ())
    yield from known
    begin = chance.randrange(len(_SENTENCES))
    for sentence in itertools.cycle(_SENTENCES[begin:] + _SENTENCES[:begin]):
        yield sentence.format_map({"topic": topic})
