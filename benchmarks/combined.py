"""
What a fallback, a hedge and a balance cost when the first server stalls.

    python -m benchmarks.combined

The first server takes every request and says nothing. *Beyond the limit* is the time from
the call to the whole reply, less the configured delay and less what the second server
takes when it is asked alone. *Until the hang-up* is the time from the moment at which
the loser was given up, on the caller's clock, to the moment at which its server noticed,
on the server's, which is the same clock. Calls are made one after the other.
"""

from __future__ import annotations

import statistics
import time
from functools import partial
from typing import Final

import anyio

import motet
from motet.testing import ModelServer, Stall, serve_in_thread
from motet.testing import Reply as Answer

CALLS: Final = 50
DELAY: Final = 0.05  # seconds
LOOPS: Final = ("asyncio", "trio")


async def _take(backend: motet.Backend) -> tuple[float, float]:
    """Return when the first delta of a reply was read, and how long all of it took."""
    began = time.monotonic()
    async with motet.open_session(backend) as m:
        thunk = await m.ainstruct("Say hello.", strategy=None)
        first = 0.0
        async for _ in thunk:
            first = first or time.monotonic()
    return first, time.monotonic() - began


def _more_hang_ups(server: ModelServer, than: int) -> bool:
    return len(server.hang_ups) > than


async def _measure(loop: str) -> None:
    with serve_in_thread() as stalled, serve_in_thread(time_to_first_token=0.02) as well:
        stalled.script([Answer("never", fault=Stall(0))] * (3 * CALLS))
        first = motet.OllamaModelBackend("m", base_url=stalled.url)
        second = motet.OllamaModelBackend("m", base_url=well.url)
        alone = statistics.median([(await _take(second))[1] for _ in range(CALLS)])
        for name, backend in {
            "fallback": motet.FallbackBackend([first, second], first_token_timeout=DELAY),
            "hedge": motet.HedgedBackend([first, second], delay=DELAY),
            "balance": motet.BalancedBackend([first, second], first_token_timeout=DELAY, rest=0),
        }.items():
            beyond: list[float] = []
            hang_ups: list[float] = []
            for _ in range(CALLS):
                before = len(stalled.hang_ups)
                begun, took = await _take(backend)
                if len(stalled.replies) == before:
                    continue  # a balance asked the other one
                with anyio.fail_after(10):
                    await stalled.wait_until(partial(_more_hang_ups, stalled, before))
                loser = stalled.hang_ups[-1]
                assert loser.ended_at is not None
                given_up = begun if name == "hedge" else loser.arrived_at + DELAY
                hang_ups.append(loser.ended_at - given_up)
                beyond.append(took - DELAY - alone)
            print(
                f"{loop:8} {name:9} {len(hang_ups):3} calls   beyond the limit: "
                f"median {statistics.median(beyond) * 1e3:6.2f} ms   until the hang-up: "
                f"median {statistics.median(hang_ups) * 1e3:6.2f} ms, "
                f"longest {max(hang_ups) * 1e3:6.2f} ms"
            )


def main() -> None:
    """Print a line for each loop and combination."""
    for loop in LOOPS:
        anyio.run(_measure, loop, backend=loop)


if __name__ == "__main__":
    main()
