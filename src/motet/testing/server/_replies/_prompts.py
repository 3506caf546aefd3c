"""
What a prompt asks for, and the text it is about.

This module knows how people, and the templates of this library and its relatives, write
prompts: an instruction, a colon, a text; arguments of a function; a requirement and an
output to judge. It finds the parts and invents nothing.
"""

import enum
import re
from typing import Final

import attrs


class Wishes(enum.Enum):
    """What a prompt may ask for; the value names the rule."""

    JUDGEMENT = "answer yes or no"
    JSON = "write JSON with the keys that are named"
    CHOICE = "choose one of the words that are named"
    SUMMARY = "take the most telling words from the text"
    COMPOSITION = "fill in a template about the topic"
    SMALL_TALK = "answer politely"
    OTHER = "say that there is no rule"


@attrs.frozen
class Wish:
    """What a prompt asks for.

    Attributes:
        kind: which rule is for it.
        task: the instruction, without the text it is about.
        source: the text it is about; empty if there is none.
        keys: of the JSON object that is wanted.
        choices: between the words that are offered.
        topic: what the poem is about.
        form: "poem", "haiku", "story", "words", "list" or "sentences".
        count: how many sentences, words or entries; ``None`` if no number is named.
    """

    kind: Wishes
    task: str
    source: str = ""
    keys: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    topic: str = ""
    form: str = "sentences"
    count: int | None = None


_NUMBERS: Final = {
    word: number
    for number, word in enumerate(
        [
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
            "twenty",
        ],
        start=1,
    )
}
_COUNT: Final = rf"(?P<count>\d+|{'|'.join(_NUMBERS)})"
_COUNTED: Final = re.compile(
    rf"\b{_COUNT}[- ](?:\w+ ){{0,2}}?(?P<unit>sentence|word|item|thing|point|line|fact|tip|idea|step)s?\b",
    re.IGNORECASE,
)
# Lists that a template puts after the description.
_APPENDIX: Final = re.compile(r"\n[^\n]{0,120}:[ \t]*\n[ \t]*[*-] ", re.DOTALL)
_CONTEXT: Final = re.compile(
    r"^\s*[*-]\s*\[\w+\]\s*=\s*(.+?)(?=\n\s*[*-]\s|\Z)", re.MULTILINE | re.DOTALL
)
_ARGUMENT: Final = re.compile(
    r"""^\s*[*-]?\s*\w+\s*[:=]\s*(?P<quote>["'])(?P<text>.+?)(?P=quote)\s*(?:\(.*\))?\s*$""",
    re.MULTILINE | re.DOTALL,
)
_QUOTED: Final = re.compile(r'"""(.+?)"""|<(\w+)>(.+?)</\2>|```\w*\n(.+?)```', re.DOTALL)
_HEAD: Final = re.compile(r"^(?P<head>[^:\n]{3,300}):\s*(?P<text>\S.*)\Z", re.MULTILINE | re.DOTALL)
_INSTRUCTION: Final = re.compile(
    r"\b(summar\w*|extract|classif\w*|translat\w*|rewrite|rephrase|shorten|analy[sz]e|list|identify"
    r"|describe|explain|review|determine|decide|judge|rate|find|give|return|following|feedback|text"
    r"|json|sentiment|answer)\b",
    re.IGNORECASE,
)
_SUMMARISE: Final = re.compile(
    r"\b(summar\w*|tl;?dr|in short|shorten|condense|rephrase|rewrite)\b", re.IGNORECASE
)
_YES_NO: Final = re.compile(
    r"""["'“]?\byes\b["'”]?.{0,80}\b(?:or|and)\b.{0,10}["'“]?\bno\b""", re.IGNORECASE | re.DOTALL
)
_JUDGED: Final = re.compile(
    r"\b(?:Output|Arguments|Answer)[ \t]*:[ \t]*(?P<text>.*?)(?=\n\s*(?:Requirement|Precondition)\b|\Z)",
    re.DOTALL,
)
_DEMAND: Final = re.compile(
    r"\b(?:Requirement|Precondition)\s*:\s*(?P<text>.*?)(?=\n\s*(?:Output|Arguments)\s*:|\Z)",
    re.DOTALL,
)
_KEYS: Final = re.compile(
    r"\bJSON\b[^:\n]*?\b(?:with|containing|keys?|fields?|properties)\b:?\s*"
    r"(?:the\s+)?(?:(?:keys?|fields?|properties)\b:?\s*)?(?P<keys>.+?)"
    r"(?=\s+(?:from|for|of|about|out of|based on|in|that|using)\b|[:.\n]|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_IDENTIFIER: Final = re.compile(r"[A-Za-z_]\w*")
_OFFERED: Final = re.compile(
    r"\b(?:as|one of|either|into|between|whether it is)\b:?\s+(?P<choices>[^:.\n]*?\bor\b\s+[\"'“]?[\w-]+)",
    re.IGNORECASE,
)
_FORM: Final = re.compile(r"\b(haiku|poem|verse|limerick|song|story|tale|fable)\b", re.IGNORECASE)
_WRITE: Final = re.compile(
    r"^\W*(?:please\s+|can you\s+|could you\s+)?(?:write|compose|tell|give|describe|explain|list|name|make)\b",
    re.IGNORECASE,
)
_TOPIC: Final = re.compile(
    r"\b(?:about|on|of|describe|explain|for|summari[sz]e)\s+(?P<topic>[^\n.!?:]+)", re.IGNORECASE
)
_SMALL_TALK: Final = re.compile(
    r"^\W*(?:hello|hi|hey|good (?:morning|day|evening|afternoon)|hallo|hola|bonjour|thanks?\b.*"
    r"|thank you.*|tell me more|go on|continue|more|what else|and then|why|elaborate)\b"
    r"(?:[\s,]+\w+){0,3}\W*$",
    re.IGNORECASE,
)


def read_prompt(prompt: str) -> Wish:
    """Find out what a prompt asks for."""
    if _YES_NO.search(prompt) and (judged := _judgement(prompt)):
        return judged
    source, task = _source(prompt)
    if keys := _named_keys(task):
        return Wish(Wishes.JSON, task, source, keys=keys)
    if choices := _offered(task):
        return Wish(Wishes.CHOICE, task, source, choices=choices)
    unit, count = _counted(task)
    topic = _topic(task)
    if source and _SUMMARISE.search(task):
        return Wish(Wishes.SUMMARY, task, source, count=count if unit == "sentence" else None)
    if _SMALL_TALK.match(prompt):
        return Wish(Wishes.SMALL_TALK, task)
    if found := _FORM.search(task):
        form = {"haiku": "haiku", "story": "story", "tale": "story", "fable": "story"}
        return Wish(
            Wishes.COMPOSITION,
            task,
            source,
            topic=topic,
            form=form.get(found[1].lower(), "poem"),
            count=count,
        )
    if unit or (_WRITE.match(task) and topic):
        form_of_unit = {"sentence": "sentences", "word": "words", "": "sentences"}
        return Wish(
            Wishes.COMPOSITION,
            task,
            source,
            topic=topic,
            form=form_of_unit.get(unit, "list"),
            count=count,
        )
    if source:
        return Wish(Wishes.SUMMARY, task, source)
    return Wish(Wishes.OTHER, task)


def _source(prompt: str) -> tuple[str, str]:
    """Return the text that a prompt is about, and the prompt without it."""
    cut = _APPENDIX.search(prompt)
    main = prompt[: cut.start()] if cut else prompt
    arguments = list(_ARGUMENT.finditer(prompt))
    if arguments:
        return "\n".join(found["text"] for found in arguments), prompt[: arguments[0].start()]
    found = _HEAD.search(main)
    if found and _INSTRUCTION.search(found["head"]):
        return found["text"].strip().strip('"'), main[: found.end("head")]
    if quoted := _QUOTED.search(main):
        return next(text for text in quoted.group(1, 3, 4) if text).strip(), main[: quoted.start()]
    if contexts := _CONTEXT.findall(prompt):
        return "\n".join(text.strip() for text in contexts), main
    return "", main


def _judgement(prompt: str) -> Wish | None:
    demand, judged = _DEMAND.search(prompt), _JUDGED.search(prompt)
    if demand and judged:
        return Wish(Wishes.JUDGEMENT, demand["text"].strip(), judged["text"].strip())
    source, task = _source(prompt)
    return Wish(Wishes.JUDGEMENT, task, source or prompt)


def _named_keys(task: str) -> tuple[str, ...]:
    found = _KEYS.search(task)
    if found is None:
        return ()
    listed = re.split(r"\s*,\s*(?:and\s+)?|\s+and\s+", found["keys"])
    keys = [re.sub(r"\W+", "_", part.strip().strip("\"'`“”")).strip("_") for part in listed]
    return tuple(key for key in keys if _IDENTIFIER.fullmatch(key))


def _offered(task: str) -> tuple[str, ...]:
    found = _OFFERED.search(task)
    if found is None:
        return ()
    listed = re.split(r"\s*,\s*(?:or\s+)?|\s+or\s+", found["choices"])
    choices = tuple(part.strip().strip("\"'`“”") for part in listed)
    # Words are choices, phrases are not.
    return choices if len(choices) > 1 and all(len(c.split()) == 1 for c in choices) else ()


def _counted(task: str) -> tuple[str, int | None]:
    found = _COUNTED.search(task)
    if found is None:
        return "", None
    count = found["count"].lower()
    return found["unit"].lower(), _NUMBERS.get(count) or int(count)


def _topic(task: str) -> str:
    found = _TOPIC.search(task)
    return found["topic"].strip() if found else ""
