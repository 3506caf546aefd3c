"""Lists of models, and lines about a model on its way."""

import json
from typing import Any

import pytest

from motet._values.errors import ProtocolError, ReplyError
from motet._wire.ollama_models import model_names, pull_body, pull_progress


def test_a_list_of_models_is_their_names() -> None:
    assert model_names(b'{"models": [{"name": "a:1b", "size": 3}, {"name": "b"}]}') == ["a:1b", "b"]
    for page in (b"[]", b"<html>", b'{"models": [{}]}'):
        with pytest.raises(ProtocolError, match="not a list of models"):
            model_names(page)


@pytest.mark.parametrize(
    ("line", "shown", "fraction", "done"),
    [
        ({"status": "pulling manifest"}, "pulling manifest", None, False),
        ({"status": "pulling x", "digest": "d", "total": 8}, "pulling x", None, False),
        (
            {"status": "pulling x", "digest": "d", "total": 8, "completed": 2},
            "pulling x: 25%",
            0.25,
            False,
        ),
        ({"status": "pulling x", "total": 0, "completed": 0}, "pulling x", None, False),
        ({"status": "success", "other": 1}, "success", None, True),
    ],
)
def test_a_line_says_how_far_it_is(
    line: dict[str, Any], shown: str, fraction: float | None, done: bool
) -> None:
    told = pull_progress(json.dumps(line).encode())
    assert (str(told), told.fraction, told.done) == (shown, fraction, done)


def test_an_error_among_the_lines_is_one() -> None:
    with pytest.raises(ReplyError, match="file does not exist"):
        pull_progress(b'{"error": "pull model manifest: file does not exist"}')
    for line in (b"{}", b"x", b"[" * 9999):
        with pytest.raises(ProtocolError, match="not a line about a model"):
            pull_progress(line)
    assert json.loads(pull_body("m")) == {"model": "m", "stream": True}
