"""A fast model first, and a slow one for what it cannot do."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from motet import (
    CBlock,
    ChatContext,
    Instruction,
    MelleaSession,
    ReplyError,
    Requirement,
    SamplingResult,
    SimpleContext,
    SOFAISamplingStrategy,
    simple_validate,
)
from motet.testing import Pause, ScriptedBackend

pytestmark = pytest.mark.anyio


def says(word: str) -> Requirement:
    return Requirement(
        f"It says {word}.", simple_validate(lambda text: word in text, reason=f"no {word}")
    )


A_AND_B = [says("a"), says("b")]


def prompts(backend: ScriptedBackend) -> list[list[str]]:
    return [[message.content for message in each.messages] for each in backend.requests]


async def sampled(
    strategy: SOFAISamplingStrategy, requirements: list[Requirement], **options: Any
) -> SamplingResult[Any]:
    judge = options.pop("judge", None) or ScriptedBackend([])
    return await strategy.sample(
        options.pop("action", Instruction("Do it.")), ChatContext(), judge, requirements, **options
    )


async def test_the_fast_model_is_told_what_was_wrong() -> None:
    fast, slow = ScriptedBackend(["-", "a", "a b"]), ScriptedBackend([])
    result = await sampled(SOFAISamplingStrategy(fast, slow), A_AND_B)
    assert result.success
    assert (result.value, len(result.sample_generations)) == ("a b", 3)
    assert result.result.parsed_repr == "a b"
    last = prompts(fast)[-1]
    assert last[0] == "Do it."
    assert last[1::2] == ["-", "a"]
    assert "* no a\n* no b" in last[2]
    assert "no a" not in last[4]
    assert slow.requests == []


@pytest.mark.parametrize("mode", ["fresh_start", "continue_chat", "best_attempt"])
async def test_the_slow_model_has_one_attempt(mode: Any) -> None:
    fast, slow = ScriptedBackend(["a", "b", "-"]), ScriptedBackend(["slow"])
    result = await sampled(SOFAISamplingStrategy(fast, slow, mode, loop_budget=3), A_AND_B)
    assert not result.success
    assert (result.value, result.result_index) == ("slow", 3)
    (asked,) = prompts(slow)
    match mode:
        case "fresh_start":
            assert asked == ["Do it."]
        case "continue_chat":
            assert asked[:-1] == [*prompts(fast)[-1], "-"]
            assert "* no a\n* no b" in asked[-1]
        case _:
            (text,) = asked
            assert text.startswith("Do it.\n")
            assert "\nb\n" in text  # it meets as much as the first, and came later
            assert "* no a\n" in text


async def test_what_changes_nothing_is_not_said_again() -> None:
    fast, slow = ScriptedBackend("-"), ScriptedBackend(["a b"])
    result = await sampled(SOFAISamplingStrategy(fast, slow, loop_budget=9), A_AND_B)
    assert result.success
    assert (len(fast.requests), len(slow.requests)) == (2, 1)


async def test_the_best_attempt_may_be_at_anything() -> None:
    fast, slow = ScriptedBackend("a"), ScriptedBackend(["a b"])
    strategy = SOFAISamplingStrategy(fast, slow, "best_attempt", requirements=["unused"])
    strategy.requirements = A_AND_B
    result = await sampled(strategy, [], action=CBlock("Do it."))
    assert result.success
    assert prompts(slow)[0][0].startswith("Do it.\n\nThis is an attempt")


@pytest.mark.parametrize(
    ("how", "wanted"),
    [("simple", "write nothing else"), ("first_error", "the first"), ("all_errors", "every error")],
)
async def test_a_judge_is_asked_as_much_as_is_wanted(how: Any, wanted: str) -> None:
    fast, judge = ScriptedBackend(["one", "two"]), ScriptedBackend(["No.\nyes, but why", "Yes."])
    strategy = SOFAISamplingStrategy(
        fast, ScriptedBackend([]), judge_backend=judge, feedback_strategy=how
    )
    session = ScriptedBackend([])
    result = await sampled(strategy, [Requirement("It rhymes.")], judge=session)
    assert session.requests == []
    assert wanted in prompts(judge)[0][0]
    # Whoever asks for one word takes a yes for one, wherever it stands.
    assert result.success
    assert len(fast.requests) == (1 if how == "simple" else 2)
    if how != "simple":
        assert "yes, but why" in prompts(fast)[1][-1]


async def test_a_judge_with_words_of_its_own_is_asked_in_these() -> None:
    class Own(Requirement):
        def format_for_llm(self) -> str:
            return "Is it?"

    judge = ScriptedBackend("yes")
    strategy = SOFAISamplingStrategy(
        ScriptedBackend("x"),
        ScriptedBackend([]),
        judge_backend=judge,
        feedback_strategy="all_errors",
    )
    assert (await sampled(strategy, [Own("r")])).success
    assert prompts(judge) == [["Is it?"]]


async def test_it_needs_a_conversation() -> None:
    strategy = SOFAISamplingStrategy(ScriptedBackend("x"), ScriptedBackend("x"))
    with pytest.raises(AssertionError, match="needs a ChatContext"):
        await strategy.sample(CBlock("x"), SimpleContext(), ScriptedBackend("x"), [])


async def test_an_error_comes_out_and_a_cancellation_stops_the_request() -> None:
    broken = ScriptedBackend([ReplyError("broken")])
    with pytest.raises(ReplyError):
        await sampled(SOFAISamplingStrategy(broken, broken), A_AND_B)
    fast = ScriptedBackend([["a", Pause(100)]])
    with anyio.move_on_after(0.05) as scope:
        await sampled(SOFAISamplingStrategy(fast, fast), A_AND_B)
    assert scope.cancelled_caught
    assert fast.open_replies == 0


async def test_a_session_samples_so() -> None:
    fast, slow = ScriptedBackend("a"), ScriptedBackend(["a b"])
    async with MelleaSession(ScriptedBackend([]), ChatContext()) as m:
        thunk = await m.ainstruct(
            "Do it.", requirements=A_AND_B, strategy=SOFAISamplingStrategy(fast, slow)
        )
        assert await thunk == "a b"


BACKEND = ScriptedBackend([])
MISTAKES: dict[str, tuple[Callable[[], Any], type[Exception]]] = {
    "s1_solver_backend": (lambda: SOFAISamplingStrategy("x", BACKEND), TypeError),  # type: ignore[arg-type]
    "s2_solver_backend": (lambda: SOFAISamplingStrategy(BACKEND, 3), TypeError),  # type: ignore[arg-type]
    "judge_backend": (
        lambda: SOFAISamplingStrategy(BACKEND, BACKEND, judge_backend=3),  # type: ignore[arg-type]
        TypeError,
    ),
    "loop_budget": (lambda: SOFAISamplingStrategy(BACKEND, BACKEND, loop_budget=0), ValueError),
    "s2_solver_mode": (lambda: SOFAISamplingStrategy(BACKEND, BACKEND, "slow"), ValueError),  # type: ignore[arg-type]
    "feedback_strategy": (
        lambda: SOFAISamplingStrategy(BACKEND, BACKEND, feedback_strategy="x"),  # type: ignore[arg-type]
        ValueError,
    ),
}


@pytest.mark.parametrize(("name", "mistake"), MISTAKES.items(), ids=MISTAKES)
async def test_a_wrong_argument_is_named(
    name: str, mistake: tuple[Callable[[], Any], type[Exception]]
) -> None:
    make, kind = mistake
    with pytest.raises(kind, match=name):
        make()
