"""Tests that belong to other plugins, and must run once, there."""

import anyio
import pytest

ran: list[str] = []


@pytest.mark.anyio
async def test_of_anyio(anyio_backend_name):
    ran.append(f"anyio on {anyio_backend_name}")
    await anyio.sleep(0.01)


@pytest.mark.trio
async def test_of_trio():
    import trio

    ran.append("trio")
    await trio.sleep(0.01)


@pytest.mark.asyncio
async def test_of_asyncio():
    import asyncio

    ran.append("asyncio")
    await asyncio.sleep(0.01)


def test_each_ran_once():
    assert len(ran) == len(set(ran))
