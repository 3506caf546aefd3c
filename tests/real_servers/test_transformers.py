"""What only `transformers serve` does: it has loaded one model and answers for no other."""

import pytest

from motet import StatusError, open_session

from .conftest import Tell
from .servers import RealServer

pytestmark = pytest.mark.anyio


async def test_what_the_server_refuses_is_said_in_its_words(server: RealServer, tell: Tell) -> None:
    async with open_session("openai", "another", base_url=f"{server.url}/v1") as m:
        with pytest.raises(StatusError, match="pinned") as caught:
            await m.ainstruct("Who are you?", await_result=True)
        assert caught.value.status == 400
        tell("its words", caught.value.message[:120])
