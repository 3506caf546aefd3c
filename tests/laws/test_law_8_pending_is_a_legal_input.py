"""Law 8. A thunk may be used in another call before it is resolved; whoever needs it waits for it.

Diamonds work; a failed input fails its dependents with `DependencyError` from the cause; a
dependent that is cancelled drops its interest in its inputs.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from motet import (
    DependencyError,
    GenerationCancelled,
    MelleaSession,
    ModelOutputThunk,
    gather_all,
    open_session,
    start_session,
    wait_for_all_mots,
)
from motet._thunk.inputs import wait_for_inputs
from motet._values.errors import ReplyError
from motet.testing import ErrorLine, ModelServer, Reply, ServedRequest, Stall, Step
from motet.testing.sweep import cancel_everywhere
from thunk.by_hand import Reply as HandFed
from thunk.by_hand import interest, others_wait, scripted
from virtual_time import VIRTUAL_LOOPS

Thunk = ModelOutputThunk[Any]


def answer(server: ModelServer, asked: str, *steps: Step) -> None:
    """Have the server answer the calls whose prompt has *asked* in it."""

    def fits(request: ServedRequest) -> bool:
        return asked in request.prompt

    server.script(steps, when=fits)


async def has_begun(server: ModelServer, asked: str) -> None:
    with anyio.fail_after(60):
        await server.wait_until(
            lambda: any(r.tokens_sent and asked in r.prompt for r in server.replies)
        )


# Where a pending reply may stand in a call.
PLACES: dict[str, Callable[[MelleaSession, Thunk], Awaitable[Thunk]]] = {
    "user variable": lambda m, it: m.ainstruct("Next: {{it}}", user_variables={"it": it}),
    "grounding context": lambda m, it: m.ainstruct("Next.", grounding_context={"it": it}),
}


@pytest.mark.anyio
@pytest.mark.parametrize("place", PLACES)
async def test_a_call_waits_for_a_pending_input_and_gets_its_text(
    place: str, server: ModelServer
) -> None:
    answer(server, "First", Reply(["the ", "answer"], tokens_per_second=50))
    answer(server, "Next", Reply("done"))
    async with open_session(base_url=server.url) as session:
        first = await session.ainstruct("First.")
        thunk = await PLACES[place](session, first)
        assert not first.is_computed()
        assert not thunk.is_computed()
        assert await thunk == "done"
    prompts = [request.prompt for request in server.replies]
    assert len(prompts) == 2
    assert "the answer" in prompts[1]
    # The call that needed it has looked; whether a consumer has is for the consumer to say.
    assert await first == "the answer"


@pytest.mark.anyio
async def test_a_diamond_asks_for_each_of_its_replies_once(server: ModelServer) -> None:
    answer(server, "Top", Reply("top", tokens_per_second=20))
    answer(server, "Left", Reply("left"))
    answer(server, "Right", Reply("right"))
    answer(server, "Bottom", Reply("bottom"))
    async with open_session(base_url=server.url) as session:
        top = await session.ainstruct("Top.")
        left, right = [
            await session.ainstruct(f"{side}: {{{{it}}}}", user_variables={"it": top})
            for side in ("Left", "Right")
        ]
        bottom = await session.ainstruct(
            "Bottom: {{a}}, {{b}}, {{c}}", user_variables={"a": left, "b": right, "c": top}
        )
        assert await bottom == "bottom"
    prompts = [request.prompt.strip() for request in server.replies]
    assert sorted(prompts) == ["Bottom: left, right, top", "Left: top", "Right: top", "Top."]
    assert prompts[0] == "Top."
    assert prompts[-1] == "Bottom: left, right, top"


@pytest.mark.anyio
async def test_a_chain_of_calls_runs_by_itself(server: ModelServer) -> None:
    server.script([Reply(str(number)) for number in range(20)])
    async with open_session(base_url=server.url) as session:
        thunk = await session.ainstruct("Begin.")
        for _ in range(19):
            thunk = await session.ainstruct("After {{it}}.", user_variables={"it": thunk})
        assert await thunk == "19"


@pytest.mark.anyio
async def test_an_input_that_failed_fails_its_dependents_from_its_error(
    server: ModelServer,
) -> None:
    answer(server, "First", ErrorLine(0))
    async with open_session(base_url=server.url) as session:
        first = await session.ainstruct("First.")
        second = await session.ainstruct("Second {{it}}.", user_variables={"it": first})
        third = await session.ainstruct("Third {{it}}.", user_variables={"it": second})
        with pytest.raises(DependencyError) as at_third:
            await third
        with pytest.raises(DependencyError) as at_second:
            await second
        with pytest.raises(ReplyError) as at_first:
            await first
    assert at_second.value.__cause__ is at_first.value
    assert at_third.value.__cause__ is at_second.value
    assert "the model runner has stopped" in str(at_second.value)
    assert len(server.replies) == 1, "what cannot be put into words is not asked"


@pytest.mark.anyio
async def test_an_input_that_was_cancelled_fails_its_dependents_or_gives_what_it_has(
    server: ModelServer,
) -> None:
    answer(server, "First", Reply(["a", "b"], fault=Stall(1)))
    answer(server, "Second", Reply("done"))
    async with open_session(base_url=server.url) as session:
        first = await session.ainstruct("First.")
        second = await session.ainstruct("Second {{it}}.", user_variables={"it": first})
        await has_begun(server, "First")
        while not first.partial:
            await anyio.lowlevel.checkpoint()
        await first.cancel_generation()
        # Cancelled on purpose: what had arrived is its value, for everybody.
        assert await second == "done"
    assert server.replies[1].prompt.strip() == "Second a."


@pytest.mark.anyio
async def test_a_dependent_that_is_given_up_drops_its_interest_in_its_inputs(
    server: ModelServer,
) -> None:
    answer(server, "First", Stall(1))
    session = start_session(base_url=server.url, linger=0)
    first = await session.ainstruct("First.")
    second = await session.ainstruct("Second {{it}}.", user_variables={"it": first})
    await has_begun(server, "First")
    await others_wait()
    assert interest(first) == 1
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(second.avalue)
            await others_wait()
            scope.cancel()
    with anyio.fail_after(60):
        await server.wait_idle()
    assert interest(first) == 0
    for thunk in (first, second):
        with pytest.raises(GenerationCancelled):
            await thunk
    assert [request.hung_up for request in server.replies] == [True]


@pytest.mark.anyio
async def test_an_input_that_somebody_else_waits_for_outlives_its_dependent(
    server: ModelServer,
) -> None:
    answer(server, "First", Reply(["a", "b"], tokens_per_second=10))
    session = start_session(base_url=server.url, linger=0)
    first = await session.ainstruct("First.")
    second = await session.ainstruct("Second {{it}}.", user_variables={"it": first})
    await has_begun(server, "First")
    texts: list[str] = []

    async def wait() -> None:
        texts.append(await first)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await others_wait()
        await second.cancel_generation()
        assert interest(first) == 1
    assert texts == ["ab"]
    assert second.value == ""


@pytest.mark.anyio
async def test_the_other_inputs_are_dropped_when_one_has_failed(server: ModelServer) -> None:
    answer(server, "Bad", ErrorLine(0))
    answer(server, "Good", Reply("good"))
    async with open_session(base_url=server.url) as session:
        good = await session.ainstruct("Good.")
        bad = await session.ainstruct("Bad.")
        both = await session.ainstruct("{{a}} {{b}}", user_variables={"a": good, "b": bad})
        with pytest.raises(DependencyError):
            await both
        assert interest(good) == interest(bad) == 0
        assert await good == "good"


@pytest.mark.anyio
async def test_waiting_for_inputs_is_done_without_them_or_with_computed_ones() -> None:
    await wait_for_inputs([])
    computed = scripted("a")
    await computed
    await wait_for_inputs([computed, ModelOutputThunk("by hand")])


@pytest.mark.anyio
async def test_turns_that_failed_are_waited_for_and_left_out() -> None:
    failing, good = HandFed(), HandFed()
    waited: list[str] = []

    async def wait() -> None:
        await wait_for_inputs([good.thunk], [failing.thunk])
        waited.append("yes")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await others_wait()
        good.end()
        await others_wait()
        assert waited == []
        failing.end(OSError("cable"))
    assert waited == ["yes"]


@pytest.mark.parametrize("virtual", VIRTUAL_LOOPS)
def test_waiting_for_inputs_may_be_cancelled_anywhere(virtual: str) -> None:
    async def scenario() -> None:
        inputs = [scripted("a", 1.0, linger=0), scripted("b", 2.0, linger=0)]
        await wait_for_inputs(inputs, [scripted("c", 3.0, OSError("cable"), linger=0)])
        await gather_all(inputs)

    cancel_everywhere(scenario, loop=VIRTUAL_LOOPS[virtual], patience=0.125)


@pytest.mark.anyio
async def test_many_calls_may_need_the_same_pending_reply(server: ModelServer) -> None:
    answer(server, "First", Reply("one", tokens_per_second=10))
    server.script([Reply("done")], repeat=True)
    async with open_session(base_url=server.url) as session:
        first = await session.ainstruct("First.")
        thunks = [
            await session.ainstruct(f"{number}: {{{{it}}}}", user_variables={"it": first})
            for number in range(50)
        ]
        await wait_for_all_mots(thunks)
    assert len(server.replies) == 51
    assert {request.prompt.strip() for request in server.replies[1:]} == {
        f"{number}: one" for number in range(50)
    }
