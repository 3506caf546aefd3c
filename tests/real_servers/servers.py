"""
Servers that nobody here wrote, each serving a tiny model over OpenAI's protocol.

Each says in its own way whether it is at work, which is how one sees that it has stopped.
"""

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import attrs
import pytest

from motet import open_session
from motet._http.client import shared_transport
from motet._runtime.host import current_host

_HERE: Final = Path(__file__).parent


@attrs.frozen
class RealServer:
    """A server that is listening.

    Attributes:
        url: its address, without ``/v1``.
        model: what it calls the model.
        slots: how many replies it makes at a time.
        busy: how many it is making, as it says itself.
        may_go_on: why it sometimes goes on with a reply whose connection it has seen closed;
            empty if it does not.
    """

    url: str
    model: str
    slots: int
    busy: Callable[[], Awaitable[int]]
    may_go_on: str = ""

    def session(self, **more: Any) -> open_session:
        return open_session("openai", self.model, base_url=f"{self.url}/v1", **more)

    async def wait_for(self, busy: int) -> float:
        """Wait until it makes so many replies; return the seconds it took."""
        began = time.perf_counter()
        with anyio.move_on_after(20) as limit:
            await self._until(busy)
        if limit.cancelled_caught:
            # Only one that has been hung up on has an excuse: asked while it still goes on.
            leased = shared_transport(current_host()).leased
            if leased or not self.may_go_on:
                raise TimeoutError(f"not {busy} replies after 20 s; {leased} connections are open")
            with anyio.fail_after(100):
                await self._until(busy)  # it would be in the way of the next test
            pytest.xfail(self.may_go_on)
        return time.perf_counter() - began

    async def _until(self, busy: int) -> None:
        while await self.busy() != busy:  # noqa: ASYNC110 - the server tells nobody
            await anyio.sleep(0.002)


@contextmanager
def llama_cpp(folder: Path) -> Iterator[RealServer]:
    """Run llama.cpp's own server; it says what its slots do."""
    from .gguf_model import write_gguf_model

    model = folder / "tiny.gguf"
    write_gguf_model(model)
    program = [sys.executable, str(_HERE / "llama_server.py"), str(model)]
    with _running(program, "listening: ") as (_, url):

        async def busy() -> int:
            slots = json.loads(await anyio.to_thread.run_sync(_fetched, f"{url}/slots"))
            return sum(slot["is_processing"] for slot in slots)

        yield RealServer(url, "tiny", 4, busy)


@contextmanager
def transformers(folder: Path) -> Iterator[RealServer]:
    """Run `transformers serve`; it makes one reply at a time, and its CPU time tells when.

    The variable ``MOTET_TRANSFORMERS`` names the folder of its programs.
    """
    programs = Path(os.environ["MOTET_TRANSFORMERS"])
    model = str(folder / "tiny")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    subprocess.run(
        [programs / "python", "-m", f"{_HERE.name}.transformers_model", model],
        cwd=_HERE.parent,
        env=environment,
        check=True,
    )
    arguments = ["--host", "127.0.0.1", "--port", "0", "--device", "cpu", "--log-level", "info"]
    program = [str(programs / "transformers"), "serve", model, *arguments]
    with _running(program, "Uvicorn running on ", environment) as (process, url):

        async def busy() -> int:
            before = _cpu_seconds(process)
            await anyio.sleep(0.1)
            return int(_cpu_seconds(process) - before > 0.03)

        # As its code reads, its answers go through a middleware of Starlette's, where the task
        # that sends them waits once for the model and once for the connection. Only if it is
        # cancelled during the first does it tell the model; one hang-up of a few hundred comes
        # during the second.
        yield RealServer(url, model, 1, busy, "the server did not tell its model of a hang-up")


@contextmanager
def _running(
    program: list[str], announcement: str, environment: dict[str, str] | None = None
) -> Iterator[tuple[int, str]]:
    """Run a program; yield its process id, and the address that it says after *announcement*."""
    with subprocess.Popen(
        program,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        said: list[str] = []
        for line in process.stdout:
            said.append(line)
            if announcement in line:
                break
        else:
            raise RuntimeError("the server did not start; it said:\n" + "".join(said))
        # What it says later is for nobody, but it must not wait to be read.
        drain = threading.Thread(target=deque, args=(process.stdout, 0))
        drain.start()
        try:
            yield process.pid, said[-1].partition(announcement)[2].split()[0]
        finally:
            process.terminate()
            drain.join()


def _fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as response:
        data: bytes = response.read()
    return data


def _cpu_seconds(process: int) -> float:
    # Linux's proc_pid_stat(5): the name, which may have spaces, is in parentheses.
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
