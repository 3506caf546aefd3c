"""Bugs that are planted, each of a kind that programs have, and found on both loops."""

from collections import deque
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from motet.testing import (
    Leak,
    SweepFailed,
    Way,
    cancel_everywhere,
    on_both_loops,
    serve_in_thread,
)


def problems(failed: SweepFailed) -> str:
    return "\n".join(each for finding in failed.report.findings for each in finding.problems)


def test_a_reader_that_loses_text() -> None:
    arrived = ["one ", "two ", "three"]
    source: deque[str] = deque()
    shown: list[str] = []

    async def scenario() -> None:
        source.extend(arrived)
        while source:
            piece = source.popleft()
            await anyio.sleep(1)  # cancelled here, the piece is nowhere
            shown.append(piece)

    async def nothing_is_lost() -> None:
        found = [*shown, *source]
        shown.clear()
        source.clear()
        assert found == arrived, f"{found} is left of {arrived}"

    with pytest.raises(SweepFailed) as caught:
        on_both_loops(cancel_everywhere, scenario, after=nothing_is_lost)
    assert "['two ', 'three'] is left of" in problems(caught.value)

    async def careful() -> None:
        source.extend(arrived)
        while source:
            await anyio.sleep(1)
            shown.append(source.popleft())

    on_both_loops(cancel_everywhere, careful, after=nothing_is_lost)


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_a_connection_that_is_forgotten(loop: str) -> None:
    with serve_in_thread() as server:
        host, port = server.url.removeprefix("http://").split(":")
        kept: list[Any] = []

        def connections() -> list[Leak]:
            return [Leak("connection", "at the server")] if server.connections else []

        async def forgetful() -> None:
            stream = await anyio.connect_tcp(host, int(port))
            kept.append(stream)
            server.block_until(lambda: server.connections > 0)
            await anyio.lowlevel.checkpoint()  # cancelled here, nobody closes it
            await stream.aclose()
            server.block_until(lambda: not server.connections)

        async def forget() -> None:
            while kept:
                await anyio.aclose_forcefully(kept.pop())
            server.block_until(lambda: not server.connections)

        with pytest.raises(SweepFailed) as caught:
            cancel_everywhere(
                forgetful,
                loop=lambda: (loop, {}),
                ways=[Way.SCOPE],
                after=forget,
                probes=[connections],
            )
    assert "connection at the server" in problems(caught.value)
    places = [finding.checkpoint for finding in caught.value.report.findings]
    line = forgetful.__code__.co_firstlineno + 4
    assert any(place is not None and f":{line} (forgetful)" in place.where for place in places)
