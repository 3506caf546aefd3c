"""Every example runs as its docstring says, on both loops."""

import gc
import runpy
import sys
from pathlib import Path

import pytest

from docs.pages import ROOT, pattern_of
from docs.running import LOOPS, loop_for_programs

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

# What they print, as far as it is the same every time; see `pages` for the `…`.
OUTPUTS = {
    "batch": """\
arrived already: [False, False, False, False]
- …
- …
- …
- …
4 calls took … s
requests that arrived before the first reply: 4
""",
    "chat": """\
-- sequential
My name is Ada. -> Hello Ada.
What is my name? -> Ada.
Spell it backwards. -> adA.
entries in the context: 6
-- concurrent
Name a river. -> The Rhine.
Which sea does it flow into? -> The North Sea.
How deep is that? -> 700 metres.
entries in the context: 6
messages in each request: [1, 3, 5, 1, 3, 5]
""",
    "fan_out": """\
1 of 5: …
2 of 5: …
3 of 5: …
4 of 5: …
5 of 5: …
requests: 5, still open: 0
""",
    "feedback": """\
-- with waits
Summary:   The start was hard, but support helped.
Sentiment: mixed
Issues:    {"main_complaint": "onboarding", "positive_aspect": "support"}
-- without waits
Summary:   The start was hard, but support helped.
Sentiment: mixed
Issues:    {"main_complaint": "onboarding", "positive_aspect": "support"}
requests: 6
""",
    "first_valid": """\
name='Ada' age=36
the server says: ['finished', 'finished', 'hung up', 'hung up']
""",
    "generative": """\
Booking(name='Ada', guests=4, vegetarian=True)
'today'
the same again: True
ReplyMismatch at result: … - it was {"result": "never"}
""",
    "loops": """\
['Hello.', 'Hello.', 'Hello.']
… ended the wait
the server works for: 0
""",
    "pending_inputs": """\
Quiet is worth a fall.
requests: 4
the last one said: Weigh this: They are quiet. Against this: They fall over.
""",
    "requirements": """\
attempt 1: I would be delighted if you came to our rehearsal on Tuesday evening in the old hall.
    Use 12 words at most. - not met. It has 17 words, and 12 is the most.
    Name the day. - met
attempt 2: Come to our rehearsal on Tuesday!
    Use 12 words at most. - met
    Name the day. - met
success: True
the session keeps: Come to our rehearsal on Tuesday!
requests: 4
the second attempt was told:
    …
    * It has 17 words, and 12 is the most.
""",
    "stream": """\
Once there was a robot. It counted sheep for a living. Then the sheep began to count it.
88 characters, usage: {…}
The first sentence only: Once there was a robot.
cancelled: True, kept: 'Once there was a robot.…'
the server says: finished, hung up
""",
    "sync": """\
…
What is a motet? …
Who wrote the first one? …
How many voices has it? …
TypeError: … TEMPERATURE …
""",
    "timeouts": """\
-- a_wait
the deadline has passed, the server works for: 1
nobody came, the server works for: 0
GenerationCancelled: …; kept: 'word'...
-- a_block
stopped: True kept: 'word'...
the server works for: 0
-- many
too late, the server works for: 20
and now for: 0
-- silence
BackendTimeout after 0.5 s, kept: 'word word word'
""",
    "tools": """\
Playlist ['Sunday Morning']
temperature({'city': 'Paris'}) -> 21 degrees
temperature({'city': 'Atlantis'}) -> The call of temperature failed: KeyError: 'Atlantis'
It has 21 degrees in Paris, and nobody knows about Atlantis.
the model was told of: without - Return the playlist without the titles in which a word occurs.
""",
    "vote": """\
42, as one of them puts it: …42…
the server says: ['finished', 'finished', 'finished', 'finished', 'hung up']
""",
}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_an_example_prints_what_it_should(
    example: Path,
    loop: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", [str(example), "--loop", loop])
    with loop_for_programs(loop, monkeypatch):
        runpy.run_path(str(example), run_name="__main__")
        gc.collect()  # so that what a finaliser has to say is said in this test
    out, err = capsys.readouterr()
    assert err == ""
    assert pattern_of(OUTPUTS[example.stem]).fullmatch(out), f"it printed:\n{out}"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_the_docstring_of_an_example_says_how_to_run_it(example: Path) -> None:
    assert f"python examples/{example.name} [--loop trio]" in example.read_text(encoding="utf-8")
