"""A model that thinks for as long as it is told to."""

from typing import Any

import pytest

from motet import (
    BudgetForcingSamplingStrategy,
    CBlock,
    Instruction,
    MelleaSession,
    ModelOption,
    Requirement,
    SimpleContext,
    simple_validate,
)
from motet.testing import Finish, ScriptedBackend, ScriptedReply

pytestmark = pytest.mark.anyio


def said(text: str, tokens: int) -> ScriptedReply:
    usage = {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": tokens + 1}
    return [text, Finish(usage=usage)]


async def sampled(
    strategy: BudgetForcingSamplingStrategy, backend: ScriptedBackend, **options: Any
) -> Any:
    return await strategy.sample(
        options.pop("action", Instruction("Q")), SimpleContext(), backend, [], **options
    )


async def test_it_thinks_and_answers() -> None:
    backend = ScriptedBackend([said("hm", 5), said("42", 1)])
    strategy = BudgetForcingSamplingStrategy(
        think_max_tokens=10,
        answer_max_tokens=3,
        begin_response_token="<a>",
        end_response_token="</a>",
        answer_suffix="It is ",
    )
    given = {ModelOption.SEED: 1}
    result = await sampled(strategy, backend, model_options=given)
    assert result.value == "<think>hm</think><a>It is 42"
    assert result.result.parsed_repr == result.value
    assert result.result.generation.usage == {
        "prompt_tokens": 2,
        "completion_tokens": 6,
        "total_tokens": 8,
    }
    assert backend.prompts == ["Q<think>", "Q<think>hm</think><a>It is "]
    thinking, answering = (each.options for each in backend.requests)
    assert thinking[ModelOption.MAX_NEW_TOKENS] == 10
    assert thinking[ModelOption.STOP_SEQUENCES] == ["</think>"]
    assert answering[ModelOption.MAX_NEW_TOKENS] == 3
    assert answering[ModelOption.STOP_SEQUENCES] == ["</a>"]
    assert given == {ModelOption.SEED: 1}


async def test_it_goes_on_thinking_until_the_budget_is_spent() -> None:
    backend = ScriptedBackend([said("a", 4), said("b", 4), said("c", 2), said("!", 1)])
    strategy = BudgetForcingSamplingStrategy(think_max_tokens=10, think_more_suffix=" Wait. ")
    result = await sampled(strategy, backend)
    assert result.value == "<think>a Wait. b Wait. c</think>!"
    budgets = [each.options.get(ModelOption.MAX_NEW_TOKENS) for each in backend.requests]
    assert budgets == [10, 6, 2, None]


async def test_thoughts_that_add_nothing_end_it() -> None:
    backend = ScriptedBackend([said("", 0), said("!", 1)])
    strategy = BudgetForcingSamplingStrategy(think_more_suffix="more")
    assert (await sampled(strategy, backend, action=CBlock("Q"))).value == "<think></think>!"


async def test_it_need_not_think() -> None:
    backend = ScriptedBackend([said("!", 1)])
    strategy = BudgetForcingSamplingStrategy(think_max_tokens=None, end_think_token=None)
    assert (await sampled(strategy, backend)).value == "!"


async def test_an_answer_that_will_not_do_is_asked_for_again() -> None:
    backend = ScriptedBackend([said("x", 1), said("no", 1), said("y", 1), said("yes", 1)])
    strategy = BudgetForcingSamplingStrategy(
        loop_budget=2, requirements=[Requirement("r", simple_validate(lambda text: "yes" in text))]
    )
    async with MelleaSession(backend) as m:
        thunk = await m.ainstruct("Q", strategy=strategy)
        assert await thunk == "<think>y</think>yes"


async def test_without_counts_there_is_no_budget() -> None:
    class Uncounted(ScriptedBackend):
        async def generate_from_raw(self, *args: Any, **options: Any) -> Any:
            thunks = await super().generate_from_raw(*args, **options)
            for each in thunks:
                each.generation.usage = None
            return thunks

    with pytest.raises(RuntimeError, match="how many tokens"):
        await sampled(BudgetForcingSamplingStrategy(), Uncounted("x"))
    with pytest.raises(ValueError, match="cannot call tools"):
        await sampled(BudgetForcingSamplingStrategy(), ScriptedBackend("x"), tool_calls=True)


@pytest.mark.parametrize("name", ["think_max_tokens", "answer_max_tokens", "loop_budget"])
async def test_a_budget_is_a_number(name: str) -> None:
    wrong: dict[str, Any] = {name: 0}
    with pytest.raises(ValueError, match=name):
        BudgetForcingSamplingStrategy(**wrong)
