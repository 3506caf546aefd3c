"""What only llama.cpp's server does: it holds a reply to a grammar, and minds its context."""

import pydantic
import pytest

from motet import ModelOption, StatusError

from .conftest import Tell
from .servers import RealServer

pytestmark = pytest.mark.anyio


class Verdict(pydantic.BaseModel):
    good: bool


async def test_a_format_constrains_even_a_babbler(server: RealServer) -> None:
    async with server.session() as m:
        thunk = await m.ainstruct(
            "Is it good?",
            format=Verdict,
            model_options={ModelOption.MAX_NEW_TOKENS: 200},
            await_result=True,
        )
        assert isinstance(Verdict.model_validate_json(str(thunk)).good, bool)


async def test_what_the_server_refuses_is_said_in_its_words(server: RealServer, tell: Tell) -> None:
    async with server.session() as m:
        with pytest.raises(StatusError, match="context") as caught:
            await m.ainstruct("word " * 40_000, await_result=True)
        assert caught.value.status == 400
        tell("its words", caught.value.message[:120])
