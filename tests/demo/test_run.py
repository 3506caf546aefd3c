"""Whole runs of `motet demo` against a model server: rows, Ctrl-C, pipes, exit codes."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest

import motet
from demo.terminals import Pipe, Terminal
from motet.cli import main
from motet.demo import _run
from motet.demo._interrupts import CtrlC
from motet.demo._items import FeedbackItem
from motet.demo._outlets import JsonOutlet, TableOutlet
from motet.demo._rows import Board, Status
from motet.demo._run import DemoOptions, LoopName, drive, run_demo
from motet.testing import (
    ErrorLine,
    ModelServer,
    Outcome,
    Refuse,
    ServedRequest,
    Stall,
    serve_in_thread,
)

LOOPS = list(LoopName)


@pytest.fixture
def server() -> Iterator[ModelServer]:
    """A model server that replies at once, and must be left without an open request."""
    with serve_in_thread() as server:
        yield server
        server.block_until_idle()


@pytest.fixture
def run(server: ModelServer, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs ``motet demo --json`` against the server; gives the exit code and the records."""

    def run_demo_with(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
        code = main(["demo", "--backend", "ollama", "--base-url", server.url, "--json", *arguments])
        out, err = capsys.readouterr()
        assert err == ""
        return code, [json.loads(line) for line in out.splitlines()]

    return run_demo_with


def asks_about(text: str) -> Callable[[ServedRequest], bool]:
    return lambda request: text in request.prompt


def without_times(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        record
        | {
            "seconds": None,
            "calls": {name: call["tokens"] for name, call in record["calls"].items()},
        }
        for record in records
    ]


# --- rows


def test_the_built_in_feedback_gives_the_same_rows_on_every_loop(run: Callable[..., Any]) -> None:
    results = {}
    for loop in LOOPS:
        code, records = run("--loop", loop)
        assert code == 0
        results[loop] = without_times(records)
    first = results[LoopName.ASYNCIO]
    assert len(first) >= 44
    assert all(result == first for result in results.values())
    assert {record["status"] for record in first} == {"done"}
    assert {record["sentiment"] for record in first} == {"positive", "negative", "mixed"}
    assert all(record["summary"] for record in first)
    assert all(record["urgency"] in ("low", "medium", "high") for record in first)
    assert len({record["summary"] for record in first}) > 40


@pytest.mark.parametrize("loop", LOOPS)
def test_every_item_of_a_file_is_a_row_in_its_order(
    run: Callable[..., Any], tmp_path: Path, loop: str
) -> None:
    path = tmp_path / "feedback.csv"
    path.write_bytes(b'id,comment\na,It is fine.\nb,caf\xe9\nc,\nd,"It is {{ not }} fine."\n')
    code, records = run("--input", str(path), "--loop", loop)
    assert code == 1
    assert [(record["id"], record["status"]) for record in records] == [
        ("a", "done"),
        ("b", "failed"),
        ("c", "failed"),
        ("d", "done"),
    ]
    assert records[1]["error"].startswith("line 3: not UTF-8")
    assert records[2]["error"] == "line 4: the text is empty"


def test_the_standard_input_can_be_the_file(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b'{"text": "It is fine.", "id": "a"}\n'
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    code, (record,) = run("--input", "-", "--format", "jsonl")
    assert (code, record["id"]) == (0, "a")


def test_the_limit_takes_the_first_items(run: Callable[..., Any]) -> None:
    _, records = run("--limit", "3")
    assert [record["id"] for record in records] == ["fb-01", "fb-02", "fb-03"]


@pytest.mark.parametrize("loop", LOOPS)
def test_a_call_that_fails_is_an_error_of_its_row(
    run: Callable[..., Any], server: ModelServer, tmp_path: Path, loop: str
) -> None:
    path = tmp_path / "feedback.txt"
    path.write_text("The first one is good.\nThe second one is bad.\nThe third one is late.\n")
    server.script([ErrorLine(2, "out of memory")], when=asks_about("second one"), repeat=True)
    server.script([Refuse(503, "too busy")], when=asks_about("third one"), repeat=True)
    code, (good, bad, late) = run("--input", str(path), "--loop", loop)
    assert code == 1
    assert (good["status"], good["error"]) == ("done", None)
    assert bad["error"].startswith("ReplyError: ")
    assert "out of memory" in bad["error"]
    assert late["error"].startswith("StatusError: ")
    assert "too busy" in late["error"]


def test_a_server_that_is_not_there_fails_every_row_and_says_what_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with serve_in_thread() as server:
        url = server.url
    assert main(["demo", "--backend", "ollama", "--base-url", url, "--limit", "5"]) == 1
    out = capsys.readouterr().out
    assert f"Asking granite4.1:3b at {url}." in out
    assert "5 of 5 items failed:" in out
    assert out.count("ollama serve") == 1  # in full once, under the table


def test_a_model_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with serve_in_thread(missing_models=["nosuch"]) as server:
        arguments = ["--backend", "ollama", "--base-url", server.url, "--model", "nosuch"]
        assert main(["demo", *arguments, "--limit", "1"]) == 1
    assert "ollama pull nosuch" in capsys.readouterr().out


def test_a_server_may_speak_the_other_protocol(
    server: ModelServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--backend", "openai", "--base-url", f"{server.url}/v1", "--model", "m"]
    assert main(["demo", *arguments, "--limit", "2"]) == 0
    assert f"Asking m at {server.url}/v1." in capsys.readouterr().out
    assert {request.path for request in server.replies} == {"/v1/chat/completions"}
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(SystemExit):
        main(["demo", "--backend", "openai"])
    assert "OPENAI_API_KEY" in capsys.readouterr().err


def test_the_simulated_run_says_so_and_compares_the_times(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["demo", "--limit", "4", "--ttft", "0.01", "--tps", "10000"]) == 0
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith("Replies are simulated (http://127.0.0.1:")
    assert last.startswith("12 calls, ")
    assert last.endswith(" at once on average")


# --- Ctrl-C


def interrupt_after(*waits: Callable[[], None]) -> threading.Thread:
    """Press Ctrl-C as soon as each of *waits* has returned."""

    def press() -> None:
        for wait in waits:
            wait()
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    return thread


@pytest.mark.parametrize("loop", LOOPS)
def test_ctrl_c_prints_what_is_finished_and_closes_every_request(
    monkeypatch: pytest.MonkeyPatch, server: ModelServer, tmp_path: Path, loop: str
) -> None:
    path = tmp_path / "feedback.txt"
    path.write_text("The first one is good.\nThe second one is slow.\nThe third one is slow.\n")
    server.script([Stall(1)], when=asks_about("is slow"), repeat=True)
    out = Pipe()
    monkeypatch.setattr(sys, "stdout", out)
    thread = interrupt_after(
        lambda: out.block_until_lines(1),
        lambda: server.block_until(lambda: len(server.open_requests) == 4),
    )
    arguments = ["--backend", "ollama", "--base-url", server.url, "--json", "--loop", loop]
    assert main(["demo", "--input", str(path), *arguments]) == 130
    thread.join()
    records = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [record["status"] for record in records] == ["done", "cancelled", "cancelled"]
    assert [record["error"] for record in records] == [None, "cancelled", "cancelled"]
    server.block_until_idle(connections=True)
    outcomes = [request.outcome for request in server.replies]
    assert outcomes.count(Outcome.FINISHED) == 3
    assert outcomes.count(Outcome.HUNG_UP) == 4
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_prints_the_table_of_what_is_finished(
    server: ModelServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.script([Stall(0)], repeat=True)
    thread = interrupt_after(lambda: server.block_until(lambda: len(server.open_requests) == 4))
    arguments = ["--backend", "ollama", "--base-url", server.url, "--limit", "2"]
    assert main(["demo", *arguments]) == 130
    thread.join()
    assert "2 of 2 items cancelled" in capsys.readouterr().out


@pytest.mark.parametrize("loop", LOOPS)
def test_ctrl_c_before_the_event_loop_runs_still_prints_the_rows(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    server: ModelServer,
    loop: str,
) -> None:
    def announce(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(TableOutlet, "announce", announce)
    server.script([Stall(0)], repeat=True)
    arguments = ["--backend", "ollama", "--base-url", server.url, "--limit", "2", "--loop", loop]
    assert main(["demo", *arguments]) == 130
    assert "2 of 2 items cancelled" in capsys.readouterr().out


@attrs.frozen
class ImpatientOutlet(TableOutlet):
    """Presses Ctrl-C when all calls are open, and again while they are being closed."""

    server: ModelServer

    async def write(self, board: Board) -> None:
        await self.server.wait_until(lambda: len(self.server.open_requests) == 4)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        try:
            await anyio.sleep_forever()
        finally:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("loop", LOOPS)
def test_ctrl_c_pressed_again_does_not_break_what_it_has_set_off(
    server: ModelServer, loop: LoopName
) -> None:
    server.script([Stall(0)], repeat=True)
    board = Board.of([FeedbackItem("1", "one"), FeedbackItem("2", "two")])
    outlet = ImpatientOutlet(Pipe(), Pipe(), server)
    backend = motet.OllamaModelBackend(base_url=server.url)
    with CtrlC() as ctrl_c:
        arguments = _run._loop_arguments(loop)
        assert not anyio.run(_run._main, backend, board, outlet, None, ctrl_c, **arguments)
        server.block_until_idle(connections=True)
    assert [request.outcome for request in server.replies] == [Outcome.HUNG_UP] * 4


def test_ctrl_c_that_somebody_else_handles_is_left_alone(server: ModelServer) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with CtrlC():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_interrupt_that_is_raised_still_prints_the_rows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], server: ModelServer
) -> None:
    async def interrupted(*_: object) -> bool:
        await anyio.lowlevel.checkpoint()
        raise KeyboardInterrupt

    monkeypatch.setattr(_run, "_main", interrupted)
    arguments = ["--backend", "ollama", "--base-url", server.url, "--limit", "2"]
    assert main(["demo", *arguments]) == 130
    assert "2 of 2 items cancelled" in capsys.readouterr().out


def test_ctrl_c_outside_of_the_run_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(_run, "run_demo", interrupted)
    assert main(["demo"]) == 130


@pytest.mark.anyio
async def test_a_run_in_another_thread_has_no_signals(server: ModelServer) -> None:
    items = [FeedbackItem("1", "It is fine.")]
    options = DemoOptions(
        backend=_run.BackendName.OLLAMA, base_url=server.url, loop=LoopName.TRIO, as_json=True
    )
    assert await anyio.to_thread.run_sync(run_demo, items, options) == 0


# --- pipes


@pytest.mark.anyio
async def test_nothing_is_asked_any_more_when_nobody_reads(server: ModelServer) -> None:
    server.script([Stall(1)], when=asks_about("is slow"), repeat=True)
    board = Board.of(
        [
            FeedbackItem("1", "It is fine."),
            FeedbackItem("2", "It is good."),
            FeedbackItem("3", "It is slow."),
        ]
    )
    outlet = JsonOutlet(Pipe(breaks_after=1), Pipe())
    async with motet.open_session("ollama", base_url=server.url) as m:
        with pytest.raises(BrokenPipeError):
            await drive(m, board, outlet)
    assert board.rows[2].status is Status.IN_FLIGHT
    await server.wait_idle(connections=True)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_run_that_nobody_reads_raises_a_bare_error(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch, loop: LoopName
) -> None:
    server.script([Stall(1)], when=asks_about("is slow"), repeat=True)
    monkeypatch.setattr(sys, "stdout", Pipe(breaks_after=0))
    options = DemoOptions(
        backend=_run.BackendName.OLLAMA, base_url=server.url, loop=loop, as_json=True
    )
    items = [FeedbackItem("1", "It is fine."), FeedbackItem("2", "It is slow.")]
    with pytest.raises(BrokenPipeError):
        run_demo(items, options)
    server.block_until_idle(connections=True)


@pytest.mark.anyio
async def test_progress_is_drawn_beside_the_run(server: ModelServer) -> None:
    terminal = Terminal()
    board = Board.of([FeedbackItem("1", "It is fine.")])
    async with motet.open_session("ollama", base_url=server.url) as m:
        await drive(m, board, TableOutlet(terminal, Pipe()))
    assert "in flight" in terminal.shown


def run_with_closed_stdout(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program with a standard output that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return subprocess.run(
            [sys.executable, "-m", "motet", *arguments],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
            env=os.environ | {"PYTHONUNBUFFERED": ""},
        )
    finally:
        os.close(writing)


@pytest.mark.parametrize(
    "arguments",
    [
        ["demo", "--json", "--limit", "2", "--ttft", "0", "--tps", "10000"],
        ["demo", "--limit", "2", "--ttft", "0", "--tps", "10000"],
        ["demo", "--help"],
    ],
    ids=" ".join,
)
def test_a_pipe_that_nobody_reads_ends_the_program_quietly(arguments: list[str]) -> None:
    done = run_with_closed_stdout(*arguments)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("form", ["--json", "--limit=1"])
def test_a_full_disk_is_one_line_and_no_traceback(form: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "motet", "demo", "--limit", "1", "--ttft", "0", form],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "motet: No space left on device\n")


def test_a_program_that_was_started_without_standard_output_runs() -> None:
    program = f'exec "{sys.executable}" -m motet demo --limit 1 --ttft 0 >&-'
    done = subprocess.run(["sh", "-c", program], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_encoding_without_ellipses_still_gets_a_table() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "motet", "demo", "--limit", "2", "--ttft", "0"],
        capture_output=True,
        timeout=60,
        check=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    assert b"fb-02" in done.stdout
    assert done.stdout.isascii()


def test_the_program_is_interrupted_as_a_whole() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "motet", "demo", "--ttft", "600", "--limit", "3"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("Replies are simulated")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert "3 of 3 items cancelled" in out
