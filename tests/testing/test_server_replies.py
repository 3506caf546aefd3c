"""The simulated model's replies: taken from the prompt, of the shape that is wanted."""

import datetime
import enum
import json
import uuid
from typing import Annotated, Any, Literal

import pydantic
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from motet.testing.server._protocol import Ask, Turn, tokenise
from motet.testing.server._replies import invent
from motet.testing.server._replies._words import mood, numbers, sentences

FEEDBACK = (
    "The onboarding was confusing and took far too long. Support was helpful once I got through."
)
SUMMARISE = "Summarise this customer feedback in one sentence: "


def say(prompt: str, *, history: tuple[Turn, ...] = (), **more: Any) -> str:
    return invent(Ask((*history, Turn("user", prompt)), **more)).text


def fill(model: type[pydantic.BaseModel], prompt: str) -> Any:
    """Return a reply as the model that its schema comes from, which checks it."""
    return model.model_validate_json(say(prompt, schema=model.model_json_schema()))


# --- summaries


def test_a_summary_is_one_sentence_of_what_tells_most() -> None:
    summary = say(SUMMARISE + FEEDBACK)
    assert len(sentences(summary)) == 1
    assert "the onboarding was confusing" in summary
    assert "but support was helpful once they got through" in summary


def test_a_summary_leaves_out_what_tells_little() -> None:
    text = "I came on Monday. It was raining. The room was terrible and the staff were rude."
    assert "raining" not in say(SUMMARISE + text)


def test_a_summary_has_as_many_sentences_as_are_asked_for() -> None:
    summary = say("Write a two-sentence summary of this text: " + FEEDBACK)
    assert len(sentences(summary)) == 2
    assert (
        len(
            sentences(
                say("Write a three sentence summary of this text: It is fine here and I like it.")
            )
        )
        == 3
    )


def test_a_clause_without_end_is_cut() -> None:
    text = "The room was terrible" + ", and so was the view of the yard" * 20 + "."
    assert len(say(SUMMARISE + text).split()) < 40


@pytest.mark.parametrize(
    "prompt",
    [
        'Summarise what follows.\n"""The bread is excellent, fresh and cheap every day."""',
        "Summarise what follows.\n<text>The bread is excellent, fresh and cheap every day.</text>",
        "Summarise what is known.\nContext\n* [a] = The bread is excellent, fresh and cheap every day.",
        "The following text is a note: The bread is excellent, fresh and cheap every day.",
    ],
)
def test_the_text_of_a_prompt_is_found(prompt: str) -> None:
    assert "the bread is excellent" in say(prompt)


def test_a_short_text_is_quoted() -> None:
    assert say(SUMMARISE + "Meh.") == "The customer only writes “Meh.”."


def test_braces_and_colons_in_a_text_are_text() -> None:
    text = (
        'The form prints {{name}}, and the API says {"error": "unknown"} which is a terrible bug.'
    )
    assert '{{name}}, and the API says {"error": "unknown"}' in say(SUMMARISE + text)


def test_requirements_after_the_text_are_not_part_of_it() -> None:
    prompt = f"{SUMMARISE}{FEEDBACK}\nYour answer must meet these:\n* It is terribly wonderful."
    assert "terribly wonderful" not in say(prompt)


def test_a_text_in_another_language_keeps_its_words() -> None:
    text = "Die Kopfhörer klingen hervorragend, aber nach zwei Stunden drücken sie so sehr."
    assert "Die Kopfhörer klingen hervorragend" in say(SUMMARISE + text)


# --- choices


@pytest.mark.parametrize(
    ("text", "sentiment"),
    [
        ("I love it, it works beautifully.", "positive"),
        ("It is slow and crashes.", "negative"),
        (FEEDBACK, "mixed"),
        ("Nothing to complain about!", "positive"),
        ("It is not good.", "negative"),
        ("The staff weren't helpful.", "negative"),
        ("Nobody answers the phone.", "negative"),
        ("It looks like a box.", "mixed"),
        ("😍", "positive"),
        ("The chair is brown.", "mixed"),
        ("It takes no longer than before.", "negative"),
    ],
)
def test_a_sentiment_is_chosen_by_words(text: str, sentiment: str) -> None:
    prompt = f"Classify the sentiment as positive, negative, or mixed: {text}"
    assert say(prompt) == sentiment


def test_a_literal_is_chosen_by_words() -> None:
    class Sentiment(pydantic.BaseModel):
        result: Literal["positive", "negative", "mixed"]

    prompt = 'Classify the overall sentiment of the summary.\n\nsummary: "{}"'
    assert fill(Sentiment, prompt.format("It was great.")).result == "positive"
    assert fill(Sentiment, prompt.format('It was "great", but slow.')).result == "mixed"

    class Topic(pydantic.BaseModel):
        result: Literal["billing", "delivery", "app"]

    assert (
        fill(Topic, "Which topic? Text: They charged me twice for delivery.").result == "delivery"
    )
    assert fill(Topic, "Which topic? Text: Nothing of it.").result in {"billing", "delivery", "app"}


def test_a_degree_is_chosen_by_urgency() -> None:
    class Degree(pydantic.BaseModel):
        urgency: Literal["low", "medium", "high"]

    def urgency(text: str) -> str:
        level: str = fill(Degree, f"Rate the following text: {text}").urgency
        return level

    assert urgency("A lovely day.") == "low"
    assert urgency("No rush, but this must be fixed today.") == "low"
    assert urgency("It is rather slow.") == "medium"
    assert urgency("It crashes, fix it today, this is urgent!") == "high"


@pytest.mark.parametrize(
    ("requirement", "output", "met"),
    [
        ("use only lower-case letters", "hello world", "yes"),
        ("use only lower-case letters", "Hello", "no"),
        ("USE UPPER CASE", "HELLO", "yes"),
        ("at most 3 words", "one two three", "yes"),
        ("fewer than three words", "one two three", "no"),
        ("at least two sentences", "One. Two.", "yes"),
        ("more than 10 characters", "short", "no"),
        ("exactly two lines", "a\nb", "yes"),
        ("one sentence", "One. Two.", "no"),
        ('it mentions "tea"', "I like Tea.", "yes"),
        ('it must not mention "tea"', "I like tea.", "no"),
        ("it is JSON", '{"a": 1}', "yes"),
        ("it is JSON", "nothing", "no"),
        ("the tone is positive", "It is great.", "yes"),
        ("the tone is positive", "It is terrible.", "no"),
        ("it sounds urgent", "Help is needed at once, immediately!", "yes"),
        ("it is poetic", "A rose.", "yes"),
        ("it is poetic", "", "no"),
    ],
)
def test_a_requirement_is_judged(requirement: str, output: str, met: str) -> None:
    prompt = (
        "Does the output meet the requirement? Reply with 'yes' if it does and 'no' otherwise.\n"
        f"  Output: {output}\n  Requirement: {requirement}"
    )
    assert say(prompt) == met


def test_without_a_word_for_it_any_choice_is_made() -> None:
    prompt = "Classify as positive or negative: The chair is brown."
    assert say(prompt) in {"positive", "negative"}
    assert say("Classify as yes or no: I love it") == "yes"


def test_a_plain_question_gets_yes_or_no() -> None:
    question = "Is this feedback positive? Answer yes or no. Feedback: "
    assert say(question + "I love it") == "yes"
    assert say(question + "I hate it") == "no"


# --- JSON


def test_named_keys_become_json() -> None:
    prompt = f"Extract JSON with main_complaint, positive_aspect, and urgency from: {FEEDBACK}"
    assert json.loads(say(prompt)) == {
        "main_complaint": "The onboarding was confusing and took far too long",
        "positive_aspect": "Support was helpful once they got through",
        "urgency": "medium",
    }
    assert list(json.loads(say('Return JSON with the keys "name" and `title`: Bob'))) == [
        "name",
        "title",
    ]
    assert isinstance(json.loads(say("Anything", wants_json=True)), dict)


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Part(pydantic.BaseModel):
    name: str
    price: Annotated[float, pydantic.Field(gt=0, le=100)]
    parts: list["Part"] = []


class Everything(pydantic.BaseModel):
    main_complaint: str
    positive_aspect: str | None
    title: Annotated[str, pydantic.Field(min_length=3, max_length=20)]
    sentiment: str
    quote: str
    keyword: str
    author_name: str
    complaints: list[str]
    strengths: Annotated[list[str], pydantic.Field(max_length=1)]
    keywords: Annotated[set[str], pydantic.Field(min_length=2)]
    amounts: list[int]
    rating: Annotated[int, pydantic.Field(ge=1, le=5)]
    urgency_level: Annotated[float, pydantic.Field(ge=0, le=1)]
    age: Annotated[int, pydantic.Field(gt=3, lt=10)]
    count: Annotated[int, pydantic.Field(multiple_of=5)]
    is_urgent: bool
    has_problem: bool
    is_positive: bool
    mentions_refund: bool
    colour: Colour
    mixed: Literal[1, "two"] | None
    fixed: Literal["always"]
    part: Part
    pair: tuple[str, int]
    either: int | str
    table: dict[str, int]
    day: datetime.date
    moment: datetime.datetime
    number: uuid.UUID
    mail: Annotated[str, pydantic.Field(json_schema_extra={"format": "email"})]
    nothing: None
    anything: Any


TEXT = (
    "Anna Berg wrote on 2026-03-04 to anna@example.com: the blue chair broke after 12 days,"
    " I want a refund! Support was friendly. The delivery was quick."
)


def test_a_schema_of_every_kind_is_filled_from_the_text() -> None:
    found: Everything = fill(Everything, f"Extract what the text says: {TEXT}")
    assert "broke" in found.main_complaint
    assert found.positive_aspect in {"Support was friendly", "The delivery was quick"}
    assert found.sentiment == "mixed"
    assert found.author_name.startswith("Anna")
    assert found.colour is Colour.BLUE
    assert found.mentions_refund
    assert found.has_problem
    assert found.day == datetime.date(2026, 3, 4)
    assert found.mail == "anna@example.com"
    assert len(found.strengths) == 1


def test_a_nullable_field_is_null_if_the_text_says_nothing() -> None:
    class Issues(pydantic.BaseModel):
        complaint: str | None
        praise: str | None

    found: Issues = fill(Issues, "Extract from the text: It was great.")
    assert (found.complaint, found.praise) == (None, "It was great")


def test_large_numbers_keep_to_their_bounds_and_steps() -> None:
    class Large(pydantic.BaseModel):
        count: Annotated[int, pydantic.Field(multiple_of=7, ge=10**17 + 1, lt=10**17 + 20)]
        size: Annotated[int, pydantic.Field(gt=2**53, le=2**53 + 1)]
        amounts: list[int]

    found: Large = fill(Large, "Extract what the text says: 1234567 pieces, 12 boxes.")
    assert found.size == 2**53 + 1
    assert found.amounts == [1234567, 12]


class Tree(pydantic.BaseModel):
    left: "Tree | None"
    right: "Tree | str"
    children: list["Tree"]


def test_a_schema_that_contains_itself_has_an_end() -> None:
    assert isinstance(fill(Tree, "Describe the text: one. two. three. four."), Tree)


@example("100000000000000010")  # no float is a multiple of 5 there
@example("1" * 310)  # beyond all floats
@given(st.text(max_size=200))
def test_any_text_fills_any_schema(text: str) -> None:
    fill(Everything, f"Extract what the text says: {text}")


@pytest.mark.parametrize(
    ("schema", "fits"),
    [
        ({"allOf": [{"properties": {"a": {"const": 1}}}, {"required": ["a"]}]}, {"a": 1}),
        ({"allOf": [{"type": "object"}, {"properties": {}}]}, {}),
        ({"properties": {"issue": {"enum": ["a", "b"]}}}, {"issue": "b"}),
        ({"type": ["null", "integer"]}, 0),
        ({"enum": ["no", "yes"]}, "yes"),
        ({"type": "object"}, {}),
        ({"enum": [None]}, None),
        ({"$ref": "#/definitions/it", "definitions": {"it": {"type": "null"}}}, None),
        ({"$ref": "#/nowhere"}, "none"),
        ({"$ref": "#"}, "none"),
        ({"oneOf": [{"type": "null"}]}, None),
        ({"prefixItems": [{"const": 1}], "items": False}, [1]),
        ({"type": "array", "items": {"const": 1}, "minItems": 2, "maxItems": 2}, [1, 1]),
        ({"properties": {"a": True}}, {"a": "none"}),
        ({"type": "string", "format": "ipv4"}, "192.0.2.1"),
    ],
)
def test_rarer_schemas(schema: dict[str, Any], fits: object) -> None:
    prompt = "Text: option b is bad" if "issue" in str(schema) else ""
    assert json.loads(say(prompt, schema=schema)) == fits


# --- compositions


def test_poems_and_stories_are_about_their_topic() -> None:
    poem = say("Write a short poem about rivers.")
    assert "rivers" in poem
    assert len(poem.splitlines()) == 4
    assert len(say("Write a haiku about concurrency.").splitlines()) == 3
    assert len(say("Write a haiku about tea.").splitlines()) == 3
    story = say("Write a short story about a robot learning to cook.")
    assert story.startswith("Once there was a robot learning to cook.")
    assert len(sentences(say("Tell me a five-sentence story about a cat."))) == 5


@pytest.mark.parametrize("count", [1, 7, 400])
def test_a_number_that_is_named_is_kept(count: int) -> None:
    assert len(say(f"Write {count} words about rivers.").split()) == count
    assert len(sentences(say(f"Write {count} sentences about rivers."))) == count
    assert len(say(f"List {count} facts about rivers.").splitlines()) == count


def test_the_water_cycle_takes_two_sentences() -> None:
    summary = say("Write a two-sentence summary of the water cycle.")
    assert len(sentences(summary)) == 2
    assert "clouds" in summary


# --- talk


def test_a_greeting_is_answered() -> None:
    assert "simulated" in say("Hello.")
    assert "welcome" in say("Thank you very much!")


def test_tell_me_more_refers_to_what_was_said_before() -> None:
    def more(before: str) -> str:
        history = (Turn("user", before), Turn("assistant", "Well."))
        return say("Tell me more.", history=history)

    assert "Hello." in more("Hello.")
    assert "Write a poem about mountains." in more("Write a poem about mountains.")
    assert "first thing" in say("Tell me more.")


def test_without_a_rule_the_model_says_so() -> None:
    reply = say("Quantum chromodynamics, anyone?")
    assert "simulated" in reply
    assert "quantum" in reply
    assert "simulated" in say("")


def test_thoughts_name_the_rule() -> None:
    ask = Ask((Turn("user", "Hello."),), wants_thinking=True)
    assert "politely" in invent(ask).thinking


def test_the_seed_changes_the_words() -> None:
    prompt = SUMMARISE + FEEDBACK
    assert say(prompt, seed=3) == say(prompt, seed=3)
    assert len({say(prompt, seed=seed) for seed in range(10)}) > 1


# --- words


@given(st.text())
def test_tokens_joined_are_the_text(text: str) -> None:
    assert "".join(tokenise(text)) == text


@given(st.text(max_size=300))
def test_every_prompt_has_a_reply(prompt: str) -> None:
    assert say(prompt)


def test_numbers_are_found_in_their_spellings() -> None:
    assert numbers("1 and 2.5, 3,000 or 4.000,5 but -6 and 1.2.3") == [1, 2.5, 3000, 4000.5, -6]


def test_a_mood_weighs_good_and_bad() -> None:
    assert mood("good good bad").balance == pytest.approx(1 / 3)
    assert mood("chair").sentiment == "neutral"
