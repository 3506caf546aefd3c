"""Attempts: which failures are tried again, when, for how long, and what is told of it."""

import datetime
import email.utils
import itertools
import math
import pickle
from typing import Any

import anyio
import pytest

import motet
from motet import (
    BackendError,
    BackendTimeout,
    BackendUnavailable,
    CertificateError,
    ConnectionLost,
    ModelNotFound,
    ModelOption,
    Phase,
    ReplyError,
    RetryPolicy,
    StatusError,
    TruncatedReply,
)
from motet._http.exchange import retry_after, should_retry
from motet.testing import TRUNCATED, ScriptedBackend, Thinking
from virtual_time import on_virtual_time

pytestmark = [pytest.mark.anyio, on_virtual_time]

EXACT = RetryPolicy(retries=3, jitter=0)


async def ask(backend: ScriptedBackend, **options: Any) -> motet.ModelOutputThunk[Any]:
    async with motet.open_session(backend) as m:
        thunk = await m.ainstruct("go", strategy=None, **options)
        await thunk
        return thunk


def lost() -> BackendError:
    return ConnectionLost("the connection broke")


async def test_a_failed_call_stays_failed_unless_retries_are_asked_for() -> None:
    with ScriptedBackend([lost()]) as backend, pytest.raises(ConnectionLost) as caught:
        await ask(backend)
    assert (caught.value.attempt, caught.value.earlier) == (1, ())


@pytest.mark.parametrize(
    ("error", "again"),
    [
        *[(StatusError("x", status=status), True) for status in (408, 409, 425, 429, 500, 503)],
        *[(StatusError("x", status=status), False) for status in (400, 401, 404, 422)],
        (StatusError("x", status=400, should_retry=True), True),
        (StatusError("x", status=503, should_retry=False), False),
        (BackendUnavailable("x"), True),
        (CertificateError("x"), False),
        (ConnectionLost("x"), True),
        (TruncatedReply("x"), True),
        (BackendTimeout("x", phase=Phase.CONNECTING), True),
        (BackendTimeout("x", phase=Phase.FIRST_TOKEN), False),
        (ModelNotFound("x"), False),
        (ReplyError("x"), False),
    ],
)
async def test_what_may_succeed_the_next_time_is_tried_again(
    error: BackendError, again: bool
) -> None:
    backend = ScriptedBackend([error, "Hello."], retries=EXACT)
    if again:
        thunk = await ask(backend)
        assert thunk.value == "Hello."
        assert thunk.generation.failures == (error,)
    else:
        with pytest.raises(type(error)):
            await ask(backend)
        assert len(backend.requests) == 1


async def test_waits_double_up_to_the_longest_and_the_error_tells_of_all_attempts() -> None:
    policy = RetryPolicy(retries=4, first_wait=1, longest_wait=3, jitter=0)
    backend = ScriptedBackend([StatusError(str(n), status=500) for n in range(5)], retries=policy)
    with pytest.raises(StatusError) as caught:
        await ask(backend)
    asked = [each.asked_at for each in backend.requests]
    assert [b - a for a, b in itertools.pairwise(asked)] == pytest.approx([1, 2, 3, 3])
    assert caught.value.attempt == 5
    assert [each.message for each in caught.value.earlier] == ["0", "1", "2", "3"]
    assert [each.attempt for each in caught.value.earlier] == [1, 2, 3, 4]
    assert "attempt 5" in str(caught.value)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert [str(each) for each in copy.earlier] == [str(each) for each in caught.value.earlier]


async def test_chance_only_shortens_a_wait_and_leaves_a_hint_alone() -> None:
    policy = RetryPolicy(first_wait=2, jitter=0.5)
    assert policy.wait_after(lost(), 1, chance=lambda: 0.0) == 2
    assert policy.wait_after(lost(), 1, chance=lambda: 1.0) == 1
    hinted = StatusError("x", status=429, retry_after=7.0)
    assert policy.wait_after(hinted, 1, chance=lambda: 1.0) == 7
    assert policy.wait_after(lost(), 10_000, chance=lambda: 0.0) == policy.longest_wait


async def test_a_server_is_left_alone_for_as_long_as_it_asks() -> None:
    backend = ScriptedBackend([StatusError("x", status=429, retry_after=7.0), "Yes."], retries=1)
    await ask(backend)
    assert backend.requests[1].asked_at - backend.requests[0].asked_at == pytest.approx(7)


async def test_a_server_that_asks_for_too_long_a_wait_is_not_asked_again() -> None:
    backend = ScriptedBackend([StatusError("x", status=429, retry_after=500.0)], retries=2)
    with pytest.raises(StatusError, match=r"not tried again, because it asks to wait 500 s"):
        await ask(backend)


async def test_a_wait_that_does_not_fit_before_the_callers_deadline_is_not_begun() -> None:
    backend = ScriptedBackend([StatusError("x", status=503, retry_after=7.0)], retries=2)
    began = anyio.current_time()
    with anyio.fail_after(5), pytest.raises(StatusError, match=r"7 s does not fit into the 5 s"):
        await ask(backend)
    assert anyio.current_time() - began < 1


async def test_the_callers_deadline_is_known_to_the_attempts_of_a_strategy() -> None:
    backend = ScriptedBackend([StatusError("x", status=503, retry_after=7.0)], retries=2)
    began = anyio.current_time()
    async with motet.open_session(backend) as m:
        with (
            anyio.fail_after(5),
            pytest.raises(StatusError, match=r"7 s does not fit into the 5 s"),
        ):
            await m.ainstruct("go", requirements=["be short"], await_result=True)
    assert anyio.current_time() - began < 1


async def test_a_policy_may_have_a_time_limit_of_its_own() -> None:
    policy = RetryPolicy(retries=9, first_wait=1, longest_wait=1, jitter=0, timeout=2.5)
    backend = ScriptedBackend([lost()] * 9, retries=policy)
    with pytest.raises(ConnectionLost, match="does not fit"):
        await ask(backend)
    assert len(backend.requests) == 3


@pytest.mark.parametrize("seen", ["Hel", Thinking("Well.")])
async def test_what_a_reader_may_have_seen_is_never_asked_for_again(seen: Any) -> None:
    backend = ScriptedBackend([[seen, TRUNCATED]], retries=2)
    with pytest.raises(TruncatedReply):
        await ask(backend)
    assert len(backend.requests) == 1


async def test_a_call_may_have_more_attempts_than_its_backend_or_none() -> None:
    backend = ScriptedBackend([lost(), "Yes.", lost()], retries=None)
    await ask(backend, model_options={ModelOption.RETRIES: 1})
    backend = ScriptedBackend([lost()], retries=5)
    for off in (0, None):
        backend.script([lost()])
        with pytest.raises(ConnectionLost):
            await ask(backend, model_options={ModelOption.RETRIES: off})
    assert len(backend.requests) == 2


@pytest.mark.parametrize("value", [-1, 1.5, "2", True, object()])
async def test_a_number_of_retries_that_makes_no_sense_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="retries should be"):
        ScriptedBackend("x", retries=value)
    with pytest.raises((TypeError, ValueError), match="RETRIES must be"):
        ScriptedBackend("x", model_options={ModelOption.RETRIES: value})


@pytest.mark.parametrize(
    "wrong",
    [{"first_wait": -1}, {"jitter": 2}, {"timeout": "1"}, {"longest_wait": math.nan}],
)
async def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
        RetryPolicy(**wrong)


async def test_hints_come_in_seconds_milliseconds_and_dates() -> None:
    assert retry_after({"retry-after": "7"}) == 7
    assert retry_after({"retry-after": "0.5"}) == 0.5
    assert retry_after({"retry-after": "7", "retry-after-ms": "1500"}) == 1.5
    assert retry_after({"retry-after-ms": "soon"}) is None
    assert retry_after({"retry-after": "9" * 400}) is None
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=60)
    hint = retry_after({"retry-after": email.utils.format_datetime(later, usegmt=True)})
    assert hint is not None
    assert 50 < hint <= 60
    assert should_retry({"x-should-retry": "true"}) is True
    assert should_retry({"x-should-retry": "False"}) is False
    assert should_retry({}) is None


async def test_a_call_that_is_cancelled_between_two_attempts_ends_at_once() -> None:
    backend = ScriptedBackend([lost(), "Yes."], retries=RetryPolicy(first_wait=60, jitter=0))
    async with motet.open_session(backend) as m:
        thunk = await m.ainstruct("go", strategy=None)
        await anyio.sleep(1)
        began = anyio.current_time()
        await thunk.cancel_generation()
        assert anyio.current_time() == began
    assert len(backend.requests) == 1
