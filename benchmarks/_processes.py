"""
The child processes of a run: one load server, and workers that take the samples.

A sample is taken in a process of its own for each pair of library and loop, so that no
library pays for the memory, the imports or the garbage of another; the processes live
through all rounds of a measurement, so that rounds can be interleaved on warm code.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from benchmarks._pacing import Pacing

Sample = dict[str, float]
Param = float | str | bool

# A contender that is a hundred times slower than it should be is told so, not waited for.
SAMPLE_TIMEOUT: Final = 300.0  # seconds


class SampleFailed(Exception):
    """A worker could not take a sample; the message is its last words."""


@attrs.frozen
class Job:
    """What a worker is asked for."""

    measure: str  # the module that has the `sample` function
    contender: str
    loop: str
    url: str
    params: Mapping[str, Param]

    def number(self, name: str) -> float:
        """A parameter that is a number."""
        return float(self.params[name])

    def count(self, name: str) -> int:
        """A parameter that is a whole number."""
        return int(float(self.params[name]))


class Control:
    """The load server's own view, asked over a connection that is kept."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc)

    def stats(self) -> dict[str, Any]:
        """Return the counters of the server; blocks for some milliseconds."""
        return self._ask("GET", "/stats")

    def reset(self) -> None:
        """Let the server forget what it counted."""
        self._ask("POST", "/reset")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _ask(self, method: str, path: str) -> dict[str, Any]:
        self._connection.request(method, path)
        answer: dict[str, Any] = json.loads(self._connection.getresponse().read())
        return answer


@contextmanager
def running_server() -> Iterator[str]:
    """Run a load server for the block; yields its URL."""
    command = [sys.executable, "-m", "benchmarks.load_server", "--until-stdin-closes"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin and process.stdout
    with process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


class Worker:
    """A child that takes one sample at a time."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "benchmarks._worker"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def take(self, job: Job) -> Sample:
        """Take one sample; blocks until it is there.

        Raises:
            SampleFailed: the sample raised, or the worker died.
        """
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(attrs.asdict(job)) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SampleFailed(f"the worker ended with {self._process.wait()}")
        record = json.loads(answer)
        if "failed" in record:
            raise SampleFailed(record["failed"])
        sample: Sample = record["sample"]
        return sample

    def close(self) -> None:
        """End the child and wait for it."""
        assert self._process.stdin and self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def model_for(**pacing: Any) -> str:
    """The model name for a `Pacing` with these fields."""
    return Pacing(**pacing).model
