"""Generative functions: a signature, a docstring, and a model."""

# A generative function has no body, and mypy cannot know that this is meant.
# mypy: disable-error-code="empty-body"

import dataclasses
import enum
import json
from typing import Any, Literal

import anyio
import attrs
import pydantic
import pytest

from motet import (
    BackendError,
    CBlock,
    ComponentParseError,
    DependencyError,
    Document,
    GenerationCancelled,
    MelleaSession,
    ModelOption,
    ModelOutputThunk,
    PendingReplyError,
    SimpleContext,
)
from motet._language.requirement import Requirement, ValidationResult
from motet._programs.checks import simple_validate
from motet._programs.generative.arguments import Argument, get_argument
from motet._programs.generative.call import ReplyMismatch
from motet._programs.generative.function import (
    bind_function_arguments,
    create_response_format,
    describe_function,
)
from motet._programs.generative.preconditions import PreconditionException
from motet._programs.generative.stub import AsyncGenerativeStub, SyncGenerativeStub, generative
from motet.testing import ScriptedBackend
from programs.scripted import broken, stopped

Mood = Literal["positive", "negative", "mixed"]


@generative
def classify(text: str) -> Mood:
    """Classify the mood of a text.

    Be fair.
    """


@generative
async def aclassify(text: str) -> Mood:
    """Classify the mood of a text."""


def reply(value: Any) -> str:
    return json.dumps({"result": value})


def session(*script: Any, **options: Any) -> tuple[MelleaSession, ScriptedBackend]:
    """Return a session whose model answers in turn; one answer, or none given, is for all."""
    if len(script) > 1:
        backend = ScriptedBackend(script, **options)
    else:
        backend = ScriptedBackend(lambda _: script[0] if script else reply("mixed"), **options)
    return MelleaSession(backend), backend


# The two kinds.


def test_a_function_becomes_a_stub_of_its_kind() -> None:
    assert type(classify) is SyncGenerativeStub
    assert type(aclassify) is AsyncGenerativeStub
    assert classify.__name__ == "classify"
    assert classify.__doc__ is not None
    assert classify.__doc__.startswith("Classify")
    assert classify.__wrapped__("x") is None  # type: ignore[attr-defined]
    assert repr(aclassify).startswith("<AsyncGenerativeStub aclassify(text: str)")


def test_a_sync_function_blocks_until_its_value_is_there() -> None:
    m, _ = session()
    assert classify(m, text="so so") == "mixed"


@pytest.mark.anyio
async def test_a_sync_function_works_in_a_running_loop_on_a_session_that_was_used_there() -> None:
    m, backend = session("a summary", reply("mixed"))
    summary = await m.ainstruct("Summarise.")
    assert await summary == "a summary"
    assert classify(m, text=str(summary)) == "mixed"
    assert '"a summary"' in backend.prompts[1]


@pytest.mark.anyio
async def test_an_async_function_is_awaited() -> None:
    m, _ = session()
    assert await aclassify(m, text="so so") == "mixed"


@pytest.mark.anyio
async def test_async_functions_run_at_the_same_time() -> None:
    m, backend = session([0.05, reply("mixed")])
    moods = []

    async def one(text: str) -> None:
        moods.append(await aclassify(m, text=text))

    async with anyio.create_task_group() as group:
        for text in "abcd":
            group.start_soon(one, text)
    assert moods == ["mixed"] * 4
    assert backend.most_open_replies == 4


# Forms of a call.


@pytest.mark.anyio
async def test_a_turn_is_added_to_the_session() -> None:
    m, _ = session()
    await aclassify(m=m, text="so so")
    action, thunk = m.ctx.as_list()
    assert repr(action) == "GenerativeCall(aclassify)"
    assert isinstance(thunk, ModelOutputThunk)
    assert thunk.parsed_repr == "mixed"


@pytest.mark.anyio
async def test_with_a_context_and_a_backend_the_new_context_is_returned() -> None:
    _, backend = session()
    ctx = SimpleContext()
    value, new = await aclassify(ctx, backend, text="so so")
    assert value == "mixed"
    assert len(new.as_list()) == 2
    assert ctx.as_list() == []
    value, new = classify(context=new, backend=backend, text="so so")
    assert value == "mixed"
    assert len(new.as_list()) == 4


@pytest.mark.parametrize("stub", [classify, aclassify])
def test_what_is_no_call_of_the_function_is_refused_at_once(stub: Any) -> None:
    m, backend = session()
    ctx = SimpleContext()
    refused: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
        ((), {"text": "x"}, "needs a session"),
        ((ctx,), {"text": "x"}, "needs a session"),
        ((), {"m": 3, "text": "x"}, "needs a session"),
        ((m, "x"), {}, "by keyword only"),
        ((ctx, backend, "x"), {}, "by keyword only"),
        ((ctx, "x"), {}, "by keyword only"),
        ((m, m), {"text": "x"}, "by keyword only"),
        (("x",), {}, "not str"),
        ((m,), {}, "missing a required argument: 'text'"),
        ((m,), {"text": "x", "colour": "red"}, "unexpected keyword argument 'colour'"),
        ((m,), {"text": "x", "strategy": 3}, "SamplingStrategy"),
        ((m,), {"text": "x", "requirements": "short"}, "should be a list, not str"),
    ]
    for args, kwargs, why in refused:
        with pytest.raises(TypeError, match=why):
            stub(*args, **kwargs)
    assert not backend.requests


def test_names_that_calls_need_are_refused_at_decoration() -> None:
    with pytest.raises(ValueError, match="named m, strategy"):

        @generative
        def clash(m: str, strategy: int, x: int) -> None: ...


@pytest.mark.parametrize("given", [3, int, "text"])
def test_what_is_no_function_is_refused(given: Any) -> None:
    with pytest.raises(TypeError, match="should be given a function"):
        generative(given)


@pytest.mark.anyio
async def test_options_reach_the_backend() -> None:
    m, backend = session()
    await aclassify(m, text="x", model_options={ModelOption.SEED: 7})
    assert backend.requests[0].options[ModelOption.SEED] == 7


# What the model is told.


@pytest.mark.anyio
async def test_the_model_is_told_the_function_and_its_arguments() -> None:
    m, backend = session()
    classify(m, text="so so", requirements=["be quick", Requirement("hush", check_only=True)])
    assert backend.prompts[0] == (
        "Work out what this Python function returns when it is called with the arguments below.\n"
        "Answer with the returned value and nothing else.\n"
        "\n"
        "def classify(text: str) -> Literal['positive', 'negative', 'mixed']:\n"
        '    """Classify the mood of a text.\n'
        "\n"
        '    Be fair."""\n'
        "\n"
        "The returned value must meet all of these requirements:\n"
        "* be quick\n"
        "\n"
        "The arguments:\n"
        '- text: "so so" (str)'
    )


def test_arguments_are_shown_with_their_types_and_defaults() -> None:
    @generative
    def make(a, b: int = 3, *, c: list[str] | None = None, **more: float) -> str: ...  # type: ignore[no-untyped-def]

    m, backend = session(reply("ok"))
    make(m, a=["x"], d=1.5)
    assert backend.prompts[0].endswith(
        "def make(a, b: int = 3, *, c: list[str] | None = None, **more: float) -> str:\n"
        '    """"""\n'
        "\n"
        "The arguments:\n"
        "- a: ['x'] (list)\n"
        "- b: 3 (int)\n"
        "- c: None (list[str] | None)\n"
        "- d: 1.5 (float)"
    )


def test_components_and_replies_are_shown_as_what_they_say() -> None:
    @generative
    def read(text, document, several) -> str: ...  # type: ignore[no-untyped-def]

    m, backend = session(reply("ok"))
    read(
        m,
        text=ModelOutputThunk("a reply"),
        document=Document("words", "title"),
        several={"a": [CBlock("b")], "c": (1, ModelOutputThunk("d"))},
    )
    assert backend.prompts[0].endswith(
        '- text: "a reply" (str)\n'
        "- document: [Document]\ntitle: words (motet.Document)\n"
        "- several: {'a': ['b'], 'c': (1, 'd')} (dict)"
    )


def test_a_function_may_have_no_arguments() -> None:
    @generative
    def invent() -> str:
        """Invent a name."""

    m, backend = session(reply("Ada"))
    assert invent(m) == "Ada"
    assert backend.prompts[0].endswith("It is called without arguments.")


def test_text_with_braces_is_no_template() -> None:
    m, backend = session()
    classify(m, text="{{ oh }} {% no %}")
    assert '"{{ oh }} {% no %}"' in backend.prompts[0]


# What the model answers.


class Colour(enum.Enum):
    RED = "red"


class Person(pydantic.BaseModel):
    name: str
    age: int


@dataclasses.dataclass
class Pair:
    left: int
    right: Person


@attrs.frozen
class Node:
    name: str
    children: list["Node"] = attrs.field(factory=list)
    weight: float = attrs.field(default=1.0, converter=float, validator=attrs.validators.ge(0))


@pytest.mark.parametrize(
    ("annotation", "answer", "value"),
    [
        (str, "text", "text"),
        (int, 3, 3),
        (int, "3", 3),
        (float, 1, 1.0),
        (bool, True, True),
        (None, None, None),
        (Any, {"a": [1]}, {"a": [1]}),
        (int | None, None, None),
        (int | None, 3, 3),
        (int | str, "a", "a"),
        (list[int], [1, "2"], [1, 2]),
        (dict[str, list[int]], {"a": [1]}, {"a": [1]}),
        (tuple[int, str], [1, "a"], (1, "a")),
        (set[str], ["a", "a"], {"a"}),
        (Literal["a", 1], 1, 1),
        (Colour, "red", Colour.RED),
        (Person, {"name": "Ada", "age": 36}, Person(name="Ada", age=36)),
        (Pair, {"left": 1, "right": {"name": "A", "age": 1}}, Pair(1, Person(name="A", age=1))),
        (Node, {"name": "a"}, Node("a")),
        (
            dict[str, list[Node] | None],
            {"x": [{"name": "a", "children": [{"name": "b", "weight": "2"}]}], "y": None},
            {"x": [Node("a", [Node("b", [], 2.0)])], "y": None},
        ),
    ],
    ids=repr,
)
def test_the_value_is_of_the_type_that_the_function_returns(
    annotation: Any, answer: Any, value: Any
) -> None:
    def made() -> Any: ...

    made.__annotations__["return"] = annotation
    m, _ = session(reply(answer))
    got = generative(made)(m)
    assert got == value
    assert type(got) is type(value)


def test_the_server_is_told_the_type() -> None:
    m, backend = session()
    classify(m, text="x")
    assert backend.requests[0].schema == {
        "title": "ClassifyResponse",
        "type": "object",
        "required": ["result"],
        "properties": {
            "result": {
                "title": "Result",
                "description": "Result of classify",
                "type": "string",
                "enum": ["positive", "negative", "mixed"],
            }
        },
    }


def test_a_type_that_json_does_not_have_is_refused() -> None:
    class Engine: ...

    def build() -> Engine: ...

    build.__annotations__["return"] = Engine
    m, _ = session()
    with pytest.raises(TypeError, match=r"what build\(\) returns cannot be described"):
        generative(build)(m)


def test_names_that_are_defined_later_may_be_used() -> None:
    @generative
    def later() -> "Later": ...

    m, _ = session(reply({"x": 1}))
    assert later(m) == Later(1)


@attrs.frozen
class Later:
    x: int


# What goes wrong.


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (reply("awful"), "result: Input should be 'positive', 'negative' or 'mixed'"),
        ("awful", "Invalid JSON"),
        ("", "Invalid JSON"),
        ('{"mood": "mixed"}', "result: Field required"),
    ],
)
def test_a_reply_that_does_not_fit_is_an_error_that_shows_it(answer: str, reason: str) -> None:
    m, _ = session(answer)
    with pytest.raises(ReplyMismatch, match=r"what classify\(\) returns") as caught:
        classify(m, text="x")
    error = caught.value
    assert isinstance(error, ComponentParseError)
    assert isinstance(error.__cause__, pydantic.ValidationError)
    assert error.reply == answer
    assert reason in str(error)
    assert str(error).endswith(f"the reply was: {answer}")
    assert m.ctx.as_list() == []  # a turn that failed is none


def test_a_class_that_refuses_a_reply_is_a_misfit_too() -> None:
    @generative
    def grow() -> Node: ...

    m, _ = session(reply({"name": "a", "weight": -1}))
    with pytest.raises(ReplyMismatch, match=r"result: .*'weight' must be >= 0"):
        grow(m)


def test_a_long_reply_is_shown_in_part() -> None:
    m, _ = session("x" * 5000)
    with pytest.raises(ReplyMismatch) as caught:
        classify(m, text="x")
    assert len(str(caught.value)) < 1000
    assert len(caught.value.reply) == 5000


@pytest.mark.anyio
async def test_a_server_that_fails_is_an_error() -> None:
    m, _ = session([broken()])
    with pytest.raises(BackendError):
        await aclassify(m, text="x")
    with pytest.raises(BackendError):
        classify(m, text="x")


@pytest.mark.anyio
async def test_a_cancelled_call_stops_its_request() -> None:
    m, backend = session([60, reply("mixed")])
    async with anyio.create_task_group() as group:

        async def call() -> None:
            await aclassify(m, text="x")

        group.start_soon(call)
        while not backend.open_replies:
            await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    assert backend.open_replies == 0
    assert len(stopped(backend)) == 1


@pytest.mark.anyio
async def test_a_session_that_ends_ends_the_call() -> None:
    m, backend = session([60, reply("mixed")])
    ended = []

    async def call() -> None:
        try:
            await aclassify(m, text="x")
        except GenerationCancelled as exc:
            ended.append(exc)

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        while not backend.open_replies:
            await anyio.lowlevel.checkpoint()
        await m.aclose()
    assert len(ended) == 1


# Replies as arguments.


@pytest.mark.anyio
async def test_an_async_function_waits_for_arguments_that_have_not_arrived() -> None:
    m, backend = session([0.01, "first"], [0.01, "second"], reply(["a"]))

    @generative
    async def merge(one: str, others: list[str]) -> list[str]:
        """Merge texts."""

    one, other = await m.ainstruct("1"), await m.ainstruct("2")
    assert await merge(m, one=one, others=[other]) == ["a"]  # type: ignore[call-overload]
    assert backend.prompts[2].endswith("- one: \"first\" (str)\n- others: ['second'] (list[str])")


@pytest.mark.anyio
async def test_an_argument_that_fails_fails_the_call() -> None:
    m, _ = session([0.01, broken()])
    late = await m.ainstruct("1")
    with pytest.raises(DependencyError) as caught:
        await aclassify(m, text=late)
    assert isinstance(caught.value.__cause__, BackendError)


@pytest.mark.anyio
async def test_a_sync_function_cannot_wait_for_what_the_loop_it_blocks_would_bring() -> None:
    m, backend = session([60, "late"])
    async with await m.ainstruct("1") as late:
        with pytest.raises(PendingReplyError, match="make classify an `async def`"):
            classify(m, text=late)
        with pytest.raises(PendingReplyError):
            classify(SimpleContext(), backend, text=[late])  # type: ignore[call-overload]


@pytest.mark.anyio
async def test_a_sync_function_in_a_worker_thread_waits_for_its_arguments() -> None:
    m, backend = session([0.01, "late"], reply("mixed"), [0.01, broken()])
    late = await m.ainstruct("1")
    assert await anyio.to_thread.run_sync(lambda: classify(m, text=late)) == "mixed"
    assert backend.prompts[1].endswith('- text: "late" (str)')
    failing = await m.ainstruct("2")
    with pytest.raises(DependencyError):
        await anyio.to_thread.run_sync(lambda: classify(m, text=failing))


@pytest.mark.anyio
async def test_a_sync_function_takes_a_reply_that_has_arrived_and_refuses_a_failed_one() -> None:
    m, backend = session("there", reply("mixed"), [broken()])
    there = await m.ainstruct("1")
    await there
    assert classify(m, text=there) == "mixed"
    assert '"there"' in backend.prompts[1]
    failed = await m.ainstruct("2")
    with pytest.raises(BackendError):
        await failed
    with pytest.raises(DependencyError):
        classify(m, text=failed)


# Preconditions.


def long_enough(text: str) -> tuple[bool, str]:
    return len(text) > 20, "too short"


@pytest.mark.anyio
async def test_preconditions_are_checked_before_the_call() -> None:
    m, backend = session()
    check = Requirement("long", simple_validate(long_enough))
    with pytest.raises(PreconditionException, match="too short") as caught:
        await aclassify(m, text="x", precondition_requirements=[check])
    assert [bool(each) for each in caught.value.validation] == [False]
    assert not backend.requests
    assert m.ctx.as_list() == []
    text = "a text that is long enough"
    assert await aclassify(m, text=text, precondition_requirements=[check]) == "mixed"
    assert classify(m, text=text, precondition_requirements=[check]) == "mixed"


@pytest.mark.anyio
async def test_a_judge_is_told_that_these_are_arguments() -> None:
    m, backend = session("yes", reply("mixed"), "It is not.")
    assert await aclassify(m, text="x", precondition_requirements=["be short"]) == "mixed"
    assert backend.prompts[0] == (
        "Judge whether the arguments of a function meet a condition.\n"
        "Answer 'yes' if they do and 'no' if they do not, and write nothing else.\n"
        "The arguments:\n"
        '- text: "x" (str)\n'
        "The condition: be short"
    )
    with pytest.raises(PreconditionException, match=r"of aclassify\(\) .* It is not\."):
        await aclassify(m, text="x", precondition_requirements=["be short"])


@pytest.mark.anyio
async def test_preconditions_wait_for_arguments_that_have_not_arrived() -> None:
    m, _ = session([0.01, "late text"], reply("mixed"))
    seen = []

    def look(text: str) -> bool:
        seen.append(text)
        return True

    late = await m.ainstruct("1")
    check = Requirement("look", simple_validate(look))
    await aclassify(m, text=late, precondition_requirements=[check])
    assert seen == ['- text: "late text" (str)']


@pytest.mark.anyio
async def test_a_requirement_with_a_validation_of_its_own_is_let_be() -> None:
    class Never(Requirement):
        async def validate(self, *args: Any, **kwargs: Any) -> ValidationResult:
            return ValidationResult(False, reason="never")

    m, _ = session()
    with pytest.raises(PreconditionException, match="never"):
        await aclassify(m, text="x", precondition_requirements=[Never("x")])


@pytest.mark.anyio
async def test_without_arguments_there_is_nothing_to_check(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @generative
    async def invent() -> str:
        """Invent a name."""

    m, _ = session(reply("Ada"))
    assert await invent(m, precondition_requirements=["x"]) == "Ada"
    assert "preconditions are not checked" in caplog.text


# Helpers.


def test_a_function_is_described() -> None:
    def f(x: int = 1) -> str:
        """Do it.

        Well.
        """
        return str(x)

    assert describe_function(f) == {
        "name": "f",
        "signature": "(x: int = 1) -> str",
        "docstring": "Do it.\n\nWell.",
    }
    assert bind_function_arguments(f) == {"x": 1}
    assert bind_function_arguments(f, 2) == {"x": 2}
    assert get_argument(f, "x", 3) == Argument("int", "x", 3)
    with pytest.raises(TypeError, match="unexpected"):
        bind_function_arguments(f, y=1)


@pytest.mark.parametrize(
    ("name", "title"), [("cls", "ClsResponse"), ("make_it_so", "MakeItSoResponse")]
)
def test_the_response_is_named_after_the_function(name: str, title: str) -> None:
    def f() -> int: ...

    f.__name__ = name
    model: Any = create_response_format(f)
    assert model.__name__ == title
    assert model.model_validate_json('{"result": 3}').result == 3


def test_a_function_tells_what_a_reply_must_conform_to() -> None:
    @generative
    def rate(text: str) -> int: ...  # type: ignore[empty-body]

    assert rate.response_format.model_json_schema()["properties"]["result"]["type"] == "integer"
