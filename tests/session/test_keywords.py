"""What each keyword of each call does to the request, and what comes back."""

import base64
import io
import json
import logging
from typing import Any

import PIL.Image
import pydantic
import pytest

from motet import (
    BestOfNSamplingStrategy,
    CBlock,
    ChatContext,
    ComputedModelOutputThunk,
    Document,
    GenerateLog,
    ImageBlock,
    ImageUrlBlock,
    Instruction,
    MajorityVotingStrategy,
    Message,
    MObject,
    ModelOption,
    ModelOutputThunk,
    MultiTurnStrategy,
    RejectionSamplingStrategy,
    RepairTemplateStrategy,
    Requirement,
    SamplingResult,
    SamplingStrategy,
    ValidationResult,
    check,
    req,
    simple_validate,
    tool,
)
from motet.testing import ModelServer, Reply
from session.forms import FORMS, Caller, chat_session, sent, session, texts

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("form", FORMS)]


class Answer(pydantic.BaseModel):
    number: int
    word: str


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Basket(MObject):
    """A thing to ask about and to change."""

    def __init__(self, *fruits: str) -> None:
        super().__init__()
        self.fruits = list(fruits)

    def content_as_string(self) -> str:
        return ", ".join(self.fruits)

    def with_fruit(self, fruit: str) -> "Basket":
        """Put one more fruit into it."""
        return Basket(*self.fruits, fruit)

    def weight(self) -> int:
        """Weigh it."""
        return len(self.fruits)

    def broken(self) -> None:
        """Break it."""
        raise ZeroDivisionError("broken")


def calling(name: str, **arguments: Any) -> Reply:
    return Reply("", tool_calls=[{"function": {"name": name, "arguments": arguments}}])


PICTURE = PIL.Image.new("RGB", (1, 1), "red")
PNG = ImageBlock.pil_to_base64(PICTURE)
SHORT = req("be short", simple_validate(lambda text: len(text) < 10, reason="too long"))

# What every call takes, whatever it is about.
ABOUT: dict[str, tuple[Any, ...]] = {
    "instruct": ("Do it.",),
    "act": (Message("user", "Do it."),),
    "chat": ("Do it.",),
    "query": ("a text", "Do it."),
    "transform": ("a text", "Do it."),
}


async def call(caller: Caller, method: str, **options: Any) -> Any:
    return await getattr(caller, method)(*ABOUT[method], **options)


# The common keywords.


@pytest.mark.parametrize("method", ABOUT)
async def test_a_call_sends_what_it_says_and_returns_the_answer(
    method: str, form: str, server: ModelServer
) -> None:
    server.script([Reply("the answer")])
    caller = Caller(form, session(server))
    answer = await call(caller, method)
    assert str(answer) == "the answer"
    assert type(answer) is (Message if method == "chat" else ComputedModelOutputThunk)
    (message,) = sent(server)
    assert message["role"] == "user"
    assert "Do it." in message["content"]
    assert "images" not in message or message["images"] is None
    body = server.replies[-1].body
    assert body["model"] == "plain"
    assert body.get("format") is None
    assert not body.get("tools")
    action, thunk = caller.said
    assert thunk.value == "the answer"
    assert thunk is answer or thunk.parsed_repr is answer
    assert thunk.action is action


@pytest.mark.parametrize("method", ABOUT)
async def test_a_format_goes_to_the_server_and_the_value_is_json_text(
    method: str, form: str, server: ModelServer
) -> None:
    caller = Caller(form, session(server))
    answer = await call(caller, method, format=Answer)
    assert server.replies[-1].body["format"] == Answer.model_json_schema()
    Answer.model_validate_json(str(answer))


async def test_a_format_may_be_a_json_schema(form: str, server: ModelServer) -> None:
    schema = {"type": "object", "properties": {"yes": {"type": "boolean"}}, "required": ["yes"]}
    answer = await Caller(form, session(server)).instruct("Do it.", format=schema)
    assert server.replies[-1].body["format"] == schema
    assert isinstance(json.loads(answer.value)["yes"], bool)


@pytest.mark.parametrize("method", ABOUT)
async def test_options_of_a_call_are_put_over_those_of_the_backend(
    method: str, form: str, server: ModelServer
) -> None:
    defaults = {ModelOption.SEED: 1, "num_ctx": 512, ModelOption.SYSTEM_PROMPT: "Be kind."}
    caller = Caller(form, session(server, model_options=defaults))
    mine = {"seed": 2, ModelOption.MAX_NEW_TOKENS: 3, "temperature": 0.5, "top_k": 4}
    kept = dict(mine)
    await call(caller, method, model_options=mine)
    assert mine == kept
    body = server.replies[-1].body
    assert body["options"] == {
        "seed": 2,
        "num_ctx": 512,
        "num_predict": 3,
        "temperature": 0.5,
        "top_k": 4,
    }
    assert texts(server)[0] == "Be kind."
    await call(caller, method, model_options={ModelOption.SYSTEM_PROMPT: ""})
    assert [message["role"] for message in sent(server)] == ["user"]
    assert server.replies[-1].body["options"]["seed"] == 1


@pytest.mark.parametrize("method", ["instruct", "act", "chat", "query"])
async def test_tools_are_offered_when_asked_for_and_their_calls_come_back(
    method: str, form: str, server: ModelServer
) -> None:
    server.script([calling("add", a=1, b="2"), Reply("no")])
    caller = Caller(form, session(server))
    answer = await call(caller, method, model_options={ModelOption.TOOLS: [add]}, tool_calls=True)
    assert server.replies[-1].body["tools"] == [add.as_json_tool]
    assert answer.tool_calls["add"].call_func() == 3
    await call(caller, method, model_options={ModelOption.TOOLS: [add]})
    assert not server.replies[-1].body.get("tools")


# Texts of an instruction.


async def test_every_text_of_an_instruction_is_sent(form: str, server: ModelServer) -> None:
    caller = Caller(form, session(server))
    await caller.instruct(
        "describe {{it}}",
        requirements=["mention {{it}}", SHORT],
        icl_examples=["like {{it}}"],
        grounding_context={"where": "at {{it}}", "when": CBlock("{{now}}")},
        user_variables={"it": "{{braces}}"},
        prefix="about {{it}}:",
        strategy=None,
    )
    (prompt,) = texts(server)
    found = [
        prompt.index(text)
        for text in (
            "about {{braces}}:",
            "describe {{braces}}",
            "mention {{braces}}",
            "be short",
            "like {{braces}}",
        )
    ]
    assert found == sorted(found)
    assert "at {{braces}}" in prompt
    assert "when" in prompt
    await caller.instruct("tell", output_prefix="Once upon a time")
    assert texts(server)[0].endswith("Once upon a time")


async def test_what_was_passed_is_left_as_it_was(form: str, server: ModelServer) -> None:
    template = Requirement("mention {{it}}", check_only=False)
    passed: dict[str, Any] = {
        "requirements": ["{{it}}", template],
        "icl_examples": ["{{it}}"],
        "grounding_context": {"a": "{{it}}"},
        "user_variables": {"it": "x"},
    }
    kept = {name: value.copy() for name, value in passed.items()}
    caller = Caller(form, session(server))
    await caller.instruct("{{it}}", strategy=None, **passed)
    assert passed == kept
    assert template.description == "mention {{it}}"


async def test_an_instruction_is_answered_in_the_layout_of_the_model(
    form: str, server: ModelServer
) -> None:
    m = session(server)
    await Caller(form, m).act(Instruction("Do it.", grounding_context={"a": "b"}))
    assert "[a] = b" in texts(server)[0]


# Images and documents.


@pytest.mark.parametrize("method", ["instruct", "chat"])
@pytest.mark.parametrize(
    "image",
    [PICTURE, ImageBlock(PNG), ImageBlock(f"data:image/png;base64,{PNG}")],
    ids=["pillow", "base64", "data URI"],
)
async def test_an_image_is_sent_as_base64(
    image: Any, method: str, form: str, server: ModelServer
) -> None:
    await call(Caller(form, session(server)), method, images=[image])
    (message,) = sent(server)
    (data,) = message["images"]
    assert PIL.Image.open(io.BytesIO(base64.b64decode(data))).size == (1, 1)


@pytest.mark.parametrize("method", ["instruct", "chat"])
async def test_no_images_are_none(method: str, form: str, server: ModelServer) -> None:
    empty: list[Any] = []
    for images in (empty, None):
        await call(Caller(form, session(server)), method, images=images)
        assert not sent(server)[0].get("images")


async def test_documents_go_with_a_message(form: str, server: ModelServer) -> None:
    caller = Caller(form, session(server))
    await caller.chat("Compare.", documents=["one", Document("two", title="Two", doc_id="2")])
    (prompt,) = texts(server)
    assert prompt.startswith("Compare.")
    assert prompt.index("one") < prompt.index("[Document 2]") < prompt.index("Two: two")


# Chat.


@pytest.mark.parametrize("role", ["user", "system", "assistant", "tool"])
async def test_a_message_has_the_role_it_is_given(
    role: str, form: str, server: ModelServer
) -> None:
    await Caller(form, session(server)).chat("Hello.", role=role)
    assert sent(server)[0]["role"] == role


async def test_a_message_is_a_template_only_with_variables(form: str, server: ModelServer) -> None:
    caller = Caller(form, session(server))
    await caller.chat("{{it}} stays")
    assert texts(server) == ["{{it}} stays"]
    await caller.chat("{{it}}{{unknown}} is in", user_variables={"it": "<b>"})
    assert texts(server) == ["<b> is in"]


# Sampling.

STRATEGIES: dict[str, SamplingStrategy] = {
    "rejection": RejectionSamplingStrategy(loop_budget=2),
    "repair": RepairTemplateStrategy(loop_budget=2),
    "multi-turn": MultiTurnStrategy(loop_budget=2),
}


@pytest.mark.parametrize("method", ["instruct", "act"])
@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_strategy_goes_on_until_the_requirements_are_met(
    strategy: str, method: str, form: str, server: ModelServer
) -> None:
    server.script([Reply("far too long an answer"), Reply("short")])
    caller = Caller(form, session(server, ChatContext()))
    answer = await call(caller, method, requirements=[SHORT], strategy=STRATEGIES[strategy])
    assert answer.value == "short"
    assert len(server.replies) == 2
    assert caller.said[-1] is answer
    assert [each.value for each in answer.sampling_result.sample_generations] == [
        "far too long an answer",
        "short",
    ]
    assert answer.generate_log.is_final_result


async def test_without_a_word_there_are_two_attempts(form: str, server: ModelServer) -> None:
    server.script([Reply(f"far too long an answer {number}") for number in range(3)])
    answer = await Caller(form, session(server)).instruct("Do it.", requirements=[SHORT])
    assert len(server.replies) == 2
    assert answer.value == "far too long an answer 0"


@pytest.mark.parametrize("method", ["instruct", "act"])
async def test_every_attempt_comes_back_when_asked_for(
    method: str, form: str, server: ModelServer
) -> None:
    server.script([Reply("far too long an answer"), Reply("short")])
    caller = Caller(form, session(server, ChatContext()))
    result = await call(caller, method, requirements=[SHORT], return_sampling_results=True)
    assert type(result) is SamplingResult
    assert (result.success, result.result_index, result.value) == (True, 1, "short")
    assert [bool(passed) for ((_, passed),) in result.sample_validations] == [False, True]
    assert result.result_validations[0][0] is SHORT
    if not form.endswith("function"):
        assert caller.said[-1] is result.result
    assert result.result_ctx.as_list()[-1] is result.result


async def test_an_answer_that_nothing_is_asked_of_is_a_sampling_result_too(
    form: str, server: ModelServer
) -> None:
    server.script([Reply("hello")])
    result = await Caller(form, session(server)).instruct("Do it.", return_sampling_results=True)
    assert (result.success, result.value, len(result.sample_generations)) == (True, "hello", 1)


async def test_text_may_be_a_requirement_that_a_model_judges(
    form: str, server: ModelServer
) -> None:
    server.script([Reply("draft"), Reply("no"), Reply("better"), Reply("yes")])
    caller = Caller(form, session(server))
    answer = await caller.instruct("Do it.", requirements=["be good"])
    assert answer.value == "better"
    assert "be good" in texts(server, 0)[0]
    assert "be good" in texts(server, 1)[0]
    assert "draft" in texts(server, 1)[0]


async def test_what_is_only_checked_is_not_told(form: str, server: ModelServer) -> None:
    hidden = check("no elephants", simple_validate(lambda text: "elephant" not in text))
    await Caller(form, session(server)).instruct("Do it.", requirements=[hidden], strategy=None)
    assert "elephants" not in texts(server)[0]


async def test_without_a_strategy_requirements_are_told_and_not_checked(
    form: str, server: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.script([Reply("far too long an answer")])
    with caplog.at_level(logging.WARNING, "motet"):
        answer = await Caller(form, session(server)).instruct(
            "Do it.", requirements=[SHORT], strategy=None
        )
    assert answer.value == "far too long an answer"
    assert "be short" in texts(server)[0]
    assert [record.name for record in caplog.records] == ["motet"]


@pytest.mark.parametrize(
    ("strategy", "replies", "chosen"),
    [
        (MajorityVotingStrategy(number_of_samples=3), ["a", "b", "b"], "b"),
        (
            BestOfNSamplingStrategy(number_of_samples=3, score=lambda each: len(each.value or "")),
            ["a", "ccc", "bb"],
            "ccc",
        ),
    ],
    ids=["majority", "best of n"],
)
async def test_many_samples_may_be_put_to_a_vote(
    strategy: SamplingStrategy, replies: list[str], chosen: str, form: str, server: ModelServer
) -> None:
    server.script([Reply(text) for text in replies])
    answer = await Caller(form, session(server)).instruct("Do it.", strategy=strategy)
    assert answer.value == chosen
    assert len(server.replies) == 3


# Validating.


async def test_the_last_answer_is_validated(form: str, server: ModelServer) -> None:
    server.script([Reply("a fine day")])
    caller = Caller(form, chat_session(server))
    await caller.chat("Hello.")
    before = caller.ctx
    seen: list[Any] = []

    def look(ctx: Any) -> bool:
        seen.append(ctx.last_output().value)
        return False

    (result,) = await caller.validate(Requirement("x", look))
    assert seen == ["a fine day"]
    assert type(result) is ValidationResult
    assert not result
    assert caller.ctx is before


async def test_a_given_output_is_validated_with_what_it_answers(
    form: str, server: ModelServer
) -> None:
    server.script([Reply("yes"), Reply("no")], repeat=True)
    caller = Caller(form, chat_session(server))
    logs: list[GenerateLog | None] = []
    results = await caller.validate(
        ["be kind", SHORT, req("be wise")],
        output="an answer that is not short",
        input=CBlock("What is it?"),
        generate_logs=logs,
        model_options={ModelOption.SEED: 7},
    )
    assert [bool(each) for each in results][1] is False
    assert sorted(map(bool, results[::2])) == [False, True]
    assert [log is None for log in logs] == [False, True, False]
    judges = [texts(server, number) for number in range(2)]
    assert all("an answer that is not short" in each[-1] for each in judges)
    assert all(request.body["options"]["seed"] == 7 for request in server.replies)
    assert caller.said == []


@pytest.mark.parametrize("output", [CBlock("kind"), ModelOutputThunk("kind"), "kind"])
async def test_an_output_may_be_anything_with_a_text(
    output: Any, form: str, server: ModelServer
) -> None:
    kind = Requirement("k", simple_validate(lambda text: text == "kind"))
    caller = Caller(form, session(server))
    (result,) = await caller.validate([kind], output=output)
    assert result
    server.script([Reply('"yes"')])
    (result,) = await caller.validate("be kind", output=output, format={"type": "string"})
    assert result
    assert server.replies[-1].body["format"] == {"type": "string"}


async def test_no_requirements_are_all_met(form: str, server: ModelServer) -> None:
    assert await Caller(form, session(server)).validate([], output="x") == []


# Objects.


async def test_an_object_is_asked_about(form: str, server: ModelServer) -> None:
    server.script([Reply("two")])
    caller = Caller(form, session(server))
    answer = await caller.query(Basket("fig", "pear"), "How many?")
    assert answer.value == answer.parsed_repr == "two"
    assert "fig, pear" in texts(server)[0]
    assert "How many?" in texts(server)[0]
    assert not server.replies[-1].body.get("tools")
    await caller.query(Basket("fig"), "How many?", tool_calls=True)
    offered = {each["function"]["name"] for each in server.replies[-1].body["tools"]}
    assert offered == {"with_fruit", "weight", "broken"}


async def test_an_object_is_changed_by_its_own_method(
    form: str, server: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.script([calling("with_fruit", fruit="kiwi"), calling("weight"), Reply("as it is")])
    caller = Caller(form, chat_session(server))
    changed = await caller.transform(Basket("fig"), "Add a kiwi.")
    assert changed.fruits == ["fig", "kiwi"]
    assert [type(each).__name__ for each in caller.said] == [
        "Transform",
        "ComputedModelOutputThunk",
        "ToolMessage",
    ]
    assert caller.said[-1].tool_output is changed
    assert not caplog.records
    assert await caller.transform(Basket("fig"), "Weigh it.") == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    answer = await caller.transform(Basket("fig"), "Leave it.")
    assert answer.value == "as it is"
    assert type(answer) is ComputedModelOutputThunk
    assert sent(server)[-2]["role"] == "tool"


async def test_of_several_tools_the_one_that_gives_the_same_type_is_taken(
    form: str, server: ModelServer
) -> None:
    calls = [*calling("weight").tool_calls, *calling("with_fruit", fruit="fig").tool_calls]
    server.script([Reply("", tool_calls=calls)])
    changed = await Caller(form, session(server)).transform(Basket(), "Add a fig.")
    assert changed.fruits == ["fig"]


async def test_a_change_that_fails_raises_what_the_tool_raised(
    form: str, server: ModelServer
) -> None:
    server.script([calling("broken")])
    with pytest.raises(ZeroDivisionError):
        await Caller(form, session(server)).transform(Basket(), "Break it.")


async def test_an_image_url_is_refused_by_a_server_that_fetches_nothing(
    form: str, server: ModelServer
) -> None:
    caller = Caller(form, session(server))
    with pytest.raises(ValueError, match="fetches none"):
        await caller.chat("Look.", images=[ImageUrlBlock("https://example.com/a.png")])
    assert not server.replies
