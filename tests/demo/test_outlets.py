"""Where results go: what is printed to which stream, and when."""

import json
import sys

import anyio
import pytest

from demo.boards import make_board
from demo.terminals import Pipe, Terminal
from motet.demo._outlets import JsonOutlet, Outlet, TableOutlet


def settled_ids(out: Pipe | Terminal) -> list[str]:
    return [json.loads(line)["id"] for line in out.getvalue().splitlines()]


def test_a_table_is_plain_where_nobody_looks() -> None:
    out, err = Pipe(), Terminal()
    outlet = TableOutlet(out, err)
    outlet.announce("Replies are simulated.")
    board = make_board()
    board.cancel_rest()
    outlet.finish(board)
    lines = out.getvalue().splitlines()
    assert lines[0] == "Replies are simulated."
    assert lines[1].split()[:3] == ["id", "sentiment", "summary"]
    assert lines[-1].startswith("4 calls, 2.5 s of model time")
    assert "1 of 3 items failed:" in lines
    assert "1 of 3 items cancelled" in lines
    assert "\x1b" not in out.getvalue()
    assert err.getvalue() == ""


def test_a_table_is_coloured_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "140")
    out = Terminal()
    TableOutlet(out, Terminal()).finish(make_board())
    assert "\x1b[32mpositive" in out.getvalue()
    assert "BackendUnavailable: nobody there" in out.shown


def test_without_rich_a_terminal_gets_a_plain_table_and_a_hint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)  # an import of it fails
    out, err = Terminal(), Terminal()
    TableOutlet(out, err).finish(make_board())
    assert "\x1b" not in out.getvalue()
    assert "pip install 'motet[cli]'" in err.getvalue()


def test_a_character_that_the_encoding_lacks_does_not_end_the_run() -> None:
    out = Pipe("ascii")
    TableOutlet(out, Pipe()).finish(make_board())
    assert "fb-1" in out.getvalue()


@pytest.mark.anyio
async def test_json_lines_come_in_order_each_as_soon_as_it_can() -> None:
    board = make_board()
    first, second, third = board.rows
    for row in board.rows:
        row.settled = anyio.Event()
    out = Pipe()
    outlet = JsonOutlet(out, Pipe())
    async with anyio.create_task_group() as task_group:
        task_group.start_soon(outlet.write, board)
        second.settle(None)
        await anyio.wait_all_tasks_blocked()
        assert settled_ids(out) == []
        first.settle(None)
        await out.wait_lines(2)
        third.settle(None)
    assert settled_ids(out) == ["fb-1", "fb-2", "fb-3"]
    outlet.finish(board)
    assert settled_ids(out) == ["fb-1", "fb-2", "fb-3"]


@pytest.mark.anyio
async def test_rows_that_were_not_written_in_time_are_written_at_the_end() -> None:
    board = make_board()
    out = Pipe()
    outlet = JsonOutlet(out, Pipe())
    async with anyio.create_task_group() as task_group:
        task_group.start_soon(outlet.write, board)
        await out.wait_lines(2)
        task_group.cancel_scope.cancel()
    board.cancel_rest()
    outlet.finish(board)
    assert settled_ids(out) == ["fb-1", "fb-2", "fb-3"]


@pytest.mark.anyio
async def test_a_broken_pipe_is_reported_while_the_run_goes_on() -> None:
    board = make_board()
    board.cancel_rest()
    out = Pipe(breaks_after=1)
    with pytest.raises(BrokenPipeError):
        await JsonOutlet(out, Pipe()).write(board)
    assert settled_ids(out) == ["fb-1"]


def test_json_is_ascii_where_the_encoding_is_not_unicode() -> None:
    board = make_board()
    board.rows[0].summary = "né 日"
    board.cancel_rest()
    narrow, wide = Pipe("latin-1"), Pipe("utf-8")
    JsonOutlet(narrow, Pipe()).finish(board)
    JsonOutlet(wide, Pipe()).finish(board)
    assert narrow.getvalue().isascii()
    assert "né 日" in wide.getvalue()
    assert json.loads(narrow.getvalue().splitlines()[0])["summary"] == "né 日"


@pytest.mark.parametrize("err", [Pipe(), Terminal()])
def test_json_lines_have_standard_output_to_themselves(err: Pipe | Terminal) -> None:
    out = Pipe()
    outlet = JsonOutlet(out, err)
    outlet.announce("Replies are simulated.")
    assert out.getvalue() == ""
    assert ("simulated" in err.getvalue()) is err.isatty()


@pytest.mark.anyio
async def test_progress_is_drawn_where_it_disturbs_nobody() -> None:
    board = make_board()

    async def drawing_of(outlet: Outlet, stream: Pipe | Terminal) -> str:
        with anyio.move_on_after(0.05):
            await outlet.draw(board)
        return stream.getvalue()

    out, pipe, err = Terminal(), Pipe(), Terminal()
    assert "1 done" in await drawing_of(TableOutlet(out, err), out)
    assert await drawing_of(TableOutlet(pipe, err), pipe) == ""
    assert err.getvalue() == ""
    assert "1 done" in await drawing_of(JsonOutlet(pipe, err), err)
    assert pipe.getvalue() == ""
    err = Terminal()
    assert await drawing_of(JsonOutlet(Terminal(), err), err) == ""
    assert await drawing_of(JsonOutlet(pipe, pipe), pipe) == ""


def test_rich_is_not_imported_for_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    TableOutlet(Pipe(), Pipe()).finish(make_board())
