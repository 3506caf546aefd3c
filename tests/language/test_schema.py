"""What a call was given as a format, as a JSON schema."""

from typing import Any

import pydantic
import pytest

from motet._language.schema import json_schema


class Answer(pydantic.BaseModel):
    text: str


def test_a_model_class_becomes_its_schema() -> None:
    assert json_schema(Answer) == Answer.model_json_schema()


def test_a_schema_is_copied() -> None:
    given: dict[str, Any] = {"type": "object"}
    schema = json_schema(given)
    assert schema == given
    assert schema is not given


def test_nothing_stays_nothing() -> None:
    assert json_schema(None) is None


@pytest.mark.parametrize("wrong", ["json", 3, True, str, [Answer], object(), b"x"])
def test_what_is_no_format_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="format should be a pydantic model class or a JSON schema"):
        json_schema(wrong)


def test_an_object_of_a_model_is_told_from_its_class() -> None:
    with pytest.raises(TypeError, match="pass the class, not an object of it"):
        json_schema(Answer(text="x"))
