"""Generative functions: typed values, and what they are made of."""

import copy
import json
from typing import Any, Literal

import pydantic
import pytest

import mellea
import motet
from mellea.stdlib.components.genstub import (
    ArgPreconditionRequirement,
    Argument,
    Arguments,
    AsyncGenerativeStub,
    ExtractedArgs,
    Function,
    FunctionResponse,
    PreconditionException,
    SyncGenerativeStub,
    bind_function_arguments,
    create_response_format,
    describe_function,
    generative,
    get_argument,
)
from motet import ChatContext, ComponentParseError, ModelOutputThunk, Requirement, SimpleContext
from motet.testing import ScriptedBackend


@generative
def mood(text: str) -> Literal["good", "bad"]:
    """Tell the mood."""


@generative
async def amood(text: str) -> Literal["good", "bad"]:
    """Tell the mood."""


def answering(*answers: object) -> motet.MelleaSession:
    texts = [json.dumps({"result": answer}) for answer in answers]
    return motet.MelleaSession(ScriptedBackend(texts))


def test_a_function_returns_what_the_model_says() -> None:
    assert isinstance(mood, SyncGenerativeStub)
    with answering("good", "bad") as m:
        assert mood(m, text="hi") == "good"
        value, ctx = mood(SimpleContext(), m.backend, text="hi")
        assert value == "bad"
        assert ctx.last_output() is not None


@pytest.mark.anyio
async def test_an_async_function_returns_what_the_model_says() -> None:
    assert isinstance(amood, AsyncGenerativeStub)
    async with answering("good") as m:
        assert await amood(m, text="hi") == "good"


@pytest.mark.anyio
async def test_an_async_function_warns_of_conversations(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with answering("good", "bad", "good") as m:
        await amood(m, text="hi")
        assert "stale contexts" not in caplog.text
        m.ctx = ChatContext()
        await amood(m=m, text="hi")
        await amood(context=ChatContext(), backend=m.backend, text="hi")
    assert sum("stale contexts" in each.getMessage() for each in caplog.records) == 2


@pytest.mark.anyio
async def test_an_argument_may_be_a_reply_on_its_way() -> None:
    # Both kinds: one waits in place for it, the other passes it on.
    m = mellea.MelleaSession(ScriptedBackend(["late", '{"result": "good"}', '{"result": "bad"}']))
    async with m:
        late = await m.ainstruct("x")
        assert mood(m, text=late) == "good"
        assert late.is_computed()
        assert await amood(m, text=late) == "bad"


def test_an_answer_of_another_type_is_the_error_of_pydantic() -> None:
    with answering("so so") as m, pytest.raises(pydantic.ValidationError) as caught:
        mood(m, text="hi")
    assert "the reply was" in caught.value.__notes__[0]


@pytest.mark.anyio
async def test_an_answer_of_another_type_is_the_error_of_pydantic_with_await_too() -> None:
    async with answering("so so") as m:
        with pytest.raises(pydantic.ValidationError):
            await amood(m, text="hi")


def test_none_is_an_answer() -> None:
    @generative
    def maybe(text: str) -> str | None: ...

    with answering(None) as m:
        assert maybe(m, text="hi") is None


def test_arguments_must_be_as_required() -> None:
    never = Requirement("never", lambda ctx: False)
    with answering("good") as m, pytest.raises(PreconditionException) as caught:
        mood(m, precondition_requirements=[never], text="hi")
    assert [bool(each) for each in caught.value.validation] == [False]


def test_names_that_a_call_needs_cannot_be_parameters() -> None:
    with pytest.raises(ValueError, match=r"disallowed parameter names.*backend"):

        @generative
        def f(backend: str) -> str: ...


def test_a_stub_shows_its_function() -> None:
    shown = mood.format_for_llm()
    assert shown.args["function"]["name"] == "mood"
    assert shown.args["function"]["docstring"] == "Tell the mood."
    assert shown.args["arguments"] is None
    assert mood.parts() == []
    assert mood.parse(ModelOutputThunk('{"result": "bad"}')) == "bad"
    with pytest.raises(ComponentParseError):
        mood.parse(ModelOutputThunk("{}"))


def test_a_function_in_words() -> None:
    def add(x: int, y: int = 2) -> int:
        """Add."""
        return x + y

    def bare(): ...  # type: ignore[no-untyped-def]

    assert describe_function(add) == {
        "name": "add",
        "signature": "(x: int, y: int = 2) -> int",
        "docstring": "Add.",
    }
    assert describe_function(bare)["docstring"] is None
    assert Function(add)._function_dict["name"] == "add"
    assert bind_function_arguments(add, x=1) == {"x": 1, "y": 2}
    with pytest.raises(TypeError, match=r"missing required parameter.*'add'.*'x'"):
        bind_function_arguments(add)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'z'"):
        bind_function_arguments(add, x=1, z=3)  # type: ignore[call-arg]


def test_arguments_in_words() -> None:
    def f(name: str, count: int, rest) -> None: ...  # type: ignore[no-untyped-def]

    given = [
        get_argument(f, "name", "Al"),
        get_argument(f, "count", 3),
        get_argument(f, "rest", 1.5),
    ]
    block = Arguments([*given, get_argument(f, "more", None), Argument("a", "b", "c")])
    assert (block.value or "").splitlines() == [
        "- name: \"Al\"  (type: <class 'str'>)",
        "- count: 3  (type: <class 'int'>)",
        "- rest: 1.5  (type: <class 'float'>)",
        "- more: None  (type: <class 'NoneType'>)",
        "- b: c  (type: a)",
    ]
    assert block._meta["name"] is given[0]
    assert Arguments([]).value == ""


def test_what_an_answer_conforms_to() -> None:
    def get_mood() -> Literal["good", "bad"]: ...

    model: Any = create_response_format(get_mood)
    assert "GetMood" in model.__name__
    assert model(result="good").result == "good"
    assert FunctionResponse[int](result=3).result == 3


def test_a_precondition_is_a_requirement_on_arguments() -> None:
    inner = Requirement("is short")
    outer = ArgPreconditionRequirement(inner)
    assert copy.copy(outer).req is inner
    assert copy.deepcopy(outer).description == "is short"
    assert outer.format_for_llm().template_order == ["*", "ArgPreconditionRequirement"]
    assert ExtractedArgs().f_kwargs == {}
