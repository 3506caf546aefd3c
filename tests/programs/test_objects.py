"""Objects that a model can be asked about, or be asked to change."""

import copy
import dataclasses
from typing import Any

import anyio
import attrs
import pydantic
import pytest

from motet import (
    CBlock,
    Component,
    Document,
    Instruction,
    Message,
    ModelOutputThunk,
    SimpleContext,
    TemplateFormatter,
)
from motet._language.mify import mify
from motet._language.objects import (
    MObject,
    MObjectProtocol,
    Query,
    Transform,
    as_query,
    as_transform,
)
from motet._language.simple import SimpleComponent
from motet.testing import ScriptedBackend

FORMATTER = TemplateFormatter("x")


def shown(component: Any) -> str:
    return FORMATTER.print(component)


def tools(component: Any) -> list[str]:
    return list(component.format_for_llm().tools or ())


class Account(MObject):
    def __init__(self, balance: int) -> None:
        super().__init__()
        self.balance = balance

    def pay(self, amount: int) -> "Account":
        """Pay something in."""
        return Account(self.balance + amount)

    def close(self) -> None:
        """Close it: [no-index]."""

    def undocumented(self) -> None: ...

    def _private(self) -> None:
        """Do something."""

    @property
    def broken(self) -> int:
        """A property is no method, and is not even looked at."""
        raise AssertionError

    def __str__(self) -> str:
        return f"an account with {self.balance}"


@dataclasses.dataclass
class Town:
    name: str
    people: int = 0
    _secret: str = "x"

    def rename(self, name: str) -> "Town":
        """Give it another name."""
        return Town(name, self.people)

    def undocumented(self) -> None: ...


# What is said.


def test_a_query_shows_the_object_and_the_question() -> None:
    assert shown(as_query(Account(7), "How much?")) == (
        "Here is an object:\nan account with 7\n\nAnswer this about the object:\nHow much?"
    )


def test_a_transformation_shows_the_object_and_the_change() -> None:
    assert shown(as_transform(Account(7), "Pay 3")) == (
        "Here is an object:\nan account with 7\n\n"
        "Change it in this way, and give back an object of the same kind:\nPay 3"
    )


@pytest.mark.parametrize("asking", [as_query, as_transform])
def test_documented_methods_are_tools(asking: Any) -> None:
    assert tools(asking(Account(1), "?")) == ["pay"]
    made = asking(Account(1), "?").format_for_llm().tools["pay"]
    assert made.run(amount=2).balance == 3


@pytest.mark.parametrize("about", [Query, Transform])
def test_the_object_is_the_only_part(about: Any) -> None:
    account = Account(1)
    assert about(account, "?").parts() == [account]


@pytest.mark.parametrize(
    ("obj", "text"),
    [
        ("text", "text"),
        (CBlock("block"), "block"),
        (ModelOutputThunk("reply"), "reply"),
        (Document("words", "title"), "[Document]\ntitle: words"),
        (Message("user", "hello"), "hello"),
        ([1, 2], "[1, 2]"),
        (42, "42"),
        (Town("Rome", 3), "Town(name='Rome', people=3, _secret='x')"),
    ],
)
def test_anything_can_be_asked_about(obj: Any, text: str) -> None:
    assert f"object:\n{text}\n" in shown(as_query(obj, "?"))
    assert f"object:\n{text}\n" in shown(as_transform(obj, "!"))


def test_asking_about_an_object_leaves_it_as_it_is() -> None:
    town = Town("Rome")
    assert tools(as_query(town, "?")) == ["rename"]
    assert not isinstance(town, MObjectProtocol)
    assert tools(as_query({"a": 1}, "?")) == []


def test_an_object_may_have_its_own_kinds_of_questions() -> None:
    class Ask(Query):
        pass

    class Change(Transform):
        pass

    class Special(MObject):
        def __init__(self) -> None:
            super().__init__(query_type=Ask, transform_type=Change)

    assert type(as_query(Special(), "?")) is Ask
    assert type(as_transform(Special(), "!")) is Change
    assert "Answer this" in shown(as_query(Special(), "?"))


def test_a_mobject_is_what_the_protocol_asks_for() -> None:
    assert isinstance(Account(1), MObjectProtocol)
    assert isinstance(Account(1), Component)


@pytest.mark.anyio
async def test_an_object_may_hold_replies_that_have_not_arrived() -> None:
    backend = ScriptedBackend(lambda asked: [0.01, "seven"] if asked.prompt == "first" else "ok")

    class Holding(MObject):
        def __init__(self, held: Any) -> None:
            super().__init__()
            self.held = held

        def __str__(self) -> str:
            return f"it holds {self.held}"

    @mify
    @dataclasses.dataclass
    class Plain:
        held: Any

        def __str__(self) -> str:
            return f"it holds {self.held}"

    first = backend.begin(Instruction("first"), SimpleContext())
    about = [as_query(each, "?") for each in (Holding(first), Plain(first), first)]
    for query in about:
        assert await backend.begin(query, SimpleContext()) == "ok"
    assert "it holds seven" in backend.prompts[1]
    assert "it holds seven" in backend.prompts[2]
    assert "object:\nseven\n" in backend.prompts[3]


@pytest.mark.anyio
async def test_the_answer_to_a_query_is_text() -> None:
    thunk = ScriptedBackend("an answer").begin(as_query(Account(1), "?"), SimpleContext())
    await thunk
    assert thunk.parsed_repr == "an answer"


# mify


def test_a_class_is_mified_as_a_decorator() -> None:
    @mify
    class Plain:
        def __str__(self) -> str:
            return "plain"

    @mify(stringify_func=lambda obj: f"a {type(obj).__name__}")
    class Fancy:
        pass

    assert isinstance(Plain(), MObjectProtocol)
    assert isinstance(Plain(), Component)
    assert shown(Plain()) == "plain"
    assert shown(Fancy()) == "a Fancy"


def test_an_object_is_mified_and_its_class_is_not() -> None:
    town = Town("Rome")
    assert mify(town) is town
    assert isinstance(town, MObjectProtocol)
    assert not isinstance(Town("Paris"), MObjectProtocol)
    assert town == Town("Rome")
    assert tools(town) == ["rename"]


def test_what_is_one_already_stays_as_it_is() -> None:
    account = Account(1)
    assert mify(account) is account
    assert "query_type" not in vars(account)
    assert mify(Account) is Account
    town = mify(Town("Rome"))
    before = dict(vars(town))
    assert vars(mify(town)) == before


def test_a_copy_of_a_mified_object_speaks_for_itself() -> None:
    town = mify(Town("Rome"))
    twin = copy.deepcopy(town)
    twin.name = "Paris"
    assert "Paris" in shown(as_query(twin, "?"))


def test_fields_take_the_place_of_the_content() -> None:
    template = "{{ name }}: {{ people }}"
    town = mify(Town("Rome", 3), fields_include=["people", "name"], template=template)
    assert shown(town) == "Rome: 3"
    assert town.format_for_llm().fields == ["Rome", 3]  # type: ignore[attr-defined]
    assert shown(mify(Town("Rome", 3), fields_exclude=["name"])) == "people: 3"
    assert (
        shown(mify(Town("Rome", 3), fields_include={"people", "name"})) == "name: Rome\npeople: 3"
    )


def test_a_name_that_is_included_and_excluded_is_excluded() -> None:
    town = mify(
        Town("Rome", 3),
        fields_include=["name", "people"],
        fields_exclude=["name"],
        funcs_include=["rename", "undocumented"],
        funcs_exclude=["rename"],
    )
    assert shown(town) == "people: 3"
    assert tools(town) == ["undocumented"]


def test_properties_and_slots_can_be_shown() -> None:
    @mify(fields_include=["x", "double"])
    @attrs.frozen
    class Point:
        x: int

        @property
        def double(self) -> int:
            return 2 * self.x

    assert shown(Point(2)) == "x: 2\ndouble: 4"


def test_a_pydantic_model_shows_its_own_methods_only() -> None:
    class Model(pydantic.BaseModel):
        x: int = 1

        def grow(self, by: int) -> int:
            """Grow."""
            return self.x + by

    model = mify(Model())
    assert tools(model) == ["grow"]
    assert model.model_dump() == {"x": 1}
    assert tools(as_query(Model(), "?")) == ["grow"]


def test_methods_asked_for_by_name_need_no_documentation() -> None:
    assert tools(mify(Town("Rome"), funcs_include=["undocumented"])) == ["undocumented"]
    assert tools(mify(Town("Rome"), funcs_exclude=["rename"])) == []


def test_an_answer_is_read_as_the_program_says() -> None:
    town = mify(Town("Rome"), parsing_func=lambda thunk: Town(str(thunk)))
    assert town.parse(ModelOutputThunk("Paris")) == Town("Paris")  # type: ignore[attr-defined]


def test_a_class_may_override_what_it_is_given() -> None:
    @mify
    class Own:
        def content_as_string(self) -> str:
            return "own words"

    assert shown(Own()) == "own words"
    assert tools(Own()) == []


def test_a_template_may_be_looked_for_under_another_name() -> None:
    assert mify(Town("x"), template_order="Town").format_for_llm().template_order == ["Town"]  # type: ignore[attr-defined]


def test_an_attribute_in_the_way_is_named() -> None:
    @dataclasses.dataclass
    class Machine:
        parts: list[str]

    with pytest.raises(TypeError, match="'parts'"):
        mify(Machine([]))


@pytest.mark.parametrize("obj", ["text", 3, [1], Town])
def test_what_cannot_have_methods_is_refused(obj: Any) -> None:
    if obj is Town:
        obj = attrs.make_class("Slotted", ["x"], slots=True)(1)
    with pytest.raises(TypeError, match="cannot be given methods"):
        mify(obj)


def test_an_option_that_there_is_not_is_named() -> None:
    with pytest.raises(TypeError, match=r"no option colour; it has query_type"):
        mify(Town("x"), colour="red")  # type: ignore[call-overload]


def test_one_string_is_no_list_of_names() -> None:
    with pytest.raises(TypeError, match="'name'"):
        mify(Town("x"), fields_include="name")


# SimpleComponent


def test_named_texts_are_one_json_object() -> None:
    component = SimpleComponent(
        a="it's <b>é</b>", b=CBlock("x"), c=Document("d"), d=ModelOutputThunk("t")
    )
    assert shown(component) == (
        '{"a": "it\'s <b>é</b>", "b": "x", "c": "[Document]\\nd", "d": "t"}'
    )
    assert len(component.parts()) == 4
    assert shown(SimpleComponent()) == "{}"


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(TypeError, match="number: "):
        SimpleComponent(number=3)


@pytest.mark.anyio
async def test_a_simple_component_waits_for_its_parts_and_its_answer_is_text() -> None:
    gate = anyio.Event()

    class Gated(ScriptedBackend):
        async def reply(self, request: Any, reply: Any) -> None:
            if not self.requests:
                self.requests.append(request)
                await gate.wait()
                reply.feed("late")
            else:
                await super().reply(request, reply)

    backend = Gated(["ok"])
    late = backend.begin(Instruction("first"), SimpleContext())
    thunk = backend.begin(SimpleComponent(a=late), SimpleContext())
    gate.set()
    assert await thunk == "ok"
    assert thunk.parsed_repr == "ok"
    assert backend.prompts[1] == '{"a": "late"}'
