"""Law 7. What happened, where, and what had arrived by then; never a group for a single error."""

import pickle
from typing import Any

import anyio
import pytest

from motet import (
    BackendError,
    BackendTimeout,
    BackendUnavailable,
    ConnectionLost,
    DependencyError,
    GenerationCancelled,
    ModelNotFound,
    ModelOutputThunk,
    MotetError,
    NoValidReply,
    ProtocolError,
    QuorumNotReached,
    first_valid,
    open_session,
    wait_for_all_mots,
    wait_for_quorum,
)
from motet._values.errors import Phase, ReplyError, StatusError, TruncatedReply
from motet._values.options import ModelOption
from motet.testing import (
    Drop,
    EndlessHeaders,
    EndlessLine,
    ErrorLine,
    Garbage,
    ModelServer,
    Refuse,
    Reply,
    Reset,
    Stall,
    Truncate,
)
from thunk.by_hand import scripted

pytestmark = pytest.mark.anyio

Thunk = ModelOutputThunk[Any]
MODEL = "a-model"


def slowly(fault: Any) -> Reply:
    """Two tokens of four, one after the other, and then the fault."""
    return Reply(["a", "b", "c", "d"], fault=fault, tokens_per_second=100)


# What the server does; what we raise, as which builtin error it can be caught, in which
# phase, and what had arrived.
FAILURES: dict[str, tuple[Any, type[BackendError], type[Exception], Phase, str]] = {
    "truncated": (slowly(Truncate(2)), TruncatedReply, BackendError, Phase.STREAMING, "ab"),
    "error line": (slowly(ErrorLine(2)), ReplyError, BackendError, Phase.STREAMING, "ab"),
    "first line is an error": (ErrorLine(0), ReplyError, BackendError, Phase.FIRST_TOKEN, ""),
    "garbage": (slowly(Garbage(2)), ProtocolError, BackendError, Phase.STREAMING, "ab"),
    "garbage with the tokens": (
        Reply(["a", "b"], fault=Garbage(2)),
        ProtocolError,
        BackendError,
        Phase.STREAMING,
        "ab",
    ),
    "endless line": (slowly(EndlessLine(2)), ProtocolError, BackendError, Phase.STREAMING, "ab"),
    "endless headers": (EndlessHeaders(), BackendError, BackendError, Phase.HEADERS, ""),
    "dropped": (slowly(Drop(2)), ConnectionLost, ConnectionError, Phase.STREAMING, "ab"),
    "reset": (slowly(Reset(2)), ConnectionLost, ConnectionError, Phase.STREAMING, "ab"),
    "dropped at once": (Drop(0), ConnectionLost, ConnectionError, Phase.FIRST_TOKEN, ""),
    "silent": (slowly(Stall(2)), BackendTimeout, TimeoutError, Phase.STREAMING, "ab"),
    "busy": (Refuse(503), StatusError, BackendError, Phase.HEADERS, ""),
}


async def failure(server: ModelServer, step: Any, **options: Any) -> BackendError:
    server.script([step])
    limit = 0.5 if isinstance(getattr(step, "fault", None), Stall) else 20
    async with open_session(base_url=server.url, model_id=MODEL) as session:
        thunk = await session.ainstruct(
            "Say something.", model_options={ModelOption.STREAM_TIMEOUT: limit, **options}
        )
        with anyio.fail_after(60), pytest.raises(BackendError) as caught:
            await thunk
    return caught.value


@pytest.mark.parametrize("name", FAILURES)
async def test_an_error_of_the_server_says_what_where_and_what_had_arrived(
    name: str, server: ModelServer
) -> None:
    step, kind, builtin, phase, partial = FAILURES[name]
    error = await failure(server, step)
    assert isinstance(error, kind)
    assert isinstance(error, builtin)
    assert error.backend == "ollama"
    assert error.model == MODEL
    assert error.phase is phase
    assert error.attempt == 1
    assert error.partial == partial
    text = str(error)
    assert MODEL in text
    assert "ollama" in text
    assert str(phase) in text
    assert ("2 characters had arrived" in text) is bool(partial)


@pytest.mark.parametrize("name", FAILURES)
async def test_an_error_can_cross_a_process_boundary_with_its_facts(
    name: str, server: ModelServer
) -> None:
    error = await failure(server, FAILURES[name][0])
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


async def test_a_refusal_keeps_the_status_and_when_to_come_again(server: ModelServer) -> None:
    error = await failure(server, Refuse(429, headers={"retry-after": "7"}))
    assert isinstance(error, StatusError)
    assert (error.status, error.retry_after) == (429, 7.0)


async def test_a_model_that_is_not_there_says_what_to_type(server: ModelServer) -> None:
    error = await failure(server, Refuse(404, error=f"model '{MODEL}' not found"))
    assert isinstance(error, ModelNotFound)
    assert isinstance(error, LookupError)
    assert f"ollama pull {MODEL}" in str(error)


async def test_a_server_that_is_not_there_says_what_to_start() -> None:
    async with open_session(base_url="http://127.0.0.1:9") as session:
        with pytest.raises(BackendUnavailable, match="ollama serve") as caught:
            await (await session.ainstruct("Say something."))
    assert isinstance(caught.value, ConnectionError)
    assert caught.value.phase is Phase.CONNECTING
    assert "http://127.0.0.1:9" in str(caught.value)


async def test_the_error_of_the_http_library_is_the_cause(server: ModelServer) -> None:
    error = await failure(server, slowly(Drop(2)))
    assert error.__cause__ is not None
    assert type(error.__cause__).__module__.startswith(("httpx2", "httpcore2"))
    assert not isinstance(error.__context__, BaseExceptionGroup)


class Own(Exception):
    """An error of the test's."""


async def test_a_single_error_is_never_in_a_group(server: ModelServer) -> None:
    server.script([Stall(1), Stall(1), ErrorLine(1)])
    async with open_session(base_url=server.url) as session:
        thunks = [await session.ainstruct(f"Say {number}.") for number in range(3)]
        with pytest.raises(ReplyError) as caught:
            await wait_for_all_mots(thunks)
    for error in (caught.value, caught.value.__cause__, caught.value.__context__):
        assert not isinstance(error, BaseExceptionGroup)

    with pytest.raises(LookupError, match="out of the block"):
        async with open_session(base_url=server.url) as session:
            await session.ainstruct("Say something.")
            raise LookupError("out of the block")


async def test_a_fan_out_that_fails_keeps_the_errors_of_its_replies() -> None:
    errors = [Own("first"), Own("second")]
    with pytest.raises(NoValidReply, match=r"Own: (first|second)") as none_valid:
        await first_valid([scripted(errors[0]), scripted(errors[1])])
    assert set(none_valid.value.errors) == set(errors)
    with pytest.raises(QuorumNotReached, match="Own") as not_reached:
        await wait_for_quorum([scripted(errors[0]), scripted(errors[1])], 1)
    assert set(not_reached.value.errors) == set(errors)


async def test_a_reply_that_was_given_up_says_why(server: ModelServer) -> None:
    server.script([Reply(["a", "b"], fault=Stall(1))])
    async with open_session(base_url=server.url) as session:
        thunk = await session.ainstruct("Say something.")
        assert await thunk.astream() == "a"
    with pytest.raises(GenerationCancelled, match="session") as caught:
        await thunk
    assert caught.value.partial == "a"
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.reason, again.partial) == (caught.value.reason, "a")


@pytest.mark.parametrize(
    "error",
    [
        GenerationCancelled("why", partial="text"),
        DependencyError("an input failed"),
        NoValidReply("none", [Own("a")]),
        QuorumNotReached("too few", [Own("a")]),
        BackendTimeout("silent", timeout=3.0, phase=Phase.HEADERS, partial="text"),
        StatusError("busy", status=503, retry_after=2.5),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_every_error_pickles(error: MotetError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert repr(again.args) == repr(error.args)
    assert vars(again).keys() == vars(error).keys()
