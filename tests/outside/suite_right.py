"""What passes, on both loops."""

import anyio
import pytest
from program import first_answer, patient

import motet
from motet import ReplyError
from motet.testing import NEVER, Pause, Reply

pytestmark = pytest.mark.motet
ran: list[str] = []


async def test_scripted(motet_loop, scripted_backend, motet_session, no_leaks):
    ran.append(motet_loop)
    scripted_backend.script([[Pause(0.01), "one"]], when="short").script([NEVER], when="long")
    assert await first_answer(motet_session, "why?") == "one"
    await scripted_backend.wait_idle()


async def test_virtual(virtual_clock, scripted_backend, motet_session):
    scripted_backend.script([ReplyError("down"), ReplyError("down"), "up"])
    assert await patient(motet_session, "why?") == "up"
    assert virtual_clock.time() == 7200


async def test_server(model_server):
    model_server.script([Reply("one"), Reply("two")])
    async with motet.open_session(base_url=model_server.url) as m:
        assert await first_answer(m, "why?") in ("one", "two")


@pytest.mark.parametrize("seconds", [0, 1])
async def test_cases(seconds, tmp_path, virtual_clock):
    await anyio.sleep(seconds)
    assert tmp_path.exists()


class TestClass:
    async def test_method(self):
        await anyio.sleep(0.01)


def test_each_ran_once():
    assert sorted(ran) == ["asyncio", "trio"]
