"""Every mistake is an error at once, which names the argument; nothing is sent."""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import pytest

import motet.functional
from motet import (
    ChatContext,
    MelleaSession,
    Message,
    ModelOption,
    RejectionSamplingStrategy,
    SimpleContext,
    start_session,
)
from motet.testing import ScriptedBackend
from session.forms import FORMS, Caller

# The keywords of a call, the error and what it names.
Options: TypeAlias = tuple[dict[str, Any], type[Exception], str]

COMMON: Final[list[Options]] = [
    ({"model_options": 3}, TypeError, "model options"),
    ({"model_options": {3: 4}}, TypeError, "key of a model option"),
    ({"model_options": {"@@@sed@@@": 4}}, ValueError, "ModelOption.SEED"),
    ({"model_options": {ModelOption.SEED: "x"}}, TypeError, "SEED"),
    ({"model_options": {ModelOption.STREAM_TIMEOUT: -1}}, ValueError, "STREAM_TIMEOUT"),
    ({"format": 3}, TypeError, "format"),
    ({"format": "json"}, TypeError, "format"),
    ({"unheard_of": 1}, TypeError, "unheard_of"),
    ({"model_option": {}}, TypeError, "model_options"),
]
TOOLS: Final[list[Options]] = [
    ({"tool_calls": "yes"}, TypeError, "tool_calls"),
    ({"tool_calls": True, "model_options": {ModelOption.TOOLS: [3]}}, TypeError, "tool"),
    ({"tool_calls": True, "model_options": {ModelOption.TOOLS: "add"}}, TypeError, "TOOLS"),
]
SAMPLING: Final[list[Options]] = [
    ({"requirements": "be good"}, TypeError, "requirements should be a list"),
    ({"requirements": {"be good"}}, TypeError, "requirements should be a list"),
    ({"requirements": ["x", 3]}, TypeError, r"requirements\[1\]"),
    ({"requirements": [3], "strategy": None}, TypeError, r"requirements\[0\]"),
    ({"strategy": "rejection"}, TypeError, "strategy"),
    ({"strategy": RejectionSamplingStrategy}, TypeError, "strategy"),
    ({"return_sampling_results": True, "strategy": None}, ValueError, "return_sampling_results"),
    ({"return_sampling_results": 1}, TypeError, "return_sampling_results"),
]
IMAGES: Final[list[Options]] = [
    ({"images": "x.png"}, ValueError, "images should be a list"),
    ({"images": ["x.png"]}, ValueError, r"images\[0\]"),
]
VARIABLES: Final[list[Options]] = [
    ({"user_variables": ["x"]}, TypeError, "user_variables"),
    ({"user_variables": {3: "x"}}, TypeError, "user_variables"),
]

# The call, its keywords, the error and what it names.
Mistake = tuple[str, tuple[Any, ...], dict[str, Any], type[Exception], str]
MISTAKES: list[Mistake] = [
    *[("instruct", ("go",), *each) for each in [*COMMON, *TOOLS, *SAMPLING, *IMAGES, *VARIABLES]],
    ("instruct", (3,), {}, TypeError, "description"),
    ("instruct", ("{{x",), {"user_variables": {}}, ValueError, "description.*user variable"),
    ("instruct", ("go",), {"icl_examples": "x"}, TypeError, "icl_examples"),
    ("instruct", ("go",), {"icl_examples": [3]}, TypeError, r"icl_examples\[0\]"),
    ("instruct", ("go",), {"grounding_context": "x"}, TypeError, "grounding_context"),
    ("instruct", ("go",), {"grounding_context": {"a": 3}}, TypeError, r"grounding_context\['a'\]"),
    ("instruct", ("go",), {"grounding_context": {3: "a"}}, TypeError, "grounding_context"),
    ("instruct", ("go",), {"prefix": 3}, TypeError, "prefix"),
    ("instruct", ("go",), {"output_prefix": 3}, TypeError, "output_prefix"),
    (
        "instruct",
        ("go",),
        {"output_prefix": "x", "user_variables": {}},
        TypeError,
        "output_prefix.*user_variables",
    ),
    *[("act", (Message("user", "go"),), *each) for each in [*COMMON, *TOOLS, *SAMPLING]],
    ("act", (3,), {}, TypeError, "action"),
    ("act", (None,), {}, TypeError, "action"),
    ("act", (Message("user", "go"),), {"images": []}, TypeError, "images"),
    *[("chat", ("go",), *each) for each in [*COMMON, *TOOLS, *IMAGES, *VARIABLES]],
    ("chat", (3,), {}, TypeError, "content"),
    ("chat", ("go",), {"role": "boss"}, ValueError, "role 'boss'.*user"),
    ("chat", ("go",), {"documents": "x"}, TypeError, "documents"),
    ("chat", ("go",), {"documents": [3]}, TypeError, r"documents\[0\]"),
    ("chat", ("go",), {"strategy": None}, TypeError, "strategy"),
    ("chat", ("{{x",), {"user_variables": {}}, ValueError, "content"),
    *[("query", ("x", "go"), *each) for each in [*COMMON, *TOOLS]],
    ("query", ("x", 3), {}, TypeError, "query"),
    ("query", ("x", "go"), {"strategy": None}, TypeError, "strategy"),
    *[("transform", ("x", "go"), *each) for each in COMMON],
    ("transform", ("x", 3), {}, TypeError, "transformation"),
    ("transform", ("x", "go"), {"tool_calls": True}, TypeError, "tool_calls"),
    *[
        ("validate", ("good",), {"output": "x", **mistake[0]}, *mistake[1:])
        for mistake in COMMON[:7]
    ],
    ("validate", (3,), {"output": "x"}, TypeError, "reqs"),
    ("validate", ({"good"},), {"output": "x"}, TypeError, "reqs"),
    ("validate", (["good", 3],), {"output": "x"}, TypeError, r"reqs\[1\]"),
    ("validate", ("good",), {"output": "x", "generate_logs": 3}, TypeError, "generate_logs"),
    ("validate", ("good",), {"output": "x", "input": 3}, TypeError, "input"),
    ("validate", ("good",), {"output": "x", "tool_calls": True}, TypeError, "tool_calls"),
    ("validate", ("good",), {}, RuntimeError, "no output"),
]


@pytest.mark.anyio
@pytest.mark.parametrize("form", FORMS)
async def test_a_mistake_is_named_and_nothing_is_sent(form: str) -> None:
    backend = ScriptedBackend("yes")
    m = MelleaSession(backend)
    before = m.ctx
    for method, args, options, error, named in MISTAKES:
        with pytest.raises(error, match=f"(?s){named}") as caught:
            await getattr(Caller(form, m), method)(*args, **options)
        assert "begin()" not in str(caught.value), (method, options)
        assert "_start" not in str(caught.value), (method, options)
    assert backend.requests == []
    assert m.ctx is before


@pytest.mark.parametrize("method", ["instruct", "act", "query"])
def test_a_call_without_await_waits_in_any_case(method: str) -> None:
    args = {"instruct": ("go",), "act": (Message("user", "go"),), "query": ("x", "go")}[method]
    m = MelleaSession(ScriptedBackend("yes"))
    with pytest.raises(TypeError, match="await_result"):
        getattr(m, method)(*args, await_result=False)
    with pytest.raises(TypeError, match="await_result"):
        getattr(motet.functional, method)(*args, m.ctx, m.backend, await_result=False)


@pytest.mark.anyio
@pytest.mark.parametrize("method", ["ainstruct", "instruct"])
async def test_a_function_names_a_context_and_a_backend_that_are_none(method: str) -> None:
    backend, ctx = ScriptedBackend("yes"), SimpleContext()
    for args, named in [
        ((None, backend), "context should be a Context, not NoneType"),
        ((backend, ctx), "context should be a Context"),
        ((MelleaSession(backend), backend), "context should be a Context"),
        ((ctx, None), "backend should be a Backend, not NoneType"),
        ((ctx, MelleaSession(backend)), "backend should be a Backend"),
        ((ctx,), "backend"),
    ]:
        with pytest.raises(TypeError, match=named):
            result = getattr(motet.functional, method)("go", *args)
            await result


Session: Any = MelleaSession
start: Any = start_session
SESSIONS: list[tuple[Callable[[Any], object], type[Exception], str]] = [
    (lambda b: Session(3), TypeError, "backend"),
    (lambda b: Session(b, 3), TypeError, "ctx"),
    (lambda b: Session(b, linger=-1), ValueError, "linger"),
    (lambda b: Session(b, linger="1"), TypeError, "linger"),
    (lambda b: setattr(Session(b), "ctx", 3), TypeError, "ctx"),
    (lambda b: Session.powerup(3), TypeError, "extras"),
    (lambda b: start("unheard of"), ValueError, "unheard of.*ollama"),
    (lambda b: start("hf"), ValueError, "hf.*ollama"),
    (lambda b: start("ollama", 3), TypeError, "model_id"),
    (lambda b: start(ctx=3), TypeError, "ctx"),
    (lambda b: start(context_type="long"), ValueError, "context_type.*simple, chat"),
    (
        lambda b: start(ctx=ChatContext(), context_type="chat"),
        ValueError,
        "Cannot specify both 'ctx' and 'context_type'.",
    ),
    (lambda b: start(plugins=["x"]), ImportError, "plugins"),
    (lambda b: start(base_url=3), TypeError, "base_url"),
    (lambda b: start(unheard_of=1), TypeError, "unheard_of"),
    (lambda b: start(b, unheard_of=1), TypeError, "unheard_of"),
    (lambda b: start(b, model_options={"seed": 1}), TypeError, "model_options"),
    (lambda b: start(model_options=3), TypeError, "model options"),
]


def test_a_session_is_not_made_of_anything() -> None:
    for make, error, named in SESSIONS:
        with pytest.raises(error, match=named):
            make(ScriptedBackend("yes"))
