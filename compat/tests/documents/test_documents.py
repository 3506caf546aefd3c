"""The programs that the documents print run unchanged, and print what the documents say.

They are read from the documents themselves where these lie beside the checkout, and from
`programs.md`, in words of our own, everywhere else. A program that calls ``asyncio.run`` runs as
it is; its coroutine runs on Trio as well, unless it asks asyncio to gather.
"""

import contextlib
import io
import logging
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import trio
from printed import body_and_call, code_of, programs

from motet.testing import ModelServer, Reply, serve_in_thread

HERE: Final = Path(__file__).parent
DOCUMENTS: Final = HERE.parents[3] / "shared" / "documents"

TWO: Final = "Water rises as vapour. It falls as rain."
FIVE: Final = "Water rises. It cools. It falls as rain. It runs to the sea. It rises again."


def _sources() -> dict[str, str]:
    found = {path.stem[:3]: path.read_text("utf-8") for path in sorted(DOCUMENTS.glob("*.txt"))}
    return {"ours": (HERE / "programs.md").read_text("utf-8"), **found}


def _programs() -> dict[str, str]:
    found = {
        f"{source}-{number}": program
        for source, text in _sources().items()
        for number, program in enumerate(programs(text), 1)
    }
    forms: dict[tuple[str, ...], str] = {}
    for program in found.values():
        # The copy with the most lines has the empty ones.
        forms[code_of(program)] = max(forms.get(code_of(program), ""), program, key=len)
    return {name: forms[code_of(program)] for name, program in found.items()}


PROGRAMS: Final = _programs()


def _with(*words: str) -> list[str]:
    """Return the names of the programs in which all of some words stand."""
    return [name for name, program in PROGRAMS.items() if all(word in program for word in words)]


def _without(names: list[str], *words: str) -> list[str]:
    return [name for name in names if not any(word in PROGRAMS[name] for word in words)]


FIRST_CALL: Final = _with("print(str(result))")
GATHER: Final = _with("asyncio.gather(")
BATCH: Final = _without(_with("wait_for_all_mots("), "@generative")
STREAM: Final = _without(_with("astream()"), "stream_with_chunking")
MIXED: Final = _with("@generative")
CHAT: Final = _with("ChatContext()")
CHECKED: Final = _with("stream_with_chunking")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, no_logger: logging.Logger) -> Iterator[ModelServer]:
    # What is printed is looked at, and the logger prints, too. The first token is late enough for
    # a busy machine to have sent all requests of a program that sends several at once.
    with serve_in_thread(default=Reply(TWO), time_to_first_token=0.2) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        monkeypatch.setenv("MELLEA_LOGS_CONSOLE", "false")
        yield server


def most_at_once(server: ModelServer) -> int:
    """Return how many replies the server was making at the same time, at most."""
    return max(
        sum(other.arrived_at <= each.arrived_at < (other.ended_at or math.inf) for other in all_)
        for all_ in [server.replies]
        for each in all_
    )


def run_as_it_is(name: str) -> str:
    """Run a program and return what it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(PROGRAMS[name], name, "exec"), {"__name__": "__main__"})
    return printed.getvalue()


def run_on_trio(name: str) -> str:
    """Run the coroutine of a program on Trio and return what it printed."""
    body, call = body_and_call(PROGRAMS[name])
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(body, name, "exec"), names)

    async def main() -> None:
        await eval(call, names)

    with contextlib.redirect_stdout(io.StringIO()) as printed:
        trio.run(main)
    return printed.getvalue()


# Trio has no loop of asyncio's to gather on; what such a program prints itself is looked at below.
WAYS: Final = [
    *((run_as_it_is, name) for name in PROGRAMS),
    *((run_on_trio, name) for name in _without(list(PROGRAMS), "asyncio.gather")),
]


def ways(*names: str) -> pytest.MarkDecorator:
    """Run a test with every way to run some of the programs."""
    chosen = [pair for pair in WAYS if pair[1] in names]
    assert chosen
    return pytest.mark.parametrize(
        ("run", "name"), chosen, ids=[f"{name}-{run.__name__[4:]}" for run, name in chosen]
    )


def test_every_program_is_looked_at() -> None:
    looked_at = {*FIRST_CALL, *GATHER, *BATCH, *STREAM, *MIXED, *CHAT, *CHECKED}
    assert looked_at == set(PROGRAMS)
    if DOCUMENTS.is_dir():
        assert [sum(name.startswith(f"00{n}") for name in PROGRAMS) for n in range(5)] == [
            0,
            6,
            5,
            5,
            0,
        ]


@ways(*FIRST_CALL)
def test_str_of_a_reply_is_its_text(run: Any, name: str, server: ModelServer) -> None:
    assert run(name) == f"{TWO}\n"


@ways(*GATHER)
def test_replies_are_not_resolved_before_somebody_waits(
    run: Any, name: str, server: ModelServer
) -> None:
    assert run(name) == "False\n" + f"{TWO}\n" * 3
    assert most_at_once(server) == 3


@ways(*BATCH)
def test_a_batch_runs_at_the_same_time(run: Any, name: str, server: ModelServer) -> None:
    printed = run(name)
    calls = 4 if "FEEDBACK_BATCH" in PROGRAMS[name] else 3
    assert most_at_once(server) == calls
    if run is run_as_it_is or "print(t.value)" in PROGRAMS[name]:
        assert printed == f"{TWO}\n" * calls


@ways(*STREAM)
def test_the_pieces_of_a_stream_are_the_text(run: Any, name: str, server: ModelServer) -> None:
    assert run(name) == f"{TWO}\n"


@ways(*MIXED)
def test_what_depends_on_a_reply_runs_behind_it(run: Any, name: str, server: ModelServer) -> None:
    server.script([Reply(TWO), Reply(TWO), Reply('{"result": "mixed"}')])
    assert run(name) == f"Summary:   {TWO}\nSentiment: mixed\nIssues:    {TWO}\n"


@ways(*CHAT)
def test_a_conversation_warns_at_every_call_and_prints_text(
    run: Any, name: str, server: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "mellea"):
        assert run(name) == f"{TWO}\n"
    warnings = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert len(warnings) == 2
    for each in warnings:
        assert each.name == "mellea"
        assert each.getMessage().startswith(
            "Not using a SimpleContext with asynchronous requests could cause unexpected results "
            "due to stale contexts. Ensure you await between requests."
        )


@ways(*CHECKED)
def test_two_sentences_pass(run: Any, name: str, server: ModelServer) -> None:
    lines = run(name).splitlines()
    if ".events()" not in PROGRAMS[name]:
        assert lines == ["Water rises as vapour.", "It falls as rain."]
        return
    assert [line.strip() for line in lines] == [
        "chunk[0]: 'Water rises as vapour.'",
        "chunk[1]: 'It falls as rain.'",
        f"stream done — {len(TWO)} chars",
        "final: pass",
        "completed — success=True",
        "completed=True, failures=0",
    ]


@ways(*CHECKED)
def test_the_fourth_of_five_sentences_stops_the_request(
    run: Any, name: str, server: ModelServer
) -> None:
    server.script([Reply(FIVE)])
    lines = [line.strip() for line in run(name).splitlines()]
    if ".events()" not in PROGRAMS[name]:
        assert lines == ["Water rises.", "It cools.", "It falls as rain."]
        return
    assert lines[:3] == [
        "chunk[0]: 'Water rises.'",
        "chunk[1]: 'It cools.'",
        "chunk[2]: 'It falls as rain.'",
    ]
    assert lines[3].startswith("FAIL at chunk 3: [PartialValidationResult('fail'")
    assert lines[4:] == ["completed — success=False", "completed=False, failures=1"]


def main() -> None:
    """Print how long the batch of the tutorial takes with a model that needs 0.3 s."""
    import os

    # What is printed is looked at, and the logger prints, too.
    with serve_in_thread(default=Reply(TWO), time_to_first_token=0.3) as server:
        os.environ["OLLAMA_HOST"] = server.url
        for run, name in WAYS:
            if name in BATCH:
                began = time.perf_counter()
                run(name)
                print(f"{name} {run.__name__}: {time.perf_counter() - began:.2f} s")


if __name__ == "__main__":
    main()
