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
    "fan_out": """\
1 of 5: …
2 of 5: …
3 of 5: …
4 of 5: …
5 of 5: …
requests: 5, still open: 0
""",
    "first_valid": """\
name='Ada' age=36
the server says: ['finished', 'finished', 'hung up', 'hung up']
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
