"""What every task of the running event loop waits for, in words.

A test that hangs says nothing by itself. `describe_tasks` lists the tasks as a tree, each
with the line of the program that it waits in, and what the other threads do. It may be
called anywhere on the thread of an event loop, also from a signal handler while the loop
itself is asleep.

This module looks at tasks and stops none.
"""

import linecache
import os
import re
import sys
import sysconfig
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

import anyio
import attrs

from .leaks import _POOLS, frames

_MOTET: Final = str(Path(__file__).parents[1])
_TIME_LIMIT: Final = "motet time limit"  # the thread that asks, where it is a plugin that does
_PATHS: Final = sysconfig.get_paths()
_LIBRARIES: Final = (
    *sorted({_PATHS[kind] for kind in ("stdlib", "platstdlib", "purelib", "platlib")}),
    _MOTET,
)


@attrs.frozen
class TaskWait:
    """One task, and where it is.

    Attributes:
        name: how the task is called.
        depth: 0 for a task without a parent that is known.
        running: it does not wait, but keeps the event loop busy.
        where: file, line and function of the innermost frame of the program's own code; if
            it has none, of motet's, and else of any.
        line: the text of that line.
        inside: the same of the innermost frame at all; empty if there is none further in.
    """

    name: str
    depth: int
    running: bool
    where: str
    line: str
    inside: str = ""

    def __str__(self) -> str:
        indent = "    " * self.depth
        what = "keeps the event loop busy" if self.running else "waits"
        text = f"{indent}{self.name} {what} in {self.where}\n{indent}    {self.line}"
        return f"{text}    [{self.inside}]" if self.inside else text


def waiting_tasks(frame: FrameType | None = None) -> list[TaskWait]:
    """Return the tasks of the running event loop, parents before their children.

    Tasks of the event loop's own are left out. Not a checkpoint.

    Args:
        frame: where the running task is; the caller without it.

    Raises:
        RuntimeError: no event loop runs in this thread.
    """
    if frame is None:
        frame = sys._getframe(1)
    tasks = [task for task in _tasks() if not _is_internal(task)]
    children: dict[int | None, list[anyio.TaskInfo]] = {}
    known = {task.id for task in tasks}
    for task in sorted(tasks, key=lambda task: _natural(task.name or "")):
        children.setdefault(task.parent_id if task.parent_id in known else None, []).append(task)
    return list(_tree(children, None, 0, frame))


def describe_tasks(frame: FrameType | None = None) -> str:
    """Say of every task of the running event loop, and of every other thread, where it is.

    Without an event loop, only the threads are listed. Not a checkpoint.

    Args:
        frame: where the running task is; the caller without it.
    """
    if frame is None:
        frame = sys._getframe(1)
    try:
        listed = [str(task) for task in waiting_tasks(frame)]
    except RuntimeError:
        found = _where(_outwards(frame, None))
        listed = [f"no event loop runs; the thread is in {found[0]}\n    {found[1]}"]
    return "\n".join([*listed, *_other_threads()])


def _tasks() -> Sequence[anyio.TaskInfo]:
    # While an asyncio loop sleeps no task is current, and anyio has to be told where it is.
    sniffio: Any = sys.modules.get("sniffio")
    asyncio: Any = sys.modules.get("asyncio")
    if sniffio is None or asyncio is None or asyncio._get_running_loop() is None:
        return anyio.get_running_tasks()
    if sniffio.thread_local.name is not None:
        return anyio.get_running_tasks()  # Trio, as a guest of asyncio perhaps
    token = sniffio.current_async_library_cvar.set("asyncio")
    try:
        return anyio.get_running_tasks()
    finally:
        sniffio.current_async_library_cvar.reset(token)


def _is_internal(task: anyio.TaskInfo) -> bool:
    code: CodeType | None = getattr(task.coro, "cr_code", None)
    if code is None:
        return False
    trio: Any = sys.modules.get("trio")
    return trio is not None and code.co_filename.startswith(str(Path(trio.__file__).parent))


def _tree(
    children: dict[int | None, list[anyio.TaskInfo]],
    parent: int | None,
    depth: int,
    frame: FrameType,
) -> Iterator[TaskWait]:
    for task in children.get(parent, ()):
        stack = frames(task.coro)
        # The frames of a task that is running hang together the other way round.
        running = getattr(task.coro, "cr_running", False)
        if running and stack:
            stack = _outwards(frame, stack[0])
        where, line, inside = _where(stack)
        name = task.name or "a task without a name"
        yield TaskWait(name, depth, running, where, line, inside)
        yield from _tree(children, task.id, depth + 1, frame)


def _outwards(frame: FrameType, root: FrameType | None) -> list[FrameType]:
    """Return the frames from *root* to *frame*, outermost first."""
    found: list[FrameType] = []
    here: FrameType | None = frame
    while here is not None:
        found.append(here)
        if here is root:
            break
        here = here.f_back
    return found[::-1]


def _where(stack: Sequence[FrameType]) -> tuple[str, str, str]:
    if not stack:
        return "code that Python does not show", "", ""
    own = [frame for frame in stack if not is_library(frame)]
    ours = [frame for frame in stack if frame.f_code.co_filename.startswith(_MOTET)]
    shown = (own or ours or stack)[-1]
    line = linecache.getline(shown.f_code.co_filename, shown.f_lineno).strip()
    inside = "" if shown is stack[-1] else _place(stack[-1])
    return _place(shown), line, inside


def is_library(frame: FrameType) -> bool:
    """Tell whether a frame belongs to Python, to an installed package or to motet."""
    path = frame.f_code.co_filename
    return path.startswith((*_LIBRARIES, "<frozen"))


def _place(frame: FrameType) -> str:
    path = frame.f_code.co_filename
    # From the package on, or from here: nobody reads the rest.
    bases = {*_LIBRARIES[:-1], str(Path(_MOTET).parent), str(Path.cwd())}
    for base in sorted(bases, key=len, reverse=True):
        if path.startswith(base + os.sep):
            path = path[len(base) + 1 :]
            break
    return f"{path}:{frame.f_lineno} ({frame.f_code.co_name})"


def _other_threads() -> Iterable[str]:
    here = threading.get_ident()
    known = sys._current_frames()
    for thread in threading.enumerate():
        frame = known.get(thread.ident or 0)
        if frame is None or thread.ident == here or thread.name == _TIME_LIMIT:
            continue
        stack = _outwards(frame, None)
        if thread.name.startswith(_POOLS) and all(map(is_library, stack)):
            continue  # it waits for more work
        where, line, inside = _where(stack)
        within = f"    [{inside}]" if inside else ""
        yield f"thread {thread.name!r} is in {where}\n    {line}{within}"


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key by which "Task-9" comes before "Task-10"."""
    return [(int(part or 0), text) for text, part in re.findall(r"(\D+)(\d*)", name)]
