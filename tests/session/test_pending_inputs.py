"""A reply that has not arrived may stand wherever a call takes text, an object or a history."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

import motet.functional
from motet import (
    BackendError,
    ChatContext,
    Component,
    DependencyError,
    GenerationCancelled,
    Instruction,
    MelleaSession,
    Message,
    MObject,
    ModelOutputThunk,
    MultiTurnStrategy,
    Query,
    RejectionSamplingStrategy,
    RepairTemplateStrategy,
    Requirement,
    SimpleComponent,
    TemplateRepresentation,
    Transform,
    generative,
    simple_validate,
)
from motet.testing import ErrorLine, ModelServer, Reply, ScriptedBackend, ServedRequest, Stall
from programs.scripted import broken
from session.forms import session
from thunk.by_hand import interest

pytestmark = pytest.mark.anyio

Thunk = ModelOutputThunk[Any]


class Holder(MObject):
    """An object with a reply in it."""

    def __init__(self, reply: Thunk) -> None:
        super().__init__()
        self.reply = reply

    def content_as_string(self) -> str:
        return f"holding {self.reply}"


class Parted(Component[str]):
    """A component with a reply as a part."""

    def __init__(self, reply: Any) -> None:
        self.reply = reply

    def parts(self) -> list[Any]:
        return [self.reply]

    def format_for_llm(self) -> TemplateRepresentation:
        return TemplateRepresentation(self, {"it": self.reply}, template="parted: {{ it }}")

    def _parse(self, computed: Thunk) -> str:
        return computed.value or ""


@generative
async def asked(text: str) -> str:  # type: ignore[empty-body]
    """Ask."""


async def text_of(thunk: Any) -> str:
    return await thunk if isinstance(thunk, ModelOutputThunk) else str(thunk)


async def in_history(m: MelleaSession, it: Thunk) -> Any:
    ctx = ChatContext().add(Message("user", "q")).add(it)
    return await MelleaSession(m.backend, ctx, linger=0).ainstruct("next")


async def in_part_of_history(m: MelleaSession, it: Thunk) -> Any:
    said = Instruction("{{it}}", user_variables={"it": it})
    return await MelleaSession(m.backend, ChatContext().add(said), linger=0).ainstruct("next")


async def in_function(m: MelleaSession, it: Thunk) -> Any:
    # The generation of a function that is called outside of any other lingers.
    thunk, _ = await motet.functional.aquery(it, "next", m.ctx, m.backend)
    async with thunk:
        await thunk
    return thunk


async def judged(m: MelleaSession, it: Thunk) -> Any:
    (result,) = await m.avalidate("be good", output=it)
    return result.thunk


RETRY = RejectionSamplingStrategy(loop_budget=2, requirements=[Requirement("x", lambda _: True)])

PLACES: dict[str, Callable[[MelleaSession, Thunk], Awaitable[Any]]] = {
    "variable": lambda m, it: m.ainstruct("next {{it}}", user_variables={"it": it}),
    "variable of a requirement": lambda m, it: m.ainstruct(
        "next", requirements=["{{it}}"], user_variables={"it": it}, strategy=None
    ),
    "grounding": lambda m, it: m.ainstruct("next", grounding_context={"it": it}),
    "grounding by a component": lambda m, it: m.ainstruct(
        "next", grounding_context={"it": Parted(it)}
    ),
    "example": lambda m, it: m.ainstruct("next", icl_examples=[it]),
    "action": lambda m, it: m.aact(it),  # type: ignore[call-overload]
    "part": lambda m, it: m.aact(Parted(it)),
    "part of a part": lambda m, it: m.aact(Parted(Parted(it))),
    "simple component": lambda m, it: m.aact(SimpleComponent(next=it)),
    "question": lambda m, it: m.aact(Query(it, "next")),
    "question about a component": lambda m, it: m.aact(Query(Parted(it), "next")),
    "change": lambda m, it: m.aact(Transform(it, "next")),
    "object of a question": lambda m, it: m.aquery(it, "next"),
    "object of a change": lambda m, it: m.atransform(it, "next"),
    "attribute of an object": lambda m, it: m.aquery(Holder(it), "next"),
    "sampled": lambda m, it: m.ainstruct("next", grounding_context={"it": it}, strategy=RETRY),
    "repaired": lambda m, it: m.ainstruct(
        "next {{it}}",
        user_variables={"it": it},
        strategy=RepairTemplateStrategy(loop_budget=2),
        requirements=[Requirement("x", lambda _: True)],
    ),
    "output": judged,
    "history": in_history,
    "part of a history": in_part_of_history,
    "generative function": lambda m, it: asked(m, text=it),
    "function": in_function,
}
# What a conversation has lost is left out of it, and not missed.
FORGIVING = ("history",)


@pytest.mark.parametrize("place", PLACES)
async def test_a_reply_is_waited_for_and_asked_for_once(place: str, server: ModelServer) -> None:
    server.script([Reply("the answer", time_to_first_token=0.01)], when=is_first)
    async with session(server) as m:
        first = await m.ainstruct("First.")
        result = await PLACES[place](m, first)
        await text_of(result)
        assert await first == "the answer"
    assert len(server.replies) == 2
    sent = [str(message["content"]) for message in server.replies[1].body["messages"]]
    assert "the answer" in "".join(sent)


@pytest.mark.parametrize("place", [name for name in PLACES if name not in FORGIVING])
async def test_a_reply_that_fails_fails_the_call_from_its_error(
    place: str, server: ModelServer
) -> None:
    server.script([Reply(["a", "b"], fault=ErrorLine(1), time_to_first_token=0.01)])
    async with session(server) as m:
        first = await m.ainstruct("First.")
        with pytest.raises(DependencyError) as caught:
            await text_of(await PLACES[place](m, first))
        with pytest.raises(BackendError) as cause:
            await first
        assert caught.value.__cause__ is cause.value
        # And it makes no difference that it has failed already.
        with pytest.raises(DependencyError) as again:
            await text_of(await PLACES[place](m, first))
        assert again.value.__cause__ is cause.value
    assert len(server.replies) == 1


@pytest.mark.parametrize("place", PLACES)
async def test_a_call_that_is_given_up_drops_its_interest(place: str, server: ModelServer) -> None:
    server.script([Stall(1)])
    async with MelleaSession(session(server).backend, linger=0) as m:
        first = await m.ainstruct("First.")
        with anyio.fail_after(60):
            await server.wait_until(lambda: bool(server.serving))

        async def ask() -> None:
            await text_of(await PLACES[place](m, first))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            assert interest(first) == 1
            tasks.cancel_scope.cancel()
        # Not by awaiting it, which would be new interest.
        with anyio.fail_after(60):
            await server.wait_idle()
            await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(60), pytest.raises(GenerationCancelled):
            await first
        assert interest(first) == 0
    assert len(server.replies) == 1


def is_first(request: ServedRequest) -> bool:
    return request.prompt.startswith("First.")


# Diamonds.


async def test_a_diamond_of_all_kinds_of_calls_asks_once_for_each(server: ModelServer) -> None:
    server.script([Reply("top", time_to_first_token=0.02)], when=is_first)
    server.script([Reply(f"reply {number}") for number in range(4)])
    async with session(server) as m:
        top = await m.ainstruct("First.")
        left = await m.aquery(top, "left?")
        right = await m.ainstruct("right", grounding_context={"it": top, "again": top})
        bottom = await m.aact(SimpleComponent(left=left, right=right, top=top))
        again = await m.ainstruct("{{a}} {{b}}", user_variables={"a": bottom, "b": left})
        assert await again == "reply 3"
        assert [each.is_settled() for each in (top, left, right, bottom)] == [True] * 4
    assert len(server.replies) == 5
    assert server.replies[-1].prompt.startswith("reply 2 reply ")


async def test_a_diamond_whose_top_fails_asks_for_nothing_more(server: ModelServer) -> None:
    server.script([ErrorLine(0)])
    async with session(server) as m:
        top = await m.ainstruct("First.")
        left = await m.aquery(top, "left?")
        right = await m.ainstruct("right", grounding_context={"it": top})
        bottom = await m.aact(SimpleComponent(left=left, right=right))
        with pytest.raises(DependencyError) as caught:
            await bottom
        assert isinstance(caught.value.__cause__, DependencyError)
        assert isinstance(caught.value.__cause__.__cause__, BackendError)
    assert len(server.replies) == 1


@pytest.mark.parametrize(
    "strategy",
    [
        RejectionSamplingStrategy(loop_budget=3),
        RejectionSamplingStrategy(concurrency_budget=3),
        RepairTemplateStrategy(loop_budget=3),
        MultiTurnStrategy(loop_budget=3),
    ],
    ids=["rejection", "race", "repair", "multi-turn"],
)
async def test_all_attempts_of_a_strategy_use_the_same_input(
    strategy: Any, server: ModelServer
) -> None:
    server.script([Reply("top", time_to_first_token=0.01)], when=is_first)
    server.script([Reply("bad")], repeat=True)
    good = Requirement("be good", simple_validate(lambda text: text == "good"))
    async with session(server) as m:
        top = await m.ainstruct("First.")
        async with MelleaSession(m.backend, ChatContext()) as other:
            thunk = await other.ainstruct(
                "Next: {{it}}", user_variables={"it": top}, requirements=[good], strategy=strategy
            )
            assert await thunk == "bad"
    assert len(server.replies) == 4
    for request in server.replies[1:]:
        assert "Next: top" in request.body["messages"][0]["content"]


async def test_a_dependent_that_fails_leaves_its_inputs_to_others() -> None:
    backend = ScriptedBackend(
        lambda asked: [broken()] if "next" in asked.prompt else [0.05, "good"]
    )
    async with MelleaSession(backend) as m:
        first = await m.ainstruct("first")
        with pytest.raises(BackendError):
            await (await m.aquery(first, "next"))
        assert await first == "good"


async def test_an_input_of_another_session_belongs_to_that_session() -> None:
    backend = ScriptedBackend([[0.05, "good"], "next"])
    other = MelleaSession(backend)
    async with MelleaSession(backend) as m:
        first = await other.ainstruct("first")
        thunk = await m.ainstruct("{{it}}", user_variables={"it": first})
        assert await thunk == "next"
    assert await first == "good"
    await other.aclose()


async def test_closing_the_session_of_an_input_fails_what_needs_it() -> None:
    backend = ScriptedBackend([[1000.0, "never"], "next"])
    async with MelleaSession(backend) as m:
        async with m.clone() as other:
            first = await other.ainstruct("first")
            thunk = await m.ainstruct("{{it}}", user_variables={"it": first})
        with pytest.raises(DependencyError) as caught:
            await thunk
        assert isinstance(caught.value.__cause__, GenerationCancelled)


async def test_an_input_without_a_generation_is_refused_at_once() -> None:
    blank = ModelOutputThunk[str](None)
    async with MelleaSession(ScriptedBackend("x")) as m:
        for call in (
            lambda: m.ainstruct("{{it}}", user_variables={"it": blank}),
            lambda: m.aquery(blank, "x"),
            lambda: m.avalidate("x", output=blank),
        ):
            with pytest.raises(RuntimeError, match="no generation"):
                await call()
        assert m.ctx.as_list() == []
