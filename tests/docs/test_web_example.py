"""The web example, under a server for asyncio and one for Trio: a browser that leaves stops the model."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx2
import pytest

APP: Final = Path(__file__).parents[2] / "examples" / "web" / "app.py"

SERVERS: Final = {
    "uvicorn": ["uvicorn", "--app-dir", str(APP.parent), "--port", "{port}", "app:app"],
    "hypercorn-trio": [
        "hypercorn",
        "--worker-class",
        "trio",
        "--bind",
        "127.0.0.1:{port}",
        f"{APP}:app",
    ],
}


@pytest.fixture(params=SERVERS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    command = [word.format(port=port) for word in SERVERS[request.param]]
    with subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        try:
            _wait(lambda: _serving(f"http://127.0.0.1:{port}") == 0)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.communicate(timeout=20)


def _serving(url: str) -> int | None:
    try:
        count: int = httpx2.get(f"{url}/serving").json()
    except httpx2.TransportError:
        return None
    return count


def _wait(condition: object, within: float = 30.0) -> None:
    assert callable(condition)
    until = time.monotonic() + within
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)  # noqa: TID251 - there is no event loop here


def test_a_stream_is_repaired_and_one_that_is_left_stops(url: str) -> None:
    assert "<title>A stream that is checked" in httpx2.get(url).text
    names = []
    shown: list[str] = []
    with httpx2.stream("GET", f"{url}/answer?repair=go-on", timeout=30) as response:
        for line in response.iter_lines():
            if line.startswith("event: "):
                names.append(line.removeprefix("event: "))
            elif line.startswith("data: "):
                event = json.loads(line.removeprefix("data: "))
                shown += [event["text"]] if names[-1] == "chunk" else []
    assert names[-3:] == ["done", "validation", "completed"]
    assert names.count("retry") == 1
    assert " ".join(shown) == event["full_text"]
    assert not any(character.isdigit() for character in event["full_text"])

    with httpx2.stream("GET", f"{url}/answer", timeout=30) as response:
        body = response.iter_bytes()  # kept, or it would hang up here
        next(body)
        assert _serving(url) == 1
    _wait(lambda: _serving(url) == 0)
