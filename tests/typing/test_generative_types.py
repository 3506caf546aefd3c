"""What type checkers make of generative functions and tools; checked, and never run."""

# A generative function has no body, and mypy cannot know that this is meant.
# mypy: disable-error-code="empty-body"

from collections.abc import Coroutine
from typing import Any, Literal, assert_type

from motet import MelleaSession, ModelOutputThunk, OllamaModelBackend, SimpleContext
from motet._language.chat_context import ChatContext
from motet._language.mify import mify
from motet._language.tools.tool import MelleaTool, tool
from motet._programs.generative.stub import AsyncGenerativeStub, SyncGenerativeStub, generative
from motet._programs.sampling.strategies import RejectionSamplingStrategy

Mood = Literal["good", "bad"]


@generative
def classify(text: str, times: int = 1) -> Mood:
    """Classify."""


@generative
async def aclassify(text: str, times: int = 1) -> Mood:
    """Classify."""


@tool
def add(a: int, b: int) -> float:
    return a / b


@tool(name="other")
async def wait(seconds: float) -> str:
    return f"{seconds}"


@mify(fields_include=["x"])
class Point:
    x = 1


assert_type(classify, SyncGenerativeStub[[str, int], Mood])  # type: ignore[assert-type]  # names
assert_type(classify.__name__, str)
assert_type(mify(3), int)
assert_type(Point, type[Point])


def sync_forms(m: MelleaSession, ctx: ChatContext, backend: OllamaModelBackend) -> None:
    assert_type(classify(m, text="x"), Mood)
    assert_type(classify(m=m, text="x", times=3), Mood)
    assert_type(classify(m, text="x", requirements=["short"], strategy=None), Mood)
    assert_type(classify(m, text="x", precondition_requirements=["short"]), Mood)
    assert_type(classify(m, text="x", model_options={"seed": 1}), Mood)
    assert_type(classify(m, text="x", strategy=RejectionSamplingStrategy()), Mood)
    assert_type(classify(ctx, backend, text="x"), tuple[Mood, ChatContext])
    assert_type(classify(context=ctx, backend=backend, text="x"), tuple[Mood, ChatContext])


def sync_mistakes(m: MelleaSession, ctx: SimpleContext) -> None:
    classify(m, text=3)  # type: ignore[call-overload]
    classify(m, txt="x")  # type: ignore[call-overload]
    classify(m, "x")  # type: ignore[call-overload]
    classify(ctx, text="x")  # type: ignore[call-overload]
    classify("x")  # type: ignore[call-overload]
    classify(m, text="x", strategy="often")  # type: ignore[call-overload]


async def async_forms(
    m: MelleaSession, ctx: SimpleContext, backend: OllamaModelBackend, late: ModelOutputThunk[str]
) -> None:
    assert_type(await aclassify(m, text="x"), Mood)
    assert_type(await aclassify(m=m, text="x", times=3), Mood)
    assert_type(await aclassify(m, text=late), Mood)
    assert_type(await aclassify(ctx, backend, text=late), tuple[Mood, SimpleContext])
    assert_type(classify(m, text=late), Mood)
    assert_type(await aclassify(ctx, backend, text="x"), tuple[Mood, SimpleContext])
    await assert_type(aclassify(m, text="x"), Coroutine[Any, Any, Mood])
    _ = aclassify(m, txt="x")  # type: ignore[call-overload]


def kinds() -> None:
    plain: SyncGenerativeStub[..., Mood] = classify
    waited: AsyncGenerativeStub[..., Mood] = aclassify
    made: MelleaTool[..., float] = add
    print(plain, waited, made)


async def tools() -> None:
    assert_type(add(1, b=2), float)
    assert_type(await wait(1), str)
    assert_type(add.run(a=1), Any)
    assert_type(add.as_json_tool, dict[str, Any])
    add("x", 2)  # type: ignore[arg-type]
