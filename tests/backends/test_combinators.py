"""Backends made of backends: who is asked when, who answers, and what becomes of the others."""

from typing import Any

import anyio
import pytest

import motet
from backends.combined import COMBINED
from motet import (
    Backend,
    BackendTimeout,
    BackendUnavailable,
    BalancedBackend,
    ConnectionLost,
    FallbackBackend,
    HedgedBackend,
    ModelOption,
    ReplyError,
    RetryPolicy,
    StatusError,
    TruncatedReply,
)
from motet.testing import NEVER, TRUNCATED, Finish, ReplyOutcome, ScriptedBackend, Thinking
from virtual_time import on_virtual_time

pytestmark = [pytest.mark.anyio, on_virtual_time]

CANCELLED = ReplyOutcome.CANCELLED


async def ask(backend: Backend, **options: Any) -> motet.ModelOutputThunk[Any]:
    async with motet.open_session(backend) as m:
        thunk = await m.ainstruct("go", strategy=None, **options)
        await thunk
        return thunk


def scripted(*steps: Any, name: str = "m", **options: Any) -> ScriptedBackend:
    """Return a backend that gives the same reply to every request."""
    return ScriptedBackend(lambda _: list(steps), name, **options)


def outcomes(backend: ScriptedBackend) -> list[ReplyOutcome]:
    return [each.outcome for each in backend.requests]


# The next one.


async def test_the_next_one_is_asked_when_one_fails_and_the_facts_say_so() -> None:
    first, second = scripted(ConnectionLost("broke"), name="a"), scripted("Yes.", name="b")
    thunk = await ask(FallbackBackend([first, second]))
    assert thunk.value == "Yes."
    facts = thunk.generation
    assert (facts.answered_by, facts.model, facts.provider) == ("scripted::b", "b", "scripted")
    assert [each.message for each in facts.failures or ()] == ["broke"]
    assert facts.usage is not None
    assert facts.usage["completion_tokens"] == 1


async def test_a_first_token_that_is_late_is_a_reason_to_ask_the_next() -> None:
    first, second = scripted(NEVER), scripted(0.5, "Yes.")
    began = anyio.current_time()
    thunk = await ask(FallbackBackend([first, second], first_token_timeout=2))
    assert thunk.value == "Yes."
    assert anyio.current_time() - began == pytest.approx(2.5)
    assert outcomes(first) == [CANCELLED]
    assert first.requests[0].ended_at == pytest.approx(second.requests[0].asked_at)
    assert isinstance((thunk.generation.failures or ())[0], BackendTimeout)


async def test_a_first_token_in_time_takes_the_limit_away() -> None:
    first, second = scripted(1, Thinking("Hm."), 50, "Yes."), scripted("No.")
    thunk = await ask(FallbackBackend([first, second], first_token_timeout=2))
    assert (thunk.value, thunk.thinking) == ("Yes.", "Hm.")
    assert second.requests == []


async def test_after_the_first_token_an_error_is_the_error_of_the_reply() -> None:
    first, second = scripted("Ye", TRUNCATED), scripted("No.")
    with pytest.raises(TruncatedReply) as caught:
        await ask(FallbackBackend([first, second]))
    assert caught.value.partial == "Ye"
    assert second.requests == []


async def test_errors_that_are_not_named_are_raised() -> None:
    first, second = scripted(ReplyError("no memory")), scripted("Yes.")
    with pytest.raises(ReplyError):
        await ask(FallbackBackend([first, second], on=(ConnectionLost, StatusError)))
    assert second.requests == []


async def test_when_all_fail_the_last_error_has_the_others() -> None:
    backends = [scripted(ReplyError(str(number)), name=f"m{number}") for number in range(3)]
    with pytest.raises(ReplyError) as caught:
        await ask(FallbackBackend(backends))
    assert (caught.value.message, caught.value.model) == ("2", "m2")
    assert [(each.message, each.model) for each in caught.value.earlier] == [
        ("0", "m0"),
        ("1", "m1"),
    ]


async def test_each_has_its_own_options_and_retries_and_the_whole_has_some_too() -> None:
    policy = RetryPolicy(retries=1, jitter=0)
    first = scripted(ConnectionLost("x"), retries=policy, model_options={ModelOption.SEED: 1})
    second = ScriptedBackend([ConnectionLost("y"), "Yes."], model_options={ModelOption.SEED: 2})
    thunk = await ask(
        FallbackBackend([first, second]),
        model_options={ModelOption.RETRIES: policy, ModelOption.TEMPERATURE: 0},
    )
    assert thunk.value == "Yes."
    assert (len(first.requests), len(second.requests)) == (4, 2)
    assert first.requests[0].options[ModelOption.SEED] == 1
    assert second.requests[0].options[ModelOption.TEMPERATURE] == 0


async def test_a_backends_own_option_for_retries_counts_in_a_combination_too() -> None:
    policy = RetryPolicy(retries=1, jitter=0)
    only = ScriptedBackend(
        [ConnectionLost("x"), "Yes."], model_options={ModelOption.RETRIES: policy}
    )
    thunk = await ask(FallbackBackend([only]))
    assert (thunk.value, len(only.requests)) == ("Yes.", 2)


async def test_a_call_may_use_the_names_of_any_of_the_backends() -> None:
    combined = FallbackBackend(
        [motet.OllamaModelBackend("m"), motet.OpenAIBackend("m", base_url="http://127.0.0.1:1/v1")],
        model_options={"num_predict": 100, ModelOption.SEED: 1},
    )
    assert combined.model_options == {ModelOption.MAX_NEW_TOKENS: 100, ModelOption.SEED: 1}
    assert combined.normalised({"max_completion_tokens": 5, "seed": 9, "stream": True}) == {
        ModelOption.MAX_NEW_TOKENS: 5,
        ModelOption.SEED: 9,
        ModelOption.STREAM: True,
    }
    with pytest.raises(TypeError, match="MAX_NEW_TOKENS"):
        combined.normalised({"num_predict": "many"})


@pytest.mark.parametrize("depth", [1, 2])
async def test_a_combination_does_not_share_limits_with_its_backends(depth: int) -> None:
    limits = motet.Limits(max_in_flight=4)
    inner: Backend = ScriptedBackend(["Yes."], limits=limits)
    for _ in range(depth - 1):
        inner = FallbackBackend([inner])
    with pytest.raises(ValueError, match="would wait for itself"):
        FallbackBackend([inner], limits=limits)
    assert FallbackBackend([inner], limits=motet.Limits(max_in_flight=4)).limits is not limits


async def test_a_reply_without_text_is_an_answer() -> None:
    thunk = await ask(
        FallbackBackend([scripted(1, Finish(finish_reason="length")), scripted("No.")])
    )
    assert thunk.value == ""
    assert thunk.generation.finish_reasons == ["length"]


@pytest.mark.parametrize("how", COMBINED)
async def test_the_time_of_the_first_token_is_that_of_the_backend_that_answers(how: str) -> None:
    # This one tells of it before the text that it is about.
    thunk = await ask(COMBINED[how](scripted(1, "Yes.", 1)))
    assert thunk.generation.ttfb_ms == pytest.approx(1000)


@pytest.mark.parametrize("how", COMBINED)
async def test_of_a_failure_before_which_nothing_came_nobody_has_answered(how: str) -> None:
    async with motet.open_session(COMBINED[how](scripted(1, ReplyError("x")))) as m:
        thunk = await m.ainstruct("go", strategy=None)
        with pytest.raises(ReplyError):
            await thunk
    facts = thunk.generation
    assert (facts.answered_by, facts.ttfb_ms, facts.usage) == (None, None, None)


# A second one.


async def test_a_second_request_is_sent_after_the_delay_and_the_loser_is_closed_at_once() -> None:
    first, second = scripted(NEVER, name="a"), scripted(0.5, "Y", 1, "es.", name="b")
    began = anyio.current_time()
    thunk = await ask(HedgedBackend([first, second], delay=2))
    assert thunk.value == "Yes."
    assert anyio.current_time() - began == pytest.approx(3.5)
    assert outcomes(first) == [CANCELLED]
    ended = first.requests[0].ended_at
    assert ended is not None
    assert ended - began == pytest.approx(2.5)
    assert thunk.generation.answered_by == "scripted::b"


async def test_one_that_is_quick_enough_has_no_second() -> None:
    first, second = scripted(1, "Y", 5, "es."), scripted("No.")
    assert (await ask(HedgedBackend([first, second], delay=2))).value == "Yes."
    assert second.requests == []


async def test_the_first_may_still_win() -> None:
    first, second = scripted(3, "Yes."), scripted(5, "No.")
    assert (await ask(HedgedBackend([first, second], delay=2))).value == "Yes."
    assert outcomes(second) == [CANCELLED]


async def test_one_that_begins_and_breaks_is_not_replaced_and_no_text_is_mixed() -> None:
    first, second = scripted(3, "Ye", 1, TRUNCATED), scripted(1, 0, "No", 9, ".")
    with pytest.raises(TruncatedReply) as caught:
        await ask(HedgedBackend([first, second], delay=9))
    assert caught.value.partial == "Ye"
    assert second.requests == []


async def test_two_that_begin_at_the_same_time_give_one_text() -> None:
    first, second = scripted(2, "aa", "bb"), scripted(1, "cc", "dd")
    thunk = await ask(HedgedBackend([first, second], delay=1))
    assert thunk.value in ("aabb", "ccdd")


async def test_when_all_that_were_asked_have_failed_the_next_does_not_wait() -> None:
    first, second = scripted(1, ConnectionLost("x")), scripted("Yes.")
    began = anyio.current_time()
    thunk = await ask(HedgedBackend([first, second], delay=60))
    assert thunk.value == "Yes."
    assert anyio.current_time() - began == pytest.approx(1)
    assert [each.message for each in thunk.generation.failures or ()] == ["x"]


async def test_when_all_hedged_fail_the_last_error_has_the_others() -> None:
    hedged = HedgedBackend([scripted(1, ReplyError(name)) for name in "abc"], delay=0.1)
    with pytest.raises(ReplyError) as caught:
        await ask(hedged)
    told = [*caught.value.earlier, caught.value]
    assert [each.message for each in told] == ["a", "b", "c"]


async def test_a_percentile_of_what_was_seen_becomes_the_delay() -> None:
    hedged = HedgedBackend([scripted(1, "Yes."), scripted("No.")], delay=9, percentile=90)
    for _ in range(10):
        assert hedged.delay == 9
        await ask(hedged)
    assert hedged.delay == pytest.approx(1)


# The one with the least to do.


async def test_calls_go_to_the_least_busy_one() -> None:
    backends = [scripted(10, "x") for _ in range(3)]
    async with motet.open_session(BalancedBackend(backends)) as m:
        thunks = [await m.ainstruct("go", strategy=None) for _ in range(9)]
        await motet.wait_for_all_mots(thunks)
    assert [each.most_open_replies for each in backends] == [3, 3, 3]


async def test_one_that_fails_rests_and_is_probed_by_one_call() -> None:
    answers: dict[str, Any] = {"a": BackendUnavailable("down")}
    sick = ScriptedBackend(lambda _: [1, answers["a"]], "a")
    well = scripted(1, "Yes.", name="b")
    balanced = BalancedBackend([sick, well], rest=60)
    for _ in range(5):
        assert (await ask(balanced)).value == "Yes."
    assert (len(sick.requests), len(well.requests)) == (1, 5)
    await anyio.sleep(60)
    async with motet.open_session(balanced) as m:
        thunks = [await m.ainstruct("go", strategy=None) for _ in range(4)]
        await motet.wait_for_all_mots(thunks)
    assert len(sick.requests) == 2
    await anyio.sleep(60)
    await ask(balanced)
    assert len(sick.requests) == 2  # the rest has doubled
    await anyio.sleep(60)
    answers["a"] = "Well again."
    assert (await ask(balanced)).value == "Well again."
    assert {(await ask(balanced)).value for _ in range(4)} == {"Well again.", "Yes."}


async def test_a_server_may_ask_for_a_longer_rest() -> None:
    busy = scripted(StatusError("busy", status=429, retry_after=300.0))
    balanced = BalancedBackend([busy, scripted("Yes.")], rest=1)
    await ask(balanced)
    await anyio.sleep(290)
    await ask(balanced)
    assert len(busy.requests) == 1
    await anyio.sleep(20)
    await ask(balanced)
    assert len(busy.requests) == 2


async def test_when_all_rest_no_call_is_refused() -> None:
    backends = [scripted(BackendUnavailable(name)) for name in "ab"]
    balanced = BalancedBackend(backends)
    for number in (1, 2):
        with pytest.raises(BackendUnavailable) as caught:
            await ask(balanced)
        assert len(caught.value.earlier) == 1
        assert [len(each.requests) for each in backends] == [number, number]


async def test_what_is_the_requests_own_fault_is_not_tried_elsewhere() -> None:
    first, second = scripted(StatusError("bad", status=400)), scripted("Yes.")
    with pytest.raises(StatusError):
        await ask(BalancedBackend([first, second]))
    assert second.requests == []


async def test_a_call_that_is_cancelled_counts_as_nothing() -> None:
    backend = scripted(NEVER)
    balanced = BalancedBackend([backend, scripted("Yes.")])
    async with motet.open_session(balanced) as m:
        thunk = await m.ainstruct("go", strategy=None)
        await anyio.sleep(1)
        await thunk.cancel_generation()
    assert outcomes(backend) == [CANCELLED]
    assert {(await ask(balanced)).value for _ in range(1)} == {"Yes."}


# All of them.


async def test_combinations_can_be_combined() -> None:
    down = scripted(BackendUnavailable("down"), name="a")
    stalled, well = scripted(NEVER, name="b"), scripted(1, "Yes.", name="c")
    whole = FallbackBackend(
        [BalancedBackend([down]), HedgedBackend([stalled, FallbackBackend([well])], delay=2)]
    )
    thunk = await ask(whole)
    assert thunk.value == "Yes."
    assert thunk.generation.answered_by == "scripted::c"
    assert [each.message for each in thunk.generation.failures or ()] == ["down"]
    assert outcomes(stalled) == [CANCELLED]


async def test_a_stream_comes_through_as_it_arrives() -> None:
    hedged = HedgedBackend([scripted("a", 1, "b", 1, "c")], delay=5)
    async with motet.open_session(hedged) as m:
        thunk = await m.ainstruct("go", strategy=None)
        began = anyio.current_time()
        seen = [(delta, anyio.current_time() - began) async for delta in thunk]
    assert [delta for delta, _ in seen] == ["a", "b", "c"]
    assert [when for _, when in seen] == pytest.approx([0, 1, 2])


async def test_a_text_as_it_is_goes_through() -> None:
    fallback = FallbackBackend([scripted(ReplyError("x")), scripted("Yes.")])
    thunks = await fallback.generate_from_raw(["Once"])
    assert [each.value for each in thunks] == ["Yes."]


@pytest.mark.parametrize("make", [FallbackBackend, BalancedBackend])
async def test_arguments_that_make_no_sense_are_refused(make: Any) -> None:
    backend = scripted("x")
    with pytest.raises(ValueError, match="there is none"):
        make([])
    with pytest.raises(TypeError, match="'ollama'"):
        make([backend, "ollama"])
    with pytest.raises(ValueError, match="first_token_timeout should be above 0"):
        make([backend], first_token_timeout=0)
    with pytest.raises(TypeError, match="on should be"):
        FallbackBackend([backend], on=ValueError)  # type: ignore[arg-type] # that is the point
    with pytest.raises(ValueError, match="percentile"):
        HedgedBackend([backend], delay=1, percentile=100)
    with pytest.raises(ValueError, match="delay should be at least 0"):
        HedgedBackend([backend], delay=-1)
