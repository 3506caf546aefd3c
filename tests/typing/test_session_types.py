"""What type checkers make of sessions and of the functions; checked, and never run."""

# What `assert_type` hands back is used by being there.
# mypy: disable-error-code="unused-awaitable"

from collections.abc import Coroutine
from typing import Any, assert_type

import pydantic

from motet import (
    CBlock,
    ChatContext,
    ComputedModelOutputThunk,
    Context,
    GenerateLog,
    Instruction,
    MelleaSession,
    Message,
    ModelOption,
    ModelOutputThunk,
    OllamaModelBackend,
    Query,
    RejectionSamplingStrategy,
    Requirement,
    SamplingResult,
    SimpleComponent,
    SimpleContext,
    ValidationResult,
    get_session,
    open_session,
    start_session,
)
from motet.functional import (
    aact,
    achat,
    act,
    ainstruct,
    aquery,
    atransform,
    avalidate,
    chat,
    instruct,
    query,
    transform,
    validate,
)

Text = ModelOutputThunk[str]
ComputedText = ComputedModelOutputThunk[str]

S0 = RejectionSamplingStrategy()


class Answer(pydantic.BaseModel):
    word: str


# With await: pending, whatever the strategy, unless the call is told to wait.


async def async_instruct(m: MelleaSession, late: Text, flag: bool) -> None:
    assert_type(await m.ainstruct("x"), Text)
    assert_type(await m.ainstruct("x", strategy=None), Text)
    assert_type(await m.ainstruct("x", strategy=S0), Text)
    assert_type(await m.ainstruct("x", await_result=False), Text)
    assert_type(await m.ainstruct("x", await_result=True), ComputedText)
    assert_type(await m.ainstruct("x", strategy=None, await_result=True), ComputedText)
    assert_type(await m.ainstruct("x", strategy=S0, await_result=True), ComputedText)
    assert_type(await m.ainstruct("x", return_sampling_results=True), SamplingResult[str])
    assert_type(
        await m.ainstruct("x", return_sampling_results=True, await_result=True),
        SamplingResult[str],
    )
    assert_type(
        await m.ainstruct("x", return_sampling_results=True, await_result=flag),
        SamplingResult[str],
    )
    assert_type(await m.ainstruct("x", return_sampling_results=False), Text)
    assert_type(await m.ainstruct("x", format=Answer), Text)
    assert_type(await (await m.ainstruct("x")), str)
    assert_type(await (await m.ainstruct("x")).avalue(), str)
    assert_type((await m.ainstruct("x")).value, str | None)
    assert_type((await m.ainstruct("x", await_result=True)).value, str)
    assert_type((await m.ainstruct("x")).parsed_repr, str | None)
    await assert_type(m.ainstruct("x"), Coroutine[Any, Any, Text])
    await m.ainstruct(
        "x",
        images=[],
        requirements=["a", Requirement("b")],
        icl_examples=["c"],
        grounding_context={"d": late},
        user_variables={"e": late},
        prefix="f",
        output_prefix="g",
        strategy=S0,
        format=Answer,
        model_options={ModelOption.SEED: 1},
        tool_calls=True,
    )


async def async_act(m: MelleaSession) -> None:
    message, instruction = Message("user", "x"), Instruction("x")
    assert_type(await m.aact(message), ModelOutputThunk[Message])
    assert_type(await m.aact(message, strategy=None), ModelOutputThunk[Message])
    assert_type(await m.aact(message, strategy=S0), ModelOutputThunk[Message])
    assert_type(await m.aact(message, await_result=True), ComputedModelOutputThunk[Message])
    assert_type(await m.aact(message, return_sampling_results=True), SamplingResult[Message])
    assert_type((await m.aact(message)).parsed_repr, Message | None)
    assert_type(await m.aact(instruction), Text)
    assert_type(await m.aact(instruction, await_result=True), ComputedText)
    assert_type(await m.aact(SimpleComponent(x="y")), Text)
    assert_type(await m.aact(Query("x", "y"), requirements=["z"]), Text)


async def async_others(m: MelleaSession, logs: list[GenerateLog | None], late: Text) -> None:
    assert_type(await m.achat("x"), Message)
    assert_type(await m.achat("x", "system", documents=["y"], images=[]), Message)
    assert_type(await m.achat("x", role="user", user_variables={"a": 1}), Message)
    assert_type(await m.avalidate("x"), list[ValidationResult])
    assert_type(await m.avalidate(Requirement("x"), output=late), list[ValidationResult])
    assert_type(
        await m.avalidate(["x", Requirement("y")], output="z", input=CBlock("a")),
        list[ValidationResult],
    )
    assert_type(await m.avalidate("x", generate_logs=logs), list[ValidationResult])
    assert_type(await m.aquery(object(), "x"), Text)
    assert_type(await m.aquery(object(), "x", await_result=False), Text)
    assert_type(await m.aquery(object(), "x", await_result=True), ComputedText)
    assert_type(await m.atransform(object(), "x"), Any)


# Without await: computed.


def sync_forms(m: MelleaSession) -> None:
    assert_type(m.instruct("x"), ComputedText)
    assert_type(m.instruct("x", strategy=None), ComputedText)
    assert_type(m.instruct("x", strategy=S0, requirements=["a"]), ComputedText)
    assert_type(m.instruct("x", return_sampling_results=False), ComputedText)
    assert_type(m.instruct("x", return_sampling_results=True), SamplingResult[str])
    assert_type(m.instruct("x").value, str)
    assert_type(m.instruct("x", return_sampling_results=True).value, str | None)
    assert_type(m.instruct("x", return_sampling_results=True).result, Text)
    assert_type(m.act(Message("user", "x")), ComputedModelOutputThunk[Message])
    assert_type(m.act(Message("user", "x"), strategy=None), ComputedModelOutputThunk[Message])
    assert_type(m.act(Instruction("x")), ComputedText)
    assert_type(m.act(Message("user", "x"), return_sampling_results=True), SamplingResult[Message])
    assert_type(m.chat("x"), Message)
    assert_type(m.chat("x", "system"), Message)
    assert_type(m.validate(["x"]), list[ValidationResult])
    assert_type(m.query(object(), "x"), ComputedText)
    assert_type(m.transform(object(), "x"), Any)


# Functions: the answer and the context, which keeps its class.


async def async_functions(ctx: ChatContext, simple: SimpleContext, b: OllamaModelBackend) -> None:
    assert_type(await ainstruct("x", ctx, b), tuple[Text, ChatContext])
    assert_type(await ainstruct("x", simple, b, strategy=None), tuple[Text, SimpleContext])
    assert_type(await ainstruct("x", ctx, b, await_result=True), tuple[ComputedText, ChatContext])
    assert_type(await ainstruct("x", ctx, b, return_sampling_results=True), SamplingResult[str])
    assert_type(
        await aact(Message("user", "x"), ctx, b), tuple[ModelOutputThunk[Message], ChatContext]
    )
    assert_type(
        await aact(Message("user", "x"), ctx, b, await_result=True),
        tuple[ComputedModelOutputThunk[Message], ChatContext],
    )
    assert_type(
        await aact(Message("user", "x"), ctx, b, return_sampling_results=True),
        SamplingResult[Message],
    )
    assert_type(await achat("x", ctx, b, role="system"), tuple[Message, ChatContext])
    assert_type(await avalidate("x", ctx, b), list[ValidationResult])
    assert_type(await aquery(object(), "x", ctx, b), tuple[Text, ChatContext])
    assert_type(
        await aquery(object(), "x", ctx, b, await_result=True), tuple[ComputedText, ChatContext]
    )
    assert_type(await atransform(object(), "x", ctx, b), tuple[Any, ChatContext])


def sync_functions(ctx: ChatContext, b: OllamaModelBackend) -> None:
    assert_type(instruct("x", ctx, b), tuple[ComputedText, ChatContext])
    assert_type(instruct("x", ctx, b, strategy=None), tuple[ComputedText, ChatContext])
    assert_type(instruct("x", ctx, b, return_sampling_results=True), SamplingResult[str])
    assert_type(
        act(Message("user", "x"), ctx, b), tuple[ComputedModelOutputThunk[Message], ChatContext]
    )
    assert_type(
        act(Message("user", "x"), ctx, b, return_sampling_results=True), SamplingResult[Message]
    )
    assert_type(chat("x", ctx, b), tuple[Message, ChatContext])
    assert_type(validate("x", ctx, b), list[ValidationResult])
    assert_type(query(object(), "x", ctx, b), tuple[ComputedText, ChatContext])
    assert_type(transform(object(), "x", ctx, b), tuple[Any, ChatContext])


# Sessions.


async def sessions(b: OllamaModelBackend) -> None:
    assert_type(start_session(), MelleaSession)
    assert_type(start_session("ollama", "a model", base_url="x"), MelleaSession)
    assert_type(get_session(), MelleaSession)
    async with open_session(b) as m:
        assert_type(m, MelleaSession)
        assert_type(m.ctx, Context)
        assert_type(m.clone(), MelleaSession)
        assert_type(m.last_prompt(), str | list[dict[str, Any]] | None)
        m.ctx = ChatContext()
    with start_session() as n:
        assert_type(n, MelleaSession)
    async with start_session() as o:
        assert_type(o, MelleaSession)


# Mistakes.


async def mistakes(m: MelleaSession, ctx: SimpleContext, b: OllamaModelBackend) -> None:
    await m.ainstruct(3)  # type: ignore[call-overload]
    await m.ainstruct("x", unheard_of=1)  # type: ignore[call-overload]
    await m.ainstruct("x", strategy="rejection")  # type: ignore[call-overload]
    await m.ainstruct("x", requirements=[3])  # type: ignore[list-item]
    await m.aact("x")  # type: ignore[call-overload]
    await m.achat("x", strategy=None)  # type: ignore[call-arg]
    await m.atransform(object(), "x", tool_calls=True)  # type: ignore[call-arg]
    m.instruct("x", await_result=True)  # type: ignore[call-overload]
    m.query(object(), "x", await_result=True)  # type: ignore[call-arg]
    m.ctx = "x"  # type: ignore[assignment]
    await ainstruct("x", b, ctx)  # type: ignore[call-overload]
    chat("x", ctx, b, "user")  # type: ignore[call-arg]
