"""What type checkers make of sessions and functions of the mellea path; checked, and never run.

The tables of what each call returns are those that programs written for mellea were checked
against: a call with a strategy of its own is complete when it returns.
"""

# What `assert_type` hands back is used by being there.
# mypy: disable-error-code="unused-awaitable"

from typing import Any, Literal, assert_type

import pydantic

import mellea
import motet
from mellea import generative
from mellea.backends import ModelOption
from mellea.backends.ollama import OllamaModelBackend
from mellea.backends.openai import OpenAIBackend
from mellea.backends.tools import MelleaTool, tool
from mellea.core import (
    Backend,
    ComputedModelOutputThunk,
    Context,
    GenerateLog,
    ModelOutputThunk,
    Requirement,
    SamplingResult,
    ValidationResult,
)
from mellea.helpers.async_helpers import get_current_event_loop, wait_for_all_mots
from mellea.helpers.event_loop_helper import _run_async_in_thread
from mellea.stdlib.components import Instruction, Message
from mellea.stdlib.context import ChatContext, SimpleContext
from mellea.stdlib.functional import (
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
from mellea.stdlib.sampling import RejectionSamplingStrategy
from mellea.stdlib.session import MelleaSession, get_session, start_session
from mellea.stdlib.start_backend import start_backend

# Every thunk is one of motet's; this path adds to it and takes nothing away.
Text = motet.ModelOutputThunk[str]
ComputedText = ComputedModelOutputThunk[str]

S0 = RejectionSamplingStrategy(loop_budget=2)


class Answer(pydantic.BaseModel):
    word: str


async def async_instruct(m: MelleaSession, requirements: list[Requirement]) -> None:
    assert_type(await m.ainstruct("x"), Text)
    assert_type(await m.ainstruct("x", strategy=None), Text)
    assert_type(await m.ainstruct("x", strategy=None, await_result=False), Text)
    assert_type(await m.ainstruct("x", strategy=None, await_result=True), ComputedText)
    assert_type(await m.ainstruct("x", strategy=S0), ComputedText)
    assert_type(await m.ainstruct("x", strategy=S0, requirements=requirements), ComputedText)
    assert_type(await m.ainstruct("x", await_result=True), ComputedText)
    assert_type(await m.ainstruct("x", return_sampling_results=True), SamplingResult[str])
    assert_type(
        await m.ainstruct("x", strategy=S0, return_sampling_results=True), SamplingResult[str]
    )
    assert_type(await m.ainstruct("x", return_sampling_results=False), Text)
    assert_type((await m.ainstruct("x", strategy=S0)).value, str)
    assert_type(await (await m.ainstruct("x")).avalue(), str)
    await m.ainstruct(
        "x",
        requirements=["a", Requirement("b")],
        user_variables={"e": "f"},
        grounding_context={"g": "h"},
        icl_examples=["i"],
        format=Answer,
        model_options={ModelOption.SEED: 1, ModelOption.STREAM: True},
        tool_calls=True,
    )


async def async_act(m: MelleaSession, action: Instruction, message: Message) -> None:
    assert_type(await m.aact(action), Text)
    assert_type(await m.aact(action, strategy=None), Text)
    assert_type(await m.aact(action, strategy=None, await_result=True), ComputedText)
    assert_type(await m.aact(action, strategy=S0), ComputedText)
    assert_type(await m.aact(action, return_sampling_results=True), SamplingResult[str])
    assert_type(await m.aact(message, strategy=S0), ComputedModelOutputThunk[Message])
    assert_type((await m.aact(message, strategy=None)).parsed_repr, Message | None)


async def async_others(m: MelleaSession, logs: list[GenerateLog | None]) -> None:
    assert_type(await m.achat("x"), Message)
    assert_type(await m.avalidate("x"), list[ValidationResult])
    assert_type(await m.avalidate([Requirement("x")], generate_logs=logs), list[ValidationResult])
    assert_type(await m.aquery("obj", "q"), motet.ModelOutputThunk[Any])
    assert_type(await m.aquery("obj", "q", await_result=True), ComputedModelOutputThunk[Any])
    assert_type(await m.atransform("obj", "t"), Any)


def sync_methods(m: MelleaSession, action: Instruction, message: Message) -> None:
    assert_type(m.instruct("x"), ComputedText)
    assert_type(m.instruct("x", strategy=None), ComputedText)
    assert_type(m.instruct("x", strategy=S0), ComputedText)
    assert_type(m.instruct("x", return_sampling_results=True), SamplingResult[str])
    assert_type(m.act(action), ComputedText)
    assert_type(m.act(message), ComputedModelOutputThunk[Message])
    assert_type(m.act(action, return_sampling_results=True), SamplingResult[str])
    assert_type(m.chat("x"), Message)
    assert_type(m.validate(["x"]), list[ValidationResult])
    assert_type(m.query("obj", "q"), ComputedModelOutputThunk[Any])
    assert_type(m.transform("obj", "t"), Any)
    assert_type(m.clone(), MelleaSession)
    assert_type(m.last_prompt(), str | list[dict[str, Any]] | None)


async def async_functions(action: Instruction, ctx: Context, b: Backend) -> None:
    assert_type(await ainstruct("x", ctx, b), tuple[Text, Context])
    assert_type(await ainstruct("x", ctx, b, strategy=None), tuple[Text, Context])
    assert_type(
        await ainstruct("x", ctx, b, strategy=None, await_result=True),
        tuple[ComputedText, Context],
    )
    assert_type(await ainstruct("x", ctx, b, strategy=S0), tuple[ComputedText, Context])
    assert_type(await ainstruct("x", ctx, b, return_sampling_results=True), SamplingResult[str])
    assert_type(await aact(action, ctx, b, strategy=None), tuple[Text, Context])
    assert_type(
        await aact(action, ctx, b, strategy=None, await_result=True), tuple[ComputedText, Context]
    )
    assert_type(await aact(action, ctx, b, strategy=S0), tuple[ComputedText, Context])
    assert_type(await aact(action, ctx, b, return_sampling_results=True), SamplingResult[str])
    await aact(action, ctx, b, silence_context_type_warning=True)
    assert_type(await achat("x", ctx, b), tuple[Message, Context])
    assert_type(await avalidate("x", ctx, b), list[ValidationResult])
    assert_type(await aquery("obj", "q", ctx, b), tuple[motet.ModelOutputThunk[Any], Context])
    assert_type(
        await aquery("obj", "q", ctx, b, await_result=True),
        tuple[ComputedModelOutputThunk[Any], Context],
    )
    assert_type(await atransform("obj", "t", ctx, b), tuple[Any, Context])


def sync_functions(action: Instruction, ctx: ChatContext, b: Backend) -> None:
    assert_type(instruct("x", ctx, b), tuple[ComputedText, ChatContext])
    assert_type(instruct("x", ctx, b, return_sampling_results=True), SamplingResult[str])
    assert_type(act(action, ctx, b), tuple[ComputedText, ChatContext])
    assert_type(chat("x", ctx, b), tuple[Message, ChatContext])
    assert_type(validate("x", ctx, b), list[ValidationResult])
    assert_type(query("obj", "q", ctx, b), tuple[ComputedModelOutputThunk[Any], ChatContext])
    assert_type(transform("obj", "t", ctx, b), tuple[Any, ChatContext])


def starting(ctx: ChatContext) -> None:
    assert_type(start_session(), MelleaSession)
    assert_type(mellea.start_session("ollama", "m", ctx), MelleaSession)
    assert_type(get_session(), motet.MelleaSession)
    with start_session(context_type="chat", base_url="x") as m:
        assert_type(m, MelleaSession)
    assert_type(start_backend(), tuple[SimpleContext, OllamaModelBackend])
    assert_type(
        start_backend("ollama", context_type="chat"), tuple[ChatContext, OllamaModelBackend]
    )
    assert_type(
        start_backend("ollama", context_type="simple"), tuple[SimpleContext, OllamaModelBackend]
    )
    assert_type(start_backend("ollama", ctx=ctx), tuple[ChatContext, OllamaModelBackend])
    assert_type(start_backend(context_type="chat"), tuple[ChatContext, OllamaModelBackend])
    assert_type(start_backend("openai"), tuple[SimpleContext, OpenAIBackend])
    assert_type(start_backend("openai", context_type="chat"), tuple[ChatContext, OpenAIBackend])


@generative
def mood(text: str) -> Literal["good", "bad"]:  # type: ignore[empty-body]
    """Tell the mood."""


@generative
async def amood(text: str) -> Literal["good", "bad"]:  # type: ignore[empty-body]
    """Tell the mood."""


async def generated(m: MelleaSession, ctx: ChatContext, b: Backend) -> None:
    assert_type(mood(m, text="x"), Literal["good", "bad"])
    assert_type(await amood(m, text="x"), Literal["good", "bad"])
    assert_type(mood(ctx, b, text="x"), tuple[Literal["good", "bad"], ChatContext])


@tool
def weather(city: str, days: int = 1) -> dict[str, int]:
    """Tell the weather."""
    return {city: days}


@tool(name="later")
def named(x: float) -> str:
    return str(x)


@tool
async def later(x: int) -> str:
    return str(x)


def plain(a: str, b: int) -> list[str]:
    return [a] * b


def tools() -> None:
    assert_type(weather.run("x"), dict[str, int])
    assert_type(weather.run("x", 2), dict[str, int])
    assert_type(named.run(1.5), str)
    assert_type(later.run(1), str)
    assert_type(tool(plain).run("a", 2), list[str])
    assert_type(tool(plain, name="p").run("a", 2), list[str])
    assert_type(MelleaTool.from_callable(plain).run("a", 2), list[str])
    assert_type(MelleaTool.from_callable(plain, name="p").run("a", 2), list[str])


async def helpers(thunks: list[ModelOutputThunk[str]]) -> None:
    await wait_for_all_mots(thunks)
    get_current_event_loop()

    async def number() -> int:
        return 1

    assert_type(_run_async_in_thread(number()), int)


async def mistakes(m: MelleaSession) -> None:
    await m.ainstruct(3)  # type: ignore[call-overload]
    await m.ainstruct("x", strategy="rejection")  # type: ignore[call-overload]
    await m.aact("x")  # type: ignore[call-overload]
    m.instruct("x", await_result=True)  # type: ignore[call-overload]
