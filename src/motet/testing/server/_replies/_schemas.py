"""
JSON that fits a schema, filled from a text.

This module knows the part of JSON Schema that pydantic writes and models are given:
types, enums, constants, references, unions, bounds, lengths and a few formats. What a
field is called decides what is looked for. A ``pattern`` is not read: the value may not
fit it.

Reference: https://json-schema.org/draft/2020-12/json-schema-validation
"""

import json
import math
import random
import re
import uuid
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

import attrs

from motet.testing.server._replies._choices import choose
from motet.testing.server._replies._digests import key_sentence, summarise
from motet.testing.server._replies._prompts import Wish
from motet.testing.server._replies._words import (
    excerpt,
    mood,
    most_telling,
    numbers,
    sentences,
    urgency,
    words,
)

# A schema that contains itself ends here, with the shortest value that fits.
_MAX_DEPTH: Final = 6
_MAX_ITEMS: Final = 3
_BAD: Final = re.compile(r"complain|issue|problem|negativ|weak|\bcons?\b|pain|bug|drawback|risk")
_GOOD: Final = re.compile(r"prais|positiv|strength|\bpros?\b|\blikes?\b|good|advantage|benefit")
_URGENT: Final = re.compile(r"urgen|priorit|sever|importan")
_MOOD: Final = re.compile(r"sentiment|mood|tone|polarity")
_SCORE: Final = re.compile(r"rating|score|stars?|satisf|confiden|grade")
_NAME: Final = re.compile(r"\b(?!I\b)[A-Z][\w-]+(?:\s+[A-Z][\w-]+)*")
_FORMATS: Final = {
    "date-time": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)"),
    "date": re.compile(r"\d{4}-\d\d-\d\d"),
    "time": re.compile(r"\d\d:\d\d:\d\d"),
    "email": re.compile(r"[\w.+-]+@[\w-]+\.[\w.]*\w"),
    "uri": re.compile(r"https?://[^\s\"'<>]+"),
}
_FALLBACKS: Final = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "00:00:00",
    "email": "nobody@example.com",
    "uri": "https://example.com/",
    "duration": "PT0S",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
}


def fill(schema: Mapping[str, Any], text: str, wish: Wish, chance: random.Random) -> Any:
    """Return a value that fits a schema.

    Args:
        schema: a JSON schema.
        text: where the value comes from.
        wish: what the prompt asks for beside it.
        chance: decides where the text does not.
    """
    return _Filler(schema, text, wish, chance).value(schema, "", 0)


@attrs.frozen
class _Filler:
    root: Mapping[str, Any]
    text: str
    wish: Wish
    chance: random.Random

    def value(self, schema: Any, name: str, depth: int) -> Any:
        if not isinstance(schema, Mapping):
            return self._string({}, name)
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._one_of(schema["enum"], name)
        for union in ("anyOf", "oneOf"):
            if options := schema.get(union):
                return self._union([self._resolved(option) for option in options], name, depth)
        match _type(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "integer":
                return self._number(schema, name, whole=True)
            case "number":
                return self._number(schema, name, whole=False)
            case "boolean":
                return self._boolean(schema, name)
            case "null":
                return None
            case _:
                return self._string(schema, name)

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """Follow references and merge what must hold together."""
        for _ in range(32):  # a reference to itself has no value that fits
            if "$ref" in schema:
                rest = {key: value for key, value in schema.items() if key != "$ref"}
                schema = {**_pointed_at(self.root, schema["$ref"]), **rest}
            elif "allOf" in schema:
                rest = {key: value for key, value in schema.items() if key != "allOf"}
                schema = _merged([self._resolved(part) for part in schema["allOf"]] + [rest])
            else:
                break
        return schema

    def _one_of(self, values: Sequence[Any], name: str) -> Any:
        if all(isinstance(value, str) for value in values):
            return choose(values, self._text_about(name), self.chance)
        by_name = {json.dumps(value): value for value in values}
        return by_name[choose(list(by_name), self.text, self.chance)]

    def _union(self, options: list[Mapping[str, Any]], name: str, depth: int) -> Any:
        nullable = any(_type(option) == "null" for option in options)
        others = [option for option in options if _type(option) != "null"]
        if nullable and (not others or depth >= _MAX_DEPTH or self._says_nothing(name)):
            return None
        # The flattest one, where a schema goes on and on.
        if depth >= _MAX_DEPTH:
            others.sort(key=lambda option: _type(option) in ("object", "array"))
        return self.value(others[0], name, depth)

    def _says_nothing(self, name: str) -> bool:
        what = _spaced(name)
        if _BAD.search(what):
            return not most_telling(self.text, bad=True)
        if _GOOD.search(what):
            return not most_telling(self.text, good=True)
        return not self.text.strip()

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        required = set(schema.get("required", ()))
        return {
            name: self.value(part, name, depth + 1)
            for name, part in schema.get("properties", {}).items()
            if name in required or depth < _MAX_DEPTH
        }

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        fixed = schema.get("prefixItems", [])
        found = [self.value(part, name, depth + 1) for part in fixed]
        items = schema.get("items")
        at_least = int(schema.get("minItems", 0))
        at_most = int(schema.get("maxItems", max(_MAX_ITEMS, at_least)))
        if items in (None, False) and fixed:
            return found[: at_most if "maxItems" in schema else None]
        if depth >= _MAX_DEPTH:
            at_most = at_least
        resolved = self._resolved(items) if isinstance(items, Mapping) else {"type": "string"}
        unique = bool(schema.get("uniqueItems"))
        for text in self._parts(name, _type(resolved)):
            if len(found) >= at_most:
                break
            value = attrs.evolve(self, text=text).value(resolved, _singular(name), depth + 1)
            if value not in found or not unique:
                found.append(value)
        while len(found) < at_least:
            value = self.value(resolved, name, depth + 1)
            if unique and isinstance(value, str):
                value = f"{value} {len(found) + 1}"
            found.append(value)
        return found

    def _parts(self, name: str, kind: str) -> list[str]:
        """Return the pieces of the text that become entries of a list."""
        what = _spaced(name)
        if kind in ("integer", "number"):
            # Not rounded, and never with three digits behind the point, as thousands have.
            return [f"{number:f}" for number in numbers(self.text)]
        if _BAD.search(what):
            return most_telling(self.text, bad=True)
        if _GOOD.search(what):
            return most_telling(self.text, good=True)
        if re.search(r"keyword|tag|topic|word", what):
            return sorted(set(words(self.text)), key=lambda word: (-len(word), word))
        return sentences(self.text)

    def _number(self, schema: Mapping[str, Any], name: str, *, whole: bool) -> float:
        low = _exact(schema.get("minimum", schema.get("exclusiveMinimum", -math.inf)))
        high = _exact(schema.get("maximum", schema.get("exclusiveMaximum", math.inf)))
        step = Fraction(str(schema.get("multipleOf", 1 if whole else 0)))
        least = step or Fraction(1, 1000)  # above an exclusive bound
        if "exclusiveMinimum" in schema:
            low = max(low, _exact(schema["exclusiveMinimum"]) + least)
        if "exclusiveMaximum" in schema:
            high = min(high, _exact(schema["exclusiveMaximum"]) - least)
        what, found = _spaced(name), numbers(self.text)
        value: Fraction | float
        if _SCORE.search(what) or (not found and _MOOD.search(what)):
            bottom = low if low > -math.inf else min(1.0, high)
            top = high if high < math.inf else max(5.0, low)
            value = bottom + (mood(self.text).balance + 1) / 2 * (top - bottom)
        elif _URGENT.search(what) and math.isfinite(low) and math.isfinite(high):
            value = low + urgency(self.text) * (high - low)
        else:
            value = found[0] if found else 0.0
        value = min(max(value, low), high)
        if step:
            value = round(Fraction(value) / step) * step
            value += step if value < low else -step if value > high else 0
        return int(value) if whole else round(float(value), 6)

    def _boolean(self, schema: Mapping[str, Any], name: str) -> bool:
        what = _spaced(name)
        if _URGENT.search(what):
            return urgency(self.text) > 0.5
        if _BAD.search(what):
            return mood(self.text).bad > 0
        if _GOOD.search(what) or not what:
            return mood(self.text).balance > 0
        asked = set(words(what)) - {"is", "has", "was", "needs", "should", "wants", "can", "result"}
        mentioned = any(word.startswith(stem[:6]) for word in words(self.text) for stem in asked)
        return mentioned if asked else mood(self.text).balance > 0

    def _string(self, schema: Mapping[str, Any], name: str) -> str:
        if (form := schema.get("format")) and (found := self._formatted(form)):
            return found
        text = self._about(name)
        at_most = schema.get("maxLength")
        if at_most is not None and len(text) > at_most:
            text = text[:at_most].rpartition(" ")[0] or text[:at_most]
        return text.ljust(int(schema.get("minLength", 0)), ".")

    def _formatted(self, form: str) -> str:
        if form == "uuid":
            return str(uuid.UUID(int=self.chance.getrandbits(128), version=4))
        found = _FORMATS[form].search(self.text) if form in _FORMATS else None
        return found[0] if found else _FALLBACKS.get(form, "")

    def _about(self, name: str) -> str:
        what = _spaced(name)
        if _URGENT.search(what):
            return choose(["low", "medium", "high"], self.text, self.chance)
        if _MOOD.search(what):
            return mood(self.text).sentiment
        if _BAD.search(what):
            return self._clause(most_telling(self.text, bad=True))
        if _GOOD.search(what):
            return self._clause(most_telling(self.text, good=True))
        if re.search(r"\b(name|person|author|city|place|company|product)\b", what):
            names = _NAME.findall(self.text)
            return names[0] if names else "unknown"
        if re.search(r"\b(title|heading|subject|topic)\b", what):
            return excerpt(self._clause(most_telling(self.text)), 6)
        if re.search(r"\b(quote|excerpt|text)\b", what):
            return self.text.strip()
        if re.search(r"\b(keyword|tag|word)\b", what):
            return max(words(self.text), key=len, default="none")
        return summarise(self.text, self.wish, self.chance) if words(self.text) else "none"

    def _clause(self, found: list[str]) -> str:
        return key_sentence(self.text, found) if found else "none"

    def _text_about(self, name: str) -> str:
        what = _spaced(name)
        if _BAD.search(what):
            return ". ".join(most_telling(self.text, bad=True)) or self.text
        return self.text


def _exact(number: float) -> Fraction | float:
    """Return a number of a schema as it is written there; an infinity, for none, as it is.

    Beyond 2**53 a float is no multiple of what it should be one of.
    """
    return number if number in (-math.inf, math.inf) else Fraction(str(number))


def _type(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        return next((each for each in kind if each != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema or "prefixItems" in schema else "string"


def _pointed_at(root: Mapping[str, Any], reference: str) -> Mapping[str, Any]:
    found: Any = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if name:
            found = found.get(name, {}) if isinstance(found, Mapping) else {}
    return found if isinstance(found, Mapping) else {}


def _merged(parts: list[Mapping[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for part in parts:
        properties = {**merged.get("properties", {}), **part.get("properties", {})}
        required = [*merged.get("required", ()), *part.get("required", ())]
        merged |= part
        if properties:
            merged["properties"] = properties
        if required:
            merged["required"] = required
    return merged


def _spaced(name: str) -> str:
    """Return the words of an identifier."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|[_\W]+", " ", name).lower()


def _singular(name: str) -> str:
    return name.removesuffix("s")
