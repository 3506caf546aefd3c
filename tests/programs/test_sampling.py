"""Strategies: the loop of attempts, what ends it, and what it leaves behind."""

import copy
import gc
import logging
import weakref
from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from motet import (
    Backend,
    BackendError,
    CBlock,
    Context,
    DependencyError,
    GenerationCancelled,
    Instruction,
    Message,
    ModelOption,
    ModelOutputThunk,
    SimpleContext,
)
from motet._language.requirement import Misuse, Requirement, ValidationResult
from motet._programs.checks import check, simple_validate
from motet._programs.sampling.base import BaseSamplingStrategy, SamplingStrategy
from motet._programs.sampling.result import SamplingResult
from motet._programs.sampling.run import begin_sampled, wait_sampled
from motet._programs.sampling.strategies import (
    MultiTurnStrategy,
    RejectionSamplingStrategy,
    RepairTemplateStrategy,
)
from motet.testing import ScriptedBackend
from programs.scripted import broken, stopped
from virtual_time import on_virtual_time

pytestmark = [pytest.mark.anyio, on_virtual_time]


class Talk(SimpleContext):
    """A context that is sent."""

    is_chat_context = True

    def view_for_generation(self) -> list[Any]:
        return self.as_list()


GOOD = Requirement("be good", simple_validate(lambda text: text.startswith("good")))
SHORT = check("be short", simple_validate(lambda text: (len(text) < 10, f"{len(text)} letters")))


def texts(result: SamplingResult[Any]) -> list[str | None]:
    return [thunk.value for thunk in result.sample_generations]


# The loop.


async def test_the_first_attempt_that_meets_everything_is_taken() -> None:
    backend = ScriptedBackend(["bad", "good but much too long", "good", "never asked"])
    action, ctx = CBlock("go"), SimpleContext()
    result = await RejectionSamplingStrategy(loop_budget=5).sample(
        action, ctx, backend, [GOOD, SHORT]
    )
    assert result.success
    assert texts(result) == ["bad", "good but much too long", "good"]
    assert (result.result_index, result.value, str(result)) == (2, "good", "good")
    assert result.result is result.sample_generations[2]
    assert [[bool(v) for _, v in each] for each in result.sample_validations] == [
        [False, True],
        [True, False],
        [True, True],
    ]
    assert [requirement for requirement, _ in result.result_validations] == [GOOD, SHORT]
    assert result.sample_actions == [action] * 3
    assert result.result_ctx.as_list() == [action, result.result]


async def test_when_all_have_failed_one_is_taken_without_success() -> None:
    backend = ScriptedBackend(["bad", "worse", "worst"])
    result = await RejectionSamplingStrategy(loop_budget=3).sample(
        CBlock("go"), SimpleContext(), backend, [GOOD]
    )
    assert not result.success
    assert result.value == "bad"
    assert len(backend.requests) == 3


async def test_without_requirements_the_first_draft_will_do() -> None:
    backend = ScriptedBackend(["anything", "never asked"])
    for nothing in (None, list[Requirement]()):
        result = await RejectionSamplingStrategy(loop_budget=3).sample(
            CBlock("go"), SimpleContext(), backend, nothing
        )
        assert result.success
        assert result.sample_validations == [[]]
    assert len(backend.requests) == 2


async def test_requirements_keep_their_order_and_their_duplicates() -> None:
    seen: list[str] = []

    def named(name: str) -> Requirement:
        def note(ctx: Context) -> bool:
            seen.append(name)
            return True

        return Requirement(name, note)

    a, b = named("a"), named("b")
    result = await RejectionSamplingStrategy().sample(
        CBlock("go"), SimpleContext(), ScriptedBackend("x"), [b, a, b]
    )
    assert [requirement for requirement, _ in result.result_validations] == [b, a, b]
    assert sorted(seen) == ["a", "b", "b"]


async def test_the_requirements_of_the_strategy_win_also_when_they_are_none() -> None:
    backend = ScriptedBackend("bad")
    strategy = RejectionSamplingStrategy(loop_budget=2, requirements=[])
    assert (await strategy.sample(CBlock("go"), SimpleContext(), backend, [GOOD])).success
    strategy = RejectionSamplingStrategy(loop_budget=2, requirements=[GOOD])
    assert not (await strategy.sample(CBlock("go"), SimpleContext(), backend, [])).success


async def test_strings_are_requirements_that_a_judge_decides_on() -> None:
    backend = ScriptedBackend(lambda asked: "yes" if "Output: Hi" in asked.prompt else "Hi")
    result = await RejectionSamplingStrategy().sample(
        CBlock("greet"), SimpleContext(), backend, ["be kind"]
    )
    assert result.success
    ((requirement, verdict),) = result.result_validations
    assert requirement.description == "be kind"
    assert verdict.thunk is not None


async def test_a_judge_is_told_the_answer_alone_with_the_options_and_without_the_format() -> None:
    backend = ScriptedBackend(["first", "yes"])
    await RejectionSamplingStrategy().sample(
        CBlock("now"),
        Talk().add(CBlock("before")),
        backend,
        ["be kind"],
        format={"type": "string"},
        model_options={ModelOption.SEED: 3},
    )
    attempt, judge = backend.requests
    assert [message.content for message in attempt.messages] == ["before", "now"]
    assert len(judge.messages) == 1
    assert (attempt.schema, judge.schema) == ({"type": "string"}, None)
    assert attempt.options[ModelOption.SEED] == judge.options[ModelOption.SEED] == 3


async def test_a_judge_is_told_more_if_the_caller_says_so() -> None:
    backend = ScriptedBackend(["first", "yes"])
    await RejectionSamplingStrategy().sample(
        CBlock("now"),
        SimpleContext(),
        backend,
        ["be kind"],
        validation_ctx=Talk().add(CBlock("mind the rules")),
    )
    told = [message.content for message in backend.requests[1].messages]
    assert told[:2] == ["mind the rules", "first"]


async def test_every_answer_is_read_as_the_first_question_would_be() -> None:
    backend = ScriptedBackend(["bad", "good"])
    result = await MultiTurnStrategy(loop_budget=2).sample(
        Instruction("go"), Talk(), backend, [GOOD]
    )
    assert result.result.parsed_repr == "good"


# Repair.


async def test_rejection_asks_the_same_again() -> None:
    backend = ScriptedBackend(["bad", "good"])
    await RejectionSamplingStrategy(loop_budget=2).sample(
        Instruction("go", requirements=[GOOD]), SimpleContext(), backend, [GOOD]
    )
    assert backend.prompts[0] == backend.prompts[1]


async def test_a_repair_says_what_was_wrong_by_reason_or_description() -> None:
    backend = ScriptedBackend(["much too long", "bad", "good"])
    instruction = Instruction("go", requirements=[GOOD, SHORT])
    result = await RepairTemplateStrategy(loop_budget=3).sample(
        instruction, SimpleContext(), backend, [GOOD, SHORT]
    )
    first, second, third = backend.prompts
    assert second.startswith(first)
    assert second.endswith("\n* be good\n* 13 letters")
    assert third.endswith(":\n* be good")
    assert result.sample_actions[0] is instruction
    assert result.result_action is not instruction
    assert result.result_ctx.as_list() == [result.result_action, result.result]


async def test_when_all_repairs_have_failed_the_first_answer_is_taken() -> None:
    result = await RepairTemplateStrategy(loop_budget=2).sample(
        Instruction("go"), SimpleContext(), ScriptedBackend(["bad", "worse"]), [GOOD]
    )
    assert (result.success, result.value) == (False, "bad")


async def test_a_repair_of_what_is_no_instruction_asks_the_same_again() -> None:
    backend = ScriptedBackend(["bad", "good"])
    result = await RepairTemplateStrategy(loop_budget=2).sample(
        Message("user", "go"), SimpleContext(), backend, [GOOD]
    )
    assert backend.prompts == ["go", "go"]
    assert result.success


async def test_a_failure_without_words_is_mentioned_all_the_same() -> None:
    backend = ScriptedBackend(["bad", "good"])
    nameless = Requirement(None, simple_validate(lambda text: text == "good"))
    await RepairTemplateStrategy(loop_budget=2).sample(
        Instruction("go"), SimpleContext(), backend, [nameless]
    )
    assert "\n* " in backend.prompts[1]
    assert "None" not in backend.prompts[1]


async def test_a_conversation_goes_on_with_what_was_wrong() -> None:
    backend = ScriptedBackend(["bad", "worse", "good"])
    action = Instruction("go")
    result = await MultiTurnStrategy(loop_budget=3).sample(action, Talk(), backend, [GOOD])
    last = [(message.role, message.content) for message in backend.requests[-1].messages]
    assert [role for role, _ in last] == ["user", "assistant", "user", "assistant", "user"]
    assert [last[0][1], last[1][1], last[3][1]] == ["go", "bad", "worse"]
    assert "* be good" in last[2][1]
    assert isinstance(result.result_action, Message)
    assert result.result_action.content == last[4][1]
    assert len(result.result_ctx.as_list()) == 6


async def test_a_conversation_that_never_succeeds_ends_with_its_last_answer() -> None:
    backend = ScriptedBackend(["bad", "worse"])
    result = await MultiTurnStrategy(loop_budget=2).sample(
        Instruction("go"), Talk(), backend, [GOOD]
    )
    assert (result.success, result.value) == (False, "worse")


async def test_a_conversation_needs_a_context_that_is_sent() -> None:
    backend = ScriptedBackend(["bad", "good"])
    result = await MultiTurnStrategy(loop_budget=2).sample(
        Instruction("go"), SimpleContext(), backend, [GOOD]
    )
    assert (result.success, result.value) == (False, "bad")
    (error,) = result.errors
    assert isinstance(error, Misuse)
    assert "ChatContext" in str(error)


async def test_a_strategy_of_the_users_repairs_and_selects_in_its_own_way() -> None:
    class Louder(BaseSamplingStrategy):
        @staticmethod
        def repair(
            old_ctx: Context,
            new_ctx: Context,
            past_actions: list[Any],
            past_results: list[ModelOutputThunk[Any]],
            past_val: list[list[tuple[Requirement, ValidationResult]]],
        ) -> tuple[Any, Context]:
            assert len(past_actions) == len(past_results) == len(past_val)
            return CBlock(f"{past_actions[-1]}!"), old_ctx

        @staticmethod
        def select_from_failure(
            sampled_actions: list[Any],
            sampled_results: list[ModelOutputThunk[Any]],
            sampled_val: list[list[tuple[Requirement, ValidationResult]]],
        ) -> int:
            return 1

    backend = ScriptedBackend(["a", "b", "c"])
    result = await Louder(loop_budget=3).sample(CBlock("go"), SimpleContext(), backend, [GOOD])
    assert backend.prompts == ["go", "go!", "go!!"]
    assert (result.success, result.value) == (False, "b")


# Several loops.


async def test_the_first_success_stops_the_other_loops_at_once() -> None:
    backend = ScriptedBackend([[60.0, "good"], [2.0, "good"], [1.0, "bad"], [70.0, "good"]])
    result = await RejectionSamplingStrategy(loop_budget=2, concurrency_budget=3).sample(
        CBlock("go"), SimpleContext(), backend, [GOOD]
    )
    assert anyio.current_time() == 2
    assert stopped(backend) == [2, 2]
    assert backend.open_replies == 0
    assert texts(result) == ["bad", "good"]
    assert result.result_index == 1


async def test_a_success_stops_the_judges_of_the_others() -> None:
    def judged(prompt: str) -> list[Any]:
        return [5.0, "yes"] if "Output: slow" in prompt else [1.0, "yes"]

    answers = iter(["slow", "quick"])
    backend = ScriptedBackend(
        lambda asked: judged(asked.prompt) if "Output:" in asked.prompt else next(answers)
    )
    result = await RejectionSamplingStrategy(concurrency_budget=2).sample(
        CBlock("go"), SimpleContext(), backend, ["be kind"]
    )
    assert texts(result) == ["quick"]
    assert stopped(backend) == [1]


async def test_all_loops_spend_their_budget_when_none_succeeds() -> None:
    backend = ScriptedBackend("bad")
    result = await RejectionSamplingStrategy(loop_budget=2, concurrency_budget=3).sample(
        CBlock("go"), SimpleContext(), backend, [GOOD]
    )
    assert not result.success
    assert len(result.sample_generations) == len(backend.requests) == 6


# Errors.


async def test_an_error_in_the_first_attempt_comes_out_as_it_is() -> None:
    error = broken()
    with pytest.raises(BackendError) as caught:
        await RejectionSamplingStrategy(loop_budget=3).sample(
            CBlock("go"), SimpleContext(), ScriptedBackend([["par", error]]), [GOOD]
        )
    assert caught.value is error
    assert caught.value.partial == "par"


async def test_an_error_after_a_completed_attempt_ends_the_loop_and_is_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    error = broken()
    with caplog.at_level(logging.WARNING, "motet"):
        result = await RejectionSamplingStrategy(loop_budget=3).sample(
            CBlock("go"), SimpleContext(), ScriptedBackend(["bad", [error]]), [GOOD]
        )
    assert (result.success, result.value, result.errors) == (False, "bad", (error,))
    assert "the script says so" in caplog.text


async def test_an_error_in_one_loop_leaves_the_others_alone() -> None:
    backend = ScriptedBackend([[1.0, broken()], [2.0, "good"]])
    result = await RejectionSamplingStrategy(concurrency_budget=2).sample(
        CBlock("go"), SimpleContext(), backend, [GOOD]
    )
    assert result.success
    assert len(result.errors) == 1


async def test_an_error_of_a_validation_function_is_an_error_of_its_attempt() -> None:
    def fail(ctx: Context) -> bool:
        raise LookupError("a bug of the caller's")

    with pytest.raises(LookupError, match="a bug of the caller's"):
        await RejectionSamplingStrategy(loop_budget=2).sample(
            CBlock("go"), SimpleContext(), ScriptedBackend("x"), [Requirement("x", fail)]
        )


async def test_the_log_tells_of_failures_and_success(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "motet"):
        await RejectionSamplingStrategy(loop_budget=2).sample(
            CBlock("go"),
            SimpleContext(),
            ScriptedBackend(["bad", "good"]),
            [GOOD, Requirement(None, lambda _: True)],
        )
    failed, succeeded = (record.getMessage() for record in caplog.records)
    assert "1 of 2" in failed
    assert "- be good" in failed
    assert "succeeded" in succeeded


# Pending inputs.


async def test_pending_inputs_are_waited_for_and_may_be_copied() -> None:
    copied: list[Any] = []

    class Copying(RejectionSamplingStrategy):
        @staticmethod
        def repair(
            old_ctx: Context,
            new_ctx: Context,
            past_actions: list[Any],
            past_results: list[ModelOutputThunk[Any]],
            past_val: list[list[tuple[Requirement, ValidationResult]]],
        ) -> tuple[Any, Context]:
            copied.append(copy.deepcopy(past_actions[-1]))
            return copied[-1], old_ctx

    backend = ScriptedBackend([[5.0, "grounds"], [1.0, "bad"], [1.0, "good"]])
    grounds = backend.begin(CBlock("why?"), SimpleContext())
    action = Instruction("go", grounding_context={"k": grounds})
    result = await Copying(loop_budget=2).sample(action, SimpleContext(), backend, [GOOD])
    assert result.success
    assert copied
    assert all("grounds" in prompt for prompt in backend.prompts[1:])
    assert anyio.current_time() == 7


async def test_an_input_that_fails_fails_the_sampling() -> None:
    backend = ScriptedBackend([[broken()], "never asked"])
    grounds = backend.begin(CBlock("why?"), SimpleContext())
    with pytest.raises(DependencyError) as caught:
        await RejectionSamplingStrategy(loop_budget=2).sample(
            Instruction("go", grounding_context={"k": grounds}), SimpleContext(), backend, [GOOD]
        )
    assert isinstance(caught.value.__cause__, BackendError)
    assert len(backend.requests) == 1


# As a generation.


def begin(backend: Backend, strategy: SamplingStrategy, **more: Any) -> ModelOutputThunk[Any]:
    more.setdefault("requirements", [GOOD])
    action = more.pop("action", None) or Instruction("go")
    return begin_sampled(
        backend, action, more.pop("ctx", SimpleContext()), strategy=strategy, **more
    )


async def test_a_call_with_a_strategy_is_lazy_and_gives_the_accepted_text_in_one_piece() -> None:
    backend = ScriptedBackend([["b", 1.0, "ad"], ["go", 1.0, "od"]])
    thunk = begin(backend, RejectionSamplingStrategy(loop_budget=2))
    assert not thunk.is_computed()
    assert anyio.current_time() == 0
    assert [delta async for delta in thunk] == ["good"]
    assert anyio.current_time() == 2
    assert thunk.is_computed()


async def test_the_thunk_tells_what_the_chosen_attempt_tells() -> None:
    backend = ScriptedBackend(["bad", "good"])
    ctx = SimpleContext()
    thunk = begin(
        backend,
        RejectionSamplingStrategy(loop_budget=2),
        ctx=ctx,
        model_options={ModelOption.SEED: 5},
    )
    assert (thunk.generation.model, thunk.generation.provider) == ("scripted", "scripted")
    assert await thunk == "good"
    assert thunk.parsed_repr == "good"
    assert thunk.thinking == ""
    assert thunk.generation.usage is not None
    assert thunk.generation.usage["completion_tokens"] == 1
    assert thunk.raw.provider == "scripted"
    assert thunk.context is ctx
    assert thunk.model_options is not None
    assert thunk.model_options[ModelOption.SEED] == 5
    log = thunk.generate_log
    assert log is not None
    assert log.is_final_result
    assert log.result is thunk


async def test_the_thunk_stands_for_the_chosen_attempt_in_the_result() -> None:
    ctx = Talk().add(CBlock("before"))
    thunk = begin(
        ScriptedBackend(["bad", "good"]), RejectionSamplingStrategy(loop_budget=2), ctx=ctx
    )
    result = await wait_sampled(thunk, ctx)
    assert result.result is thunk
    assert result.result_ctx.as_list() == [ctx.node_data, thunk.action, thunk]
    assert thunk.sampling_result.result is thunk
    assert thunk.sampling_result.result_ctx.as_list() == result.result_ctx.as_list()
    assert result.value == thunk.value == "good"
    rejected, _ = result.sample_generations
    assert rejected.value == "bad"
    assert rejected.generate_log is not None
    assert not rejected.generate_log.is_final_result
    assert copy.deepcopy(thunk).sampling_result is thunk.sampling_result


async def test_a_thunk_does_not_keep_the_conversation_before_it() -> None:
    backend = ScriptedBackend(["bad", "good", "bad", "good"])
    strategy = MultiTurnStrategy(loop_budget=2)
    first = begin(backend, strategy, ctx=Talk())
    await first
    ctx: Context | None = Talk().add(first.action).add(first)
    second = begin(backend, strategy, ctx=ctx)
    await second
    assert len(second.sampling_result.result_ctx.as_list()) == 6
    gone = weakref.ref(first)
    del ctx, first, backend
    gc.collect()
    assert gone() is None
    assert len(second.sampling_result.result_ctx.as_list()) == 4


async def test_a_conversation_that_was_cut_off_begins_with_the_attempt() -> None:
    class Forgetful(Talk):
        def add(self, entry: Any) -> "Forgetful":
            kept = [*self.as_list(), entry][-2:]
            context = Forgetful()
            for each in kept:
                context = super(Forgetful, context).add(each)
            return context

    ctx = Forgetful().add(CBlock("before")).add(CBlock("and before"))
    thunk = begin(ScriptedBackend("good"), RejectionSamplingStrategy(), ctx=ctx)
    result = await wait_sampled(thunk, ctx)
    assert result.result_ctx.as_list() == [thunk.action, thunk]


async def test_a_failed_sampling_gives_the_selected_text() -> None:
    thunk = begin(ScriptedBackend(["bad", "worse"]), RejectionSamplingStrategy(loop_budget=2))
    assert await thunk == "bad"
    assert not thunk.sampling_result.success


@pytest.mark.parametrize(
    "strategy",
    [
        RejectionSamplingStrategy(loop_budget=2),
        RepairTemplateStrategy(requirements=[]),
        MultiTurnStrategy(loop_budget=3),
    ],
)
async def test_with_nothing_to_validate_deltas_stream_through(strategy: SamplingStrategy) -> None:
    backend = ScriptedBackend([["a", 1.0, "b", 1.0, "c"]])
    ctx = SimpleContext()
    thunk = begin(backend, strategy, requirements=None, ctx=ctx)
    assert [delta async for delta in thunk] == ["a", "b", "c"]
    assert thunk.generate_log is not None
    assert thunk.generate_log.is_final_result
    result = await wait_sampled(thunk, ctx)
    assert result.success
    assert result.result is thunk
    assert result.result_ctx.as_list() == [thunk.action, thunk]


async def test_a_race_without_requirements_is_a_race() -> None:
    backend = ScriptedBackend([[60.0, "slow"], [1.0, "quick"]])
    thunk = begin(backend, RejectionSamplingStrategy(concurrency_budget=2), requirements=None)
    assert await thunk == "quick"
    assert stopped(backend) == [1]


async def test_losing_the_last_interest_stops_every_attempt_after_linger() -> None:
    backend = ScriptedBackend(lambda _: [60.0, "good"])
    thunk = begin(backend, RejectionSamplingStrategy(concurrency_budget=3), linger=4)
    with anyio.move_on_after(2):
        await thunk
    await anyio.sleep(3)
    assert backend.open_replies == 3
    await anyio.sleep(2)
    assert stopped(backend) == [6, 6, 6]
    with pytest.raises(GenerationCancelled):
        await thunk


async def test_leaving_the_block_of_a_thunk_stops_every_attempt_at_once() -> None:
    backend = ScriptedBackend(lambda _: [60.0, "good"])
    async with begin(backend, RejectionSamplingStrategy(concurrency_budget=3)) as thunk:
        await anyio.sleep(2)
        assert backend.open_replies == 3
    assert stopped(backend) == [2, 2, 2]
    assert thunk.cancelled


async def test_the_providers_own_error_is_that_of_the_thunk() -> None:
    error = broken()
    thunk = begin(ScriptedBackend([[error]]), RejectionSamplingStrategy(loop_budget=2))
    for _ in range(2):
        with pytest.raises(BackendError) as caught:
            await thunk
        assert caught.value is error


async def test_a_variable_that_is_pending_reaches_the_requirements() -> None:
    backend = ScriptedBackend(lambda asked: "yes" if "Output" in asked.prompt else [2.0, "French"])
    language = backend.begin(CBlock("which?"), SimpleContext())
    action = Instruction(
        "go", requirements=["in {{language}}"], user_variables={"language": language}
    )
    thunk = begin(
        backend, RejectionSamplingStrategy(), action=action, requirements=action.requirements
    )
    await thunk
    assert backend.prompts[-1].endswith("Requirement: in French")


async def test_what_would_fail_every_attempt_is_told_at_once() -> None:
    backend = ScriptedBackend("never asked")
    strategy = RejectionSamplingStrategy()
    for wrong, error in (
        ({"strategy": "rejection"}, "strategy"),
        ({"format": 3}, "format"),
        ({"requirements": [3]}, "Requirement"),
        ({"model_options": {ModelOption.TEMPERATURE: "hot"}}, "TEMPERATURE"),
    ):
        arguments: dict[str, Any] = {"strategy": strategy, "requirements": [GOOD], **wrong}
        with pytest.raises(TypeError, match=error):
            _ = begin_sampled(backend, CBlock("go"), SimpleContext(), **arguments)
    assert not backend.requests


async def test_a_users_own_strategy_may_hand_over_a_reply_that_is_arriving() -> None:
    class Once(SamplingStrategy):
        async def sample(
            self,
            action: Any,
            context: Context,
            backend: Backend,
            requirements: Any,
            *,
            validation_ctx: Context | None = None,
            format: Any = None,
            model_options: Mapping[str, Any] | None = None,
            tool_calls: bool = False,
        ) -> SamplingResult[Any]:
            thunk, ctx = await backend.generate_from_context(action, context)
            return SamplingResult(
                0,
                True,
                sample_generations=[thunk],
                sample_validations=[[]],
                sample_actions=[action],
                sample_contexts=[ctx],
            )

    ctx = SimpleContext()
    thunk = begin(ScriptedBackend([[1.0, "later"]]), Once(), ctx=ctx)
    result = await wait_sampled(thunk, ctx)
    assert thunk.value == result.value == "later"
    assert result.result is thunk


async def test_what_is_no_sampling_result_is_refused() -> None:
    class Odd(RejectionSamplingStrategy):
        async def sample(self, *args: Any, **kwargs: Any) -> Any:
            return "a text"

    with pytest.raises(TypeError, match=r"Odd\.sample\(\) should return a SamplingResult"):
        await begin(ScriptedBackend("x"), Odd())
