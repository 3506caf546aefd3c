"""Requirements: how each kind is validated, and how a judge is asked."""

import copy
import threading
from collections.abc import Mapping
from typing import Any

import anyio
import anyio.to_thread
import pytest

from motet import (
    Backend,
    BackendError,
    CBlock,
    Context,
    DependencyError,
    Instruction,
    Message,
    ModelOption,
    ModelOutputThunk,
    SimpleContext,
    TemplateFormatter,
)
from motet._language.requirement import (
    Misuse,
    PartialValidationResult,
    Requirement,
    ValidationResult,
    default_output_to_bool,
)
from motet.testing import ScriptedBackend
from programs.scripted import broken, stopped
from virtual_time import on_virtual_time

pytestmark = pytest.mark.anyio

IDLE = ScriptedBackend([broken().message])


def answered(text: str) -> SimpleContext:
    return SimpleContext().add(ModelOutputThunk(text))


class MaxSentences(Requirement):
    """As a program of the documents has it."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self._count = 0

    def format_for_llm(self) -> str:
        return f"The response must be at most {self._limit} sentences."

    async def stream_validate(
        self, chunk: str, *, backend: Backend, ctx: Context
    ) -> PartialValidationResult:
        self._count += 1
        if self._count > self._limit:
            return PartialValidationResult("fail", reason="Too many sentences")
        return PartialValidationResult("unknown")

    async def validate(
        self,
        backend: Backend,
        ctx: Context,
        *,
        format: Any = None,
        model_options: Mapping[str, Any] | None = None,
    ) -> ValidationResult:
        return ValidationResult(result=True)


# Results.


@pytest.mark.parametrize("met", [True, False])
def test_a_result_is_as_true_as_what_it_says(met: bool) -> None:
    result = ValidationResult(met, reason="because")
    assert bool(result) is result.as_bool() is result.result is met
    assert repr(result) == f"ValidationResult({met}, reason='because', score=None)"


def test_a_result_cannot_be_changed() -> None:
    result = ValidationResult(True)
    with pytest.raises(AttributeError):
        result.reason = "another"  # type: ignore[misc]  # that is what is tried


async def test_a_coroutine_is_no_result() -> None:
    async def verdict() -> bool:
        return False

    forgotten = verdict()
    with pytest.raises(TypeError, match="await"):
        ValidationResult(forgotten)
    assert await forgotten is False


@pytest.mark.parametrize(("success", "true"), [("pass", True), ("fail", False), ("unknown", False)])
def test_a_partial_result_is_true_only_if_it_passed(success: Any, true: bool) -> None:
    result = PartialValidationResult(success)
    assert bool(result) is result.as_bool() is true
    assert repr(result) == f"PartialValidationResult({success!r}, reason=None, score=None)"


def test_a_partial_result_takes_no_fourth_state() -> None:
    with pytest.raises(ValueError, match="'pass', 'fail', or 'unknown'"):
        PartialValidationResult("maybe")  # type: ignore[arg-type]  # that is what is tried


@pytest.mark.parametrize("text", ["yes", "Y", "YES", "y\n", "Yes, but no", "I say: yes!", "yes.no"])
def test_an_answer_means_yes(text: str) -> None:
    assert default_output_to_bool(text)
    assert default_output_to_bool(CBlock(text))


@pytest.mark.parametrize("text", ["", "no", "yesterday", "why not", "ayes", "yes_no"])
def test_an_answer_does_not_mean_yes(text: str) -> None:
    assert not default_output_to_bool(text)


# Functions.


async def test_a_function_decides() -> None:
    seen: list[Context] = []

    def long_enough(ctx: Context) -> ValidationResult:
        seen.append(ctx)
        return ValidationResult(False, reason="too short", score=0.25)

    ctx = answered("hm")
    result = await Requirement("long", long_enough).validate(IDLE, ctx)
    assert (result.result, result.reason, result.score) == (False, "too short", 0.25)
    assert seen == [ctx]
    assert not IDLE.requests


@pytest.mark.parametrize("verdict", [True, False])
async def test_a_function_may_return_a_bool(verdict: bool) -> None:
    result = await Requirement(None, lambda _: verdict).validate(IDLE, answered("x"))
    assert result == ValidationResult(verdict)


async def test_an_async_function_is_awaited() -> None:
    async def refuse(ctx: Context) -> bool:
        await anyio.lowlevel.checkpoint()
        return False

    assert not await Requirement("x", refuse).validate(IDLE, answered("x"))


async def test_what_is_no_verdict_is_refused_by_name() -> None:
    def shrug(ctx: Context) -> Any:
        return None

    with pytest.raises(TypeError, match="shrug should return a ValidationResult or a bool"):
        await Requirement("x", shrug).validate(IDLE, answered("x"))


async def test_a_function_that_blocks_runs_in_a_worker_thread_if_asked() -> None:
    threads: list[threading.Thread] = []

    def note(ctx: Context) -> bool:
        threads.append(threading.current_thread())
        return True

    assert await Requirement("x", note, in_thread=True).validate(IDLE, answered("x"))
    assert await Requirement("x", note).validate(IDLE, answered("x"))
    assert threads[0] is not threading.current_thread()
    assert threads[1] is threading.current_thread()


async def test_an_output_that_is_on_its_way_is_waited_for() -> None:
    backend = ScriptedBackend("not yet")
    thunk, ctx = await backend.generate_from_context(CBlock("go"), SimpleContext())

    def there(ctx: Context) -> bool:
        output = ctx.last_output()
        return output is not None and output.value == "not yet"

    assert await Requirement("x", there).validate(backend, ctx)
    assert thunk.is_computed()


async def test_an_output_that_fails_fails_its_validation() -> None:
    backend = ScriptedBackend([["par", broken()]])
    _, ctx = await backend.generate_from_context(CBlock("go"), SimpleContext())
    with pytest.raises(DependencyError) as caught:
        await Requirement("x", lambda _: True).validate(backend, ctx)
    assert isinstance(caught.value.__cause__, BackendError)


# Judges.


@pytest.mark.parametrize(
    ("said", "met", "reason"),
    [
        ("yes", True, "be kind"),
        (" No\n", False, "be kind"),
        ("Yes, it is kind.", True, "Yes, it is kind."),
        ("It is rude.", False, "It is rude."),
    ],
)
async def test_a_model_judges_without_a_function(said: str, met: bool, reason: str) -> None:
    backend = ScriptedBackend([said])
    ctx = answered("Hello, dear.")
    result = await Requirement("be kind").validate(backend, ctx)
    assert (result.result, result.reason) == (met, reason)
    assert result.thunk is not None
    assert result.thunk.value == said
    assert result.context is not None
    assert result.context.node_data is result.thunk
    assert backend.prompts[0].splitlines()[-2:] == ["Output: Hello, dear.", "Requirement: be kind"]


async def test_a_judge_is_told_only_what_there_is() -> None:
    backend = ScriptedBackend("yes")
    await Requirement().validate(backend, answered("a\nb"))
    await Requirement("be silent").validate(backend, answered(""))
    assert backend.prompts[0].endswith("Output: a\nb")
    assert "Output:" not in backend.prompts[1]
    assert backend.prompts[1].endswith("\nRequirement: be silent")


async def test_a_judge_has_the_options_and_the_format_of_the_call() -> None:
    backend = ScriptedBackend("yes")
    await Requirement("x").validate(
        backend, answered("y"), format={"type": "string"}, model_options={ModelOption.SEED: 7}
    )
    assert backend.requests[0].options[ModelOption.SEED] == 7
    assert backend.requests[0].schema == {"type": "string"}


async def test_a_judge_is_read_by_the_requirement() -> None:
    backend = ScriptedBackend("certainly")

    def certain(output: object) -> bool:
        return str(output) == "certainly"

    assert await Requirement("x", output_to_bool=certain).validate(backend, answered("y"))
    assert not await Requirement("x").validate(backend, answered("y"))


async def test_an_error_of_the_reading_comes_out() -> None:
    def fail(output: object) -> bool:
        raise LookupError("unreadable")

    with pytest.raises(LookupError, match="unreadable"):
        await Requirement("x", output_to_bool=fail).validate(ScriptedBackend("yes"), answered("y"))


async def test_a_judge_needs_an_output() -> None:
    with pytest.raises(Misuse, match="no output"):
        await Requirement("x").validate(IDLE, SimpleContext().add(CBlock("only a question")))


async def test_a_requirement_is_not_changed_by_being_judged() -> None:
    requirement = Requirement("x")
    before = dict(vars(requirement))
    await requirement.validate(ScriptedBackend("yes"), answered("y"))
    assert vars(requirement) == before


async def test_a_subclass_may_put_the_question_in_its_own_words() -> None:
    class Blunt(Requirement):
        def format_for_llm(self) -> str:
            return f"{self._output} -- {self.description}?"

    backend = ScriptedBackend("yes")
    assert await Blunt("fine").validate(backend, answered("this"))
    assert backend.prompts == ["this -- fine?"]


@on_virtual_time
async def test_a_judge_that_is_given_up_is_stopped_at_once() -> None:
    backend = ScriptedBackend([["ye", 60.0, "s"]])
    with anyio.move_on_after(2) as scope:
        await Requirement("x").validate(backend, answered("y"))
    assert scope.cancelled_caught
    assert stopped(backend) == [2]
    assert anyio.current_time() == 2


# As a component.


def test_only_a_judging_requirement_can_be_put_to_a_model() -> None:
    with pytest.raises(AssertionError):
        TemplateFormatter("m").print(Requirement("x"))
    with pytest.raises(RuntimeError, match="Instruction"):
        Requirement("x").format_for_llm()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"description": 1}, "description"),
        ({"validation_fn": "fn"}, "validation_fn should be a function, not str"),
        ({"output_to_bool": 1}, "output_to_bool"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Requirement(**arguments)


async def test_the_documented_subclass_works() -> None:
    requirement = MaxSentences(limit=1)
    twin = copy.copy(requirement)
    ctx = SimpleContext()
    assert (await twin.stream_validate("One.", backend=IDLE, ctx=ctx)).success == "unknown"
    assert (await twin.stream_validate("Two.", backend=IDLE, ctx=ctx)).success == "fail"
    first = await requirement.stream_validate("One.", backend=IDLE, ctx=ctx)
    assert first.success == "unknown"
    assert await requirement.validate(IDLE, ctx)
    assert TemplateFormatter("m").print(requirement) == (
        "The response must be at most 1 sentences."
    )


async def test_without_an_override_a_stream_says_nothing() -> None:
    partial = await Requirement("x").stream_validate("chunk", backend=IDLE, ctx=SimpleContext())
    assert partial.success == "unknown"


# In an instruction.


def prompt(instruction: Instruction) -> str:
    return TemplateFormatter("some-model").print(instruction)


def test_strings_become_requirements() -> None:
    given = Requirement("b")
    first, second = Instruction("d", requirements=["a", given]).requirements
    assert isinstance(first, Requirement)
    assert first.description == "a"
    assert second is given


def test_the_prompt_has_what_the_model_should_be_told() -> None:
    text = prompt(
        Instruction(
            "d", requirements=["a", Requirement("secret", check_only=True), Requirement(), "a"]
        )
    )
    assert text.count("* a") == 2
    assert "secret" not in text
    assert "None" not in text


def test_variables_are_filled_into_descriptions_and_the_callers_objects_stay() -> None:
    given = Requirement("at most {{n}} words", lambda _: True)
    instruction = Instruction(
        "d", requirements=[given, "in {{language}}", Requirement()], user_variables={"n": 3}
    )
    assert [each.description for each in instruction.requirements] == [
        "at most 3 words",
        "in ",
        None,
    ]
    assert instruction.requirements[0].validation_fn is given.validation_fn
    assert given.description == "at most {{n}} words"


async def test_a_variable_that_arrives_later_is_in_the_requirements_that_were_taken_before() -> (
    None
):
    backend = ScriptedBackend("French")
    language = backend.begin(CBlock("which?"), SimpleContext())
    instruction = Instruction(
        "d", requirements=["in {{language}}"], user_variables={"language": language}
    )
    (taken,) = instruction.requirements
    assert taken.description == "in {{language}}"
    await language
    assert "* in French" in prompt(instruction)
    assert taken.description == "in French"


@pytest.mark.parametrize("wrong", [3, None, CBlock("x")])
def test_what_is_no_requirement_is_named(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"requirements\[1\]"):
        Instruction("d", requirements=["fine", wrong])


def test_a_repair_stands_in_the_copy_only() -> None:
    instruction = Instruction("d", requirements=["r"], grounding_context={"k": "v"})
    repaired = instruction.copy_and_repair("do it better").copy_and_repair("do it well")
    assert "do it" not in prompt(instruction)
    assert prompt(repaired).endswith("do it well")
    assert "do it better" not in prompt(repaired)
    assert repaired.requirements == instruction.requirements
    with pytest.raises(TypeError, match="repair"):
        instruction.copy_and_repair(3)  # type: ignore[arg-type]  # that is what is tried


async def test_an_instruction_with_replies_that_have_arrived_can_be_copied() -> None:
    backend = ScriptedBackend("grounds")
    grounds = backend.begin(CBlock("go"), SimpleContext())
    await grounds
    instruction = Instruction("d", grounding_context={"k": grounds}, requirements=["r"])
    assert prompt(copy.deepcopy(instruction)) == prompt(instruction)


def test_a_message_is_no_requirement() -> None:
    with pytest.raises(TypeError):
        Instruction("d", requirements=[Message("user", "x")])  # type: ignore[list-item]  # tried
