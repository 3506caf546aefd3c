"""What fails, on both loops, each for another reason; and the one after them, which passes."""

import anyio
import pytest
from program import first_answer_that_forgets

import motet
from motet.testing import NEVER

pytestmark = pytest.mark.motet


async def test_assertion():
    await anyio.sleep(0.01)
    raise AssertionError("it is wrong")


async def test_forgotten_request(scripted_backend, no_leaks):
    scripted_backend.script(["one"], when="short").script([NEVER], when="long")
    await first_answer_that_forgets(motet.start_session(scripted_backend), "why?")
    await scripted_backend.wait_until(lambda: scripted_backend.open_replies == 1)


async def test_unused_reply(scripted_backend):
    scripted_backend.script(["never asked for"])


async def test_network():
    await anyio.connect_tcp("192.0.2.1", 9)


@pytest.mark.motet(timeout=0.5)
async def test_hangs(scripted_backend, motet_session):
    scripted_backend.script([NEVER])
    await (await motet_session.ainstruct("why?"))


async def test_next():
    await anyio.sleep(0.01)
