"""`Instruction`: what it takes, what it consists of, what it becomes."""

import copy
from typing import Any

import pytest

from language.scripted import answer, arrive, lose, pending
from motet import CBlock, Instruction, InvalidImage, Message, TemplateFormatter
from motet._language.component import pending_parts

FORMATTER = TemplateFormatter("some-model")


def prompt(instruction: Instruction) -> str:
    return FORMATTER.print(instruction)


def test_the_simplest_instruction_is_its_description() -> None:
    assert prompt(Instruction("Do it.")) == "Do it."
    assert prompt(Instruction(CBlock("Do it."))) == "Do it."


def test_every_section_is_put_in_order_and_absent_ones_leave_no_trace() -> None:
    everything = Instruction(
        "D",
        requirements=["r1", "r2"],
        icl_examples=["e1", CBlock("e2")],
        grounding_context={"k": "v", "": "w"},
        prefix="P",
        output_prefix="O",
    )
    lines = prompt(everything).split("\n")
    assert [line for line in lines if len(line) == 1 or line.startswith("*")] == [
        "P",
        "D",
        "* r1",
        "* r2",
        "* e1",
        "* e2",
        "* [k] = v",
        "* w",
        "O",
    ]
    for text in (prompt(everything), prompt(Instruction("D", icl_examples=["e"]))):
        assert "\n\n" not in text
        assert text == text.strip("\n")


def test_granite_models_have_an_order_of_their_own() -> None:
    instruction = Instruction("D", grounding_context={"k": "v"}, prefix="P", requirements=["r"])
    for model in ("granite4.1:3b", "ibm-GRANITE/x", "gra-nite"):
        text = TemplateFormatter(model).print(instruction)
        assert text.index("[k] = v") < text.index("\nD\n") < text.index("* r")
    assert prompt(instruction).index("\nD\n") < prompt(instruction).index("[k] = v")


def test_the_representation_has_the_documented_fields() -> None:
    grounding = answer("g")
    representation = Instruction(
        "D", requirements=["r"], icl_examples=["e"], grounding_context={"k": grounding}
    ).format_for_llm()
    args = representation.args
    assert args["description"] == "D"
    assert args["requirements"] == ["r"]
    assert args["icl_examples"] == ["e"]
    assert args["grounding_context"]["k"] is grounding
    assert args["prefix"] is args["output_prefix"] is args["repair"] is None
    assert representation.template_order == ["*", "Instruction"]
    assert representation.images is None


def test_the_answer_is_its_text() -> None:
    assert Instruction("D").parse(answer("x")) == "x"
    assert Instruction("D").parse(pending()) == ""


# Variables.


def test_variables_are_filled_into_every_text() -> None:
    instruction = Instruction(
        "D {{x}}",
        requirements=["r {{x}}"],
        icl_examples=["e {{x}}"],
        grounding_context={"k": "g {{x}}", "b": CBlock("block")},
        prefix="P {{x}}",
        user_variables={"x": "{{y}}", "y": "no"},
    )
    text = prompt(instruction)
    for section in ("P", "D", "* r", "* e", "* [k] = g"):
        assert f"{section} {{{{y}}}}" in text


def test_without_variables_braces_are_text() -> None:
    assert prompt(Instruction("{{x}} {%")) == "{{x}} {%"
    assert prompt(Instruction("{{x}}!", user_variables={})) == "!"


@pytest.mark.parametrize(
    ("value", "text"), [(3, "3"), (None, "None"), (CBlock("b"), "b"), (answer("a"), "a")]
)
def test_a_variable_may_be_anything_that_has_a_text(value: Any, text: str) -> None:
    assert prompt(Instruction("{{x}}", user_variables={"x": value})) == text


def test_a_pending_variable_is_a_part_until_it_has_arrived() -> None:
    part, grounding = pending(), pending()
    instruction = Instruction(
        "say {{x}}",
        user_variables={"x": part, "y": 1},
        grounding_context={"g": grounding},
    )
    assert pending_parts(instruction) == [grounding, part]
    arrive(part, "{{y}}")
    arrive(grounding, "ground")
    assert pending_parts(instruction) == []
    assert prompt(instruction).startswith("say {{y}}")
    assert "[g] = ground" in prompt(instruction)


def test_a_failed_variable_is_a_part_as_well() -> None:
    failed = pending()
    lose(failed)
    assert failed in Instruction("{{x}}", user_variables={"x": failed}).parts()


# What the caller gave stays.


def test_nothing_that_was_given_is_changed() -> None:
    given: dict[str, Any] = {
        "requirements": ["r {{x}}"],
        "icl_examples": ["e {{x}}", "e"],
        "grounding_context": {"k": "g {{x}}"},
        "user_variables": {"x": "v", "list": [1]},
        "images": [],
    }
    before = copy.deepcopy(given)
    instruction = Instruction("{{x}}", **given)
    prompt(instruction)
    instruction.requirements.clear()
    instruction.parts().clear()
    assert given == before
    assert len(instruction.requirements) == 1


def test_later_changes_of_what_was_given_do_not_show() -> None:
    requirements, grounding, variables = ["r"], {"k": "g"}, {"x": answer("v")}
    instruction = Instruction(
        "{{x}}",
        requirements=requirements,
        grounding_context=grounding,
        user_variables=variables,
    )
    before = prompt(instruction)
    requirements.append("more")
    grounding["more"] = "x"
    variables.clear()
    assert prompt(instruction) == before


# What is wrong.


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"description": 3}, TypeError, "description: expected a string.* not int"),
        ({"prefix": b"x"}, TypeError, "prefix: expected a string.* not bytes"),
        ({"output_prefix": []}, TypeError, "output_prefix: expected a string.* not list"),
        ({"requirements": "one"}, TypeError, "requirements should be a list, not str"),
        ({"requirements": {"a"}}, TypeError, "requirements should be a list, not set"),
        ({"requirements": ["a", 3]}, TypeError, r"requirements\[1\] should be"),
        ({"icl_examples": "one"}, TypeError, "icl_examples should be a list, not str"),
        ({"icl_examples": ["a", None, 3]}, TypeError, r"icl_examples\[2\]: expected"),
        ({"grounding_context": ["a"]}, TypeError, "grounding_context should be a mapping"),
        ({"grounding_context": {"k": 3}}, TypeError, r"grounding_context\['k'\]: expected"),
        ({"grounding_context": {1: "v"}}, TypeError, "names in grounding_context should be"),
        ({"user_variables": ["a"]}, TypeError, "user_variables should be a mapping"),
        ({"user_variables": {1: "a"}}, TypeError, "names in user_variables should be"),
        ({"images": "a"}, InvalidImage, "images should be a list"),
        ({"images": ["a"]}, InvalidImage, r"images\[0\] should be"),
    ],
)
def test_a_wrong_argument_is_named(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Instruction(**{"description": "D", **arguments})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"description": CBlock("D")}, TypeError, "description must be a string when user_var"),
        ({"prefix": CBlock("D")}, TypeError, "prefix must be a string when user_variables"),
        ({"icl_examples": [CBlock("D")]}, TypeError, r"icl_examples\[0\] must be a string"),
        ({"output_prefix": "O"}, TypeError, "output_prefix is not supported together with"),
        ({"description": "{{"}, ValueError, "description is not a valid template"),
        ({"prefix": "{% x %}"}, ValueError, "prefix is not a valid template"),
        ({"requirements": ["{{"]}, ValueError, r"requirements\[0\] is not a valid template"),
        ({"icl_examples": ["{{"]}, ValueError, r"icl_examples\[0\] is not a valid template"),
        ({"grounding_context": {"k": "{{"}}, ValueError, r"grounding_context\['k'\] is not a v"),
        ({"description": "{{ x.__class__.__mro__ }}"}, ValueError, "description cannot be render"),
    ],
)
def test_a_wrong_template_is_named(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Instruction(**{"description": "D", "user_variables": {"x": 1}, **arguments})


def test_a_wrong_template_is_refused_before_its_variables_arrive() -> None:
    with pytest.raises(ValueError, match="description is not a valid template"):
        Instruction("{{", user_variables={"x": pending()})


def test_components_may_be_grounding_and_the_repr_is_short() -> None:
    instruction = Instruction("D", grounding_context={"m": Message("user", "said")})
    assert "[m] = said" in prompt(instruction)
    assert repr(instruction) == "Instruction('D')"
