"""Components under the paths that programs written for mellea import them from."""

import importlib
import sys
import warnings
from typing import Any

import pytest

import motet
from mellea.stdlib.components import (
    Instruction,
    Message,
    SimpleComponent,
    as_chat_history,
    mify,
)
from mellea.stdlib.components.mify import MifiedProtocol
from motet import CBlock, ChatContext, SamplingResult


class Customer:
    def __init__(self) -> None:
        self.name = "Ada"


def test_an_object_may_be_given_by_name() -> None:
    for name in ("obj", "obj_or_class"):
        made: Any = mify(**{name: Customer()})
        assert isinstance(made, MifiedProtocol)
        assert made.name == "Ada"

    @mify(stringify_func=lambda each: each.name)
    class Shown(Customer):
        pass

    shown: Any = Shown()
    assert shown.content_as_string() == "Ada"
    one: Any = Customer()
    mify(one, stringify_func=lambda: f"this is {one.name}")
    assert one.content_as_string() == "this is Ada"


NO_ATTEMPTS: Any = {name: [] for name in ("generations", "validations", "actions", "contexts")}
MISUSES: dict[str, tuple[Any, type[Exception]]] = {
    "prefix": (lambda: Instruction("x", output_prefix="o", user_variables={}), TypeError),
    "block": (lambda: Instruction(CBlock("x"), user_variables={}), TypeError),
    "number": (lambda: SimpleComponent(x=3), TypeError),
    "no chat": (lambda: as_chat_history(ChatContext().add(CBlock("x"))), TypeError),
    "image": (lambda: Message("user", "x", images=[3]), ValueError),
    "judge": (lambda: motet.Requirement("r").format_for_llm(), RuntimeError),
    "index": (
        lambda: SamplingResult(3, True, **{f"sample_{k}": v for k, v in NO_ATTEMPTS.items()}),
        RuntimeError,
    ),
}


@pytest.mark.parametrize(("call", "kind"), MISUSES.values(), ids=MISUSES)
def test_programs_may_catch_what_mellea_asserted(call: Any, kind: type[Exception]) -> None:
    with pytest.raises(AssertionError) as caught:
        call()
    assert isinstance(caught.value, kind)


def test_the_old_name_of_generative_functions_says_that_it_is_old() -> None:
    sys.modules.pop("mellea.stdlib.components.genslot", None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        slots = importlib.import_module("mellea.stdlib.components.genslot")
    assert [each.category for each in caught] == [DeprecationWarning]
    assert "genslot has been renamed" in str(caught[0].message)
    assert "update your imports" in str(caught[0].message)
    stubs = importlib.import_module("mellea.stdlib.components.genstub")
    assert slots.GenerativeSlot is stubs.GenerativeStub
    assert slots.SyncGenerativeSlot is stubs.SyncGenerativeStub
    assert slots.AsyncGenerativeSlot is stubs.AsyncGenerativeStub
    assert slots.generative is stubs.generative
