"""Compactors: windows, thresholds, summaries; and what is on its way meanwhile."""

import logging
from collections.abc import Sequence
from typing import Any

import anyio
import anyio.to_thread
import pytest
from hypothesis import given
from hypothesis import strategies as st

from language.scripted import EchoBackend, answer, arrive, lose, pending
from motet import (
    Backend,
    Context,
    MelleaSession,
    Message,
    ModelOption,
    Reply,
    Request,
    TemplateFormatter,
    WrongEventLoop,
)
from motet._language.chat_context import ChatContext
from motet._language.compaction import (
    Compactor,
    InlineCompactor,
    ThresholdCompactor,
    WindowCompactor,
    pin_nothing,
    pin_system,
    pin_system_and_initial_user,
)
from motet._language.context import SimpleContext
from motet._programs.summary import LLMSummarizeCompactor
from motet.testing.sweep import cancel_everywhere
from virtual_time import VIRTUAL_LOOPS

SYSTEM = Message("system", "be kind")
USER = Message("user", "hello")


def chat(*entries: Any, **options: Any) -> ChatContext:
    ctx = ChatContext(**options)
    for entry in entries:
        ctx = ctx.add(entry)
    return ctx


# What is pinned.


@pytest.mark.parametrize(
    ("entries", "counts"),
    [
        ([], (0, 0, 0)),
        ([USER, SYSTEM], (0, 0, 1)),
        ([SYSTEM, SYSTEM], (0, 2, 2)),
        ([SYSTEM, USER, USER], (0, 1, 2)),
        ([SYSTEM, "text", USER], (0, 1, 1)),
        ([SYSTEM, Message("assistant", "hi"), USER], (0, 1, 1)),
        ([answer("x"), SYSTEM], (0, 0, 0)),
    ],
)
def test_pin_predicates_count_the_beginning(
    entries: list[Any], counts: tuple[int, int, int]
) -> None:
    pins = (pin_nothing, pin_system, pin_system_and_initial_user)
    assert tuple(pin(entries) for pin in pins) == counts


# Windows.


def test_a_window_keeps_the_newest_and_what_is_pinned() -> None:
    ctx = chat(SYSTEM, *"abcd")
    assert WindowCompactor(size=2).compact(ctx).as_list() == [SYSTEM, "c", "d"]
    assert WindowCompactor(size=2, pin_predicate=pin_nothing).compact(ctx).as_list() == ["c", "d"]
    assert WindowCompactor(size=0).compact(ctx).as_list() == [SYSTEM]
    assert len(ctx.as_list()) == 5


@pytest.mark.parametrize("size", [4, 5, 100])
def test_a_window_that_drops_nothing_returns_the_same_object(size: int) -> None:
    ctx = chat(SYSTEM, *"abcd")
    assert WindowCompactor(size=size).compact(ctx) is ctx


def test_a_window_size_is_short_for_a_window() -> None:
    ctx = chat(SYSTEM, USER, *"abcd", window_size=2)
    assert ctx.as_list() == ctx.view_for_generation() == [SYSTEM, "c", "d"]


def test_a_pin_predicate_may_count_too_far() -> None:
    compactor = WindowCompactor(size=0, pin_predicate=lambda entries: 99)
    assert compactor.compact(chat("a", "b")).as_list() == ["a", "b"]
    compactor = WindowCompactor(size=1, pin_predicate=lambda entries: -1)
    assert compactor.compact(chat("a", "b")).as_list() == ["b"]


def test_a_window_may_be_put_over_any_context() -> None:
    ctx = SimpleContext().add("a").add("b")
    assert WindowCompactor(size=1).compact(ctx).as_list() == ["b"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"size": -1}, ValueError, "size of a WindowCompactor should be at least 0"),
        ({"size": 1.0}, TypeError, "size of a WindowCompactor should be a whole number"),
        ({"size": None}, TypeError, "size of a WindowCompactor should be a whole number"),
        ({"size": 1, "pin_predicate": 3}, TypeError, "pin_predicate should be a function"),
    ],
)
def test_a_wrong_argument_of_a_window_is_named(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        WindowCompactor(**arguments)


# What is on its way.


def test_what_is_on_its_way_is_never_dropped() -> None:
    first, second = pending(), pending()
    ctx = chat("a", first, "b", second, "c", "d", "e", window_size=2)
    assert ctx.as_list() == ["a", first, "b", second, "c", "d", "e"]
    arrive(first)
    assert ctx.as_list() == ["a", first, "b", second, "c", "d", "e"]
    assert ctx.add("f").as_list() == ["b", second, "c", "d", "e", "f"]
    arrive(second)
    assert ctx.add("f").as_list() == ["e", "f"]
    assert ctx.view_for_generation() == ["d", "e"]


def test_what_is_older_than_what_is_on_its_way_is_dropped() -> None:
    on_its_way = pending()
    ctx = chat(*"abcd", on_its_way, *"efg", window_size=2)
    assert ctx.as_list() == ["d", on_its_way, "e", "f", "g"]


def test_a_window_of_one_keeps_the_question_of_a_pending_answer() -> None:
    on_its_way = pending()
    ctx = chat("a", answer("1"), "b", on_its_way, window_size=1)
    assert ctx.as_list() == ["b", on_its_way]
    lose(on_its_way)
    assert ctx.as_list() == []


def test_a_window_of_none_keeps_a_pending_answer_and_a_lost_one_harms_nothing() -> None:
    on_its_way = pending()
    ctx = chat(SYSTEM, "a", on_its_way, window_size=0)
    assert ctx.as_list() == [SYSTEM, on_its_way]
    lose(on_its_way)
    assert ctx.as_list() == ctx.view_for_generation() == [SYSTEM]


def test_a_window_counts_without_the_turns_that_failed() -> None:
    lost = pending()
    ctx = chat("a", "b", "c", lost, window_size=2)
    lose(lost)
    assert ctx.as_list() == []  # "a" and "b" made room while it was on its way
    ctx = chat("a", "b", window_size=4).add("c").add(other := pending())
    lose(other)
    assert ctx.add("d").as_list() == ["a", "b", "d"]


@given(data=st.data(), size=st.integers(0, 4))
def test_however_answers_arrive_the_view_is_that_of_a_sequential_chat(
    data: st.DataObject, size: int
) -> None:
    count = data.draw(st.integers(1, 8))
    fates = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    ctx = chat(SYSTEM, window_size=size)
    sequential: list[Any] = [SYSTEM]
    on_their_way: list[tuple[Any, bool]] = []
    for number, well in enumerate(fates):
        # Some arrive before the next turn is added, some later.
        ctx = ctx.add(question := f"q{number}").add(thunk := pending())
        on_their_way.append((thunk, well))
        if well:
            sequential += [question, thunk]
        for _ in range(data.draw(st.integers(0, len(on_their_way)))):
            index = data.draw(st.integers(0, len(on_their_way) - 1))
            arrived, fate = on_their_way.pop(index)
            (arrive if fate else lose)(arrived)
    for thunk, well in on_their_way:
        (arrive if well else lose)(thunk)
    view = ctx.view_for_generation()
    assert view[0] is SYSTEM
    # What failed after an older entry had made place for it cannot bring that back.
    assert sequential[1:][len(sequential) - len(view) :] == view[1:]
    assert len(view) <= size + 1
    if all(fates):
        assert view[1:] == (sequential[1:][-size:] if size else [])


# Compactors of one's own.


class Careless(InlineCompactor):
    """Keeps only the newest entry, whatever is on its way."""

    def compact(self, ctx: Any, *, backend: Backend | None = None) -> Any:
        return ctx.with_entries(ctx.as_list(1))


def test_a_compaction_that_would_drop_what_is_on_its_way_is_put_off() -> None:
    on_its_way = pending()
    ctx = chat("a", on_its_way, "b", "c", compactor=Careless())
    assert ctx.as_list() == [on_its_way, "b", "c"]
    arrive(on_its_way)
    assert ctx.add("d").as_list() == ["d"]


def test_a_compactor_must_return_such_a_context() -> None:
    class Wrong(InlineCompactor):
        def compact(self, ctx: Any, *, backend: Backend | None = None) -> Any:
            return ctx.as_list()

    with pytest.raises(TypeError, match=r"Wrong.* should return a ChatContext, not list"):
        chat("a", compactor=Wrong())


def test_only_what_is_quick_may_run_inside_add() -> None:
    class Slow(Compactor):
        def compact(self, ctx: Any, *, backend: Backend | None = None) -> Any:
            return ctx

    for compactor in (Slow(), ThresholdCompactor(Slow(), threshold=1)):
        with pytest.raises(TypeError, match="neither wait nor talk to a model"):
            ChatContext(compactor=compactor)  # type: ignore[arg-type]  # the point of the test
    with pytest.raises(ValueError, match="not both"):
        ChatContext(compactor=Careless(), window_size=3)


# Thresholds.


def test_a_threshold_asks_the_newest_usage() -> None:
    gate = ThresholdCompactor(WindowCompactor(size=1), threshold=10)
    low = chat("a", answer("x", total_tokens=10), "b")
    assert gate.compact(low) is low
    high = chat("a", answer("x", total_tokens=11), "b")
    assert gate.compact(high).as_list() == ["b"]
    parts = chat("a", answer("x", prompt_tokens=6, completion_tokens=5), "b")
    assert gate.compact(parts).as_list() == ["b"]
    newest = chat("a", answer("x", total_tokens=99), "b", answer("y", total_tokens=1), "c")
    assert gate.compact(newest) is newest
    unknown = chat("a", answer("x", total_tokens=99), "b", answer("y"), pending(), "c")
    assert gate.compact(unknown) is not unknown
    never = chat("a", answer("x"), "b")
    assert gate.compact(never) is never


@pytest.mark.parametrize("threshold", [0, -5])
def test_a_threshold_of_nothing_disables(threshold: int) -> None:
    ctx = chat("a", answer("x", total_tokens=99), "b")
    assert ThresholdCompactor(WindowCompactor(size=1), threshold=threshold).compact(ctx) is ctx


def test_a_wrong_argument_of_a_threshold_is_named() -> None:
    with pytest.raises(TypeError, match="inner should be a Compactor, not int"):
        ThresholdCompactor(3, threshold=1)  # type: ignore[arg-type]  # the point of the test
    with pytest.raises(TypeError, match="threshold should be a whole number of tokens, not '1'"):
        ThresholdCompactor(Careless(), threshold="1")  # type: ignore[arg-type]  # as above


def test_a_gated_window_runs_inside_add() -> None:
    gate = ThresholdCompactor(WindowCompactor(size=1), threshold=10)
    ctx = chat("a", "b", "c", compactor=gate)
    assert len(ctx.as_list()) == 3
    assert ctx.add(answer("x", total_tokens=11)).add("d").as_list() == ["d"]
    assert repr(gate) == "ThresholdCompactor(WindowCompactor(size=1), threshold=10)"


@pytest.mark.anyio
async def test_every_compactor_can_be_awaited() -> None:
    ctx = chat("a", answer("x", total_tokens=11), "b")
    window = WindowCompactor(size=1)
    assert (await window.acompact(ctx)).as_list() == ["b"]
    assert (await ThresholdCompactor(window, threshold=10).acompact(ctx)).as_list() == ["b"]
    assert await ThresholdCompactor(window, threshold=11).acompact(ctx) is ctx


# Summaries.


def summing(backend: Backend | None = None, **options: Any) -> LLMSummarizeCompactor:
    if backend is None:
        backend = EchoBackend()
        backend.answer = "in short"
    return LLMSummarizeCompactor(default_backend=backend, **options)


def texts(entries: Sequence[Any]) -> list[str]:
    return [str(entry) for entry in entries]


@pytest.mark.anyio
async def test_a_summary_stands_for_the_older_entries() -> None:
    backend = EchoBackend()
    backend.answer = "in short"
    ctx = chat(SYSTEM, USER, answer("hi"), "a {b}", "c")
    compactor = summing(backend, keep_n=1, pin_predicate=pin_system)
    short = await compactor.acompact(ctx)
    assert texts(short.as_list()) == ["be kind", "[CONTEXT SUMMARY]\nin short", "c"]
    assert short.as_list()[1].role == "user"
    [[prompt]] = backend.asked
    assert prompt.endswith("user: hello\nassistant: hi\nuser: a {b}")
    assert len(ctx.as_list()) == 5


@pytest.mark.anyio
async def test_a_prompt_of_ones_own_is_filled_in() -> None:
    backend = EchoBackend()
    compactor = summing(backend, keep_n=0, prompt_template="{{x}} {conversation}!")
    await compactor.acompact(chat("{a}"))
    assert backend.asked == [["{x} user: {a}!"]]


@pytest.mark.anyio
async def test_the_options_and_another_backend_are_used() -> None:
    first, second = EchoBackend(), EchoBackend()
    compactor = summing(first, keep_n=0, model_options={ModelOption.SEED: 7})
    await compactor.acompact(chat("a"), backend=second)
    assert (len(first.asked), len(second.asked)) == (0, 1)
    with pytest.raises(TypeError, match="backend should be a Backend, not str"):
        await compactor.acompact(chat("a"), backend="x")  # type: ignore[arg-type]  # as it says
    with pytest.raises(TypeError, match="ctx should be a Context, not list"):
        await compactor.acompact([])  # type: ignore[type-var]  # as it says


@pytest.mark.anyio
@pytest.mark.parametrize("count", [0, 4, 5])
async def test_a_short_conversation_stays_the_same_object(count: int) -> None:
    backend = EchoBackend()
    ctx = chat(*"abcde"[:count])
    assert await summing(backend).acompact(ctx) is ctx
    assert backend.asked == []


@pytest.mark.anyio
@pytest.mark.parametrize("prompt", ["fail {conversation}", "empty {conversation}"])
async def test_a_summary_that_fails_leaves_the_conversation_and_a_warning(
    prompt: str, caplog: pytest.LogCaptureFixture
) -> None:
    backend = EchoBackend()
    backend.answer = " \n"
    ctx = chat("a", "b")
    compactor = summing(backend, keep_n=1, prompt_template=prompt)
    with caplog.at_level(logging.WARNING, logger="motet"):
        assert await compactor.acompact(ctx) is ctx
    assert [record.name for record in caplog.records] == ["motet"]
    assert "not summarised" in caplog.text


@pytest.mark.anyio
async def test_a_backend_of_ones_own_may_fail_with_any_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(EchoBackend):
        async def reply(self, request: Request, reply: Reply) -> None:
            raise OSError("the disk is gone")

    ctx = chat("a", "b")
    with caplog.at_level(logging.WARNING, logger="motet"):
        assert await summing(Broken(), keep_n=1).acompact(ctx) is ctx
    (record,) = caplog.records
    assert record.getMessage() == "the context was not summarised: OSError: the disk is gone"
    assert record.exc_info is not None  # it is nobody's of ours, so where it comes from matters


@pytest.mark.anyio
async def test_a_summary_waits_for_the_older_answers_only() -> None:
    backend = EchoBackend()
    async with MelleaSession(backend, ChatContext()) as m:
        first, lost = await m.ainstruct("wait 1"), await m.ainstruct("fail 2")
        older = m.ctx
        newest = await m.ainstruct("wait 3")
        kept: list[Context] = []

        async def compact() -> None:
            kept.append(await summing(keep_n=2).acompact(m.ctx))

        async with anyio.create_task_group() as group:
            group.start_soon(compact)
            await anyio.wait_all_tasks_blocked()
            assert kept == []
            backend.gate("wait 1").set()
        assert older.as_list() == [first.action, first]
        assert not newest.is_settled()
        assert not first.is_computed()  # its consumer has not asked yet
        assert texts(kept[0].as_list()[:1]) == ["[CONTEXT SUMMARY]\nin short"]
        assert kept[0].as_list()[1:] == [newest.action, newest]
        assert lost.is_lost()
        backend.gate("wait 3").set()


@pytest.mark.anyio
async def test_turns_that_are_added_meanwhile_are_kept_by_a_merge() -> None:
    backend = EchoBackend()
    async with MelleaSession(backend, ChatContext()) as m:
        for number in range(3):
            await m.achat(str(number))
        summer = EchoBackend()
        compactor = summing(summer, keep_n=0, prompt_template="wait{conversation:.0}")

        async def compact() -> None:
            m.ctx = (await compactor.acompact(m.ctx)).merge(m.ctx)

        async with anyio.create_task_group() as group:
            group.start_soon(compact)
            await anyio.wait_all_tasks_blocked()
            await m.achat("meanwhile")
            summer.gate("wait").set()
        shown = texts(m.ctx.as_list())
        assert shown == ["[CONTEXT SUMMARY]\nre: wait", "meanwhile", "re: meanwhile"]
        await m.achat("after")
        assert backend.asked[-1] == [*shown, "after"]


@pytest.mark.anyio
async def test_a_summary_that_is_given_up_is_stopped() -> None:
    backend = EchoBackend()
    compactor = summing(backend, keep_n=0, prompt_template="wait{conversation:.0}")
    async with anyio.create_task_group() as group:
        group.start_soon(compactor.acompact, chat("a"))
        await anyio.wait_all_tasks_blocked()
        assert backend.open_replies == 1
        group.cancel_scope.cancel()
    assert (backend.open_replies, backend.stopped["wait"]) == (0, 1)


@pytest.mark.parametrize("loop", VIRTUAL_LOOPS.values(), ids=VIRTUAL_LOOPS)
def test_a_summary_may_be_cancelled_anywhere(loop: Any) -> None:
    async def scenario() -> None:
        backend = EchoBackend()
        async with MelleaSession(backend, ChatContext()) as m:
            _ = await m.ainstruct("one")
            await summing(keep_n=0).acompact(m.ctx)

    report = cancel_everywhere(scenario, loop=loop)
    assert report.checkpoints


def test_a_summary_may_be_asked_for_without_await() -> None:
    short = summing(keep_n=1).compact(chat("a", "b"))
    assert texts(short.as_list()) == ["[CONTEXT SUMMARY]\nin short", "b"]


@pytest.mark.anyio
async def test_a_summary_may_be_asked_for_without_await_on_an_event_loop() -> None:
    async with MelleaSession(EchoBackend(), ChatContext()) as m:
        first = await m.ainstruct("one")
        await first
        assert len(summing(keep_n=0).compact(m.ctx).as_list()) == 1
        _ = await m.ainstruct("wait 2")
        with pytest.raises(WrongEventLoop, match="belongs to the"):
            summing(keep_n=0).compact(m.ctx)
        in_thread = await anyio.to_thread.run_sync(summing(keep_n=2).compact, m.ctx)
        assert len(in_thread.as_list()) == 3


@pytest.mark.anyio
async def test_a_summary_may_be_gated_by_a_threshold() -> None:
    gate = ThresholdCompactor(summing(keep_n=0), threshold=10)
    low = chat("a", answer("x", total_tokens=10))
    assert await gate.acompact(low) is low
    short = await gate.acompact(chat("a", answer("x", total_tokens=11)))
    assert texts(short.as_list()) == ["[CONTEXT SUMMARY]\nin short"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"keep_n": -1}, ValueError, "keep_n should be at least 0"),
        ({"keep_n": "2"}, TypeError, "keep_n should be a whole number"),
        ({"default_backend": None}, TypeError, "default_backend should be a Backend, not NoneType"),
        ({"pin_predicate": None}, TypeError, "pin_predicate should be a function"),
        ({"prompt_template": 3}, TypeError, "prompt_template should be a string, not int"),
        ({"prompt_template": "nothing"}, ValueError, r"should have \{conversation\}"),
        ({"prompt_template": "{conversation} {x}"}, ValueError, "no other name"),
        ({"prompt_template": "{conversation"}, ValueError, "prompt_template is no format string"),
        ({"model_options": 3}, TypeError, "model options must be a mapping"),
    ],
)
def test_a_wrong_argument_of_a_summary_is_named(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        LLMSummarizeCompactor(**{"default_backend": EchoBackend(), **arguments})


def test_the_prompt_of_a_summary_can_be_replaced_by_a_file(tmp_path: Any) -> None:
    (tmp_path / "default").mkdir()
    (tmp_path / "default" / "ContextSummary.jinja2").write_text("sum: {{ conversation }}")
    formatter = TemplateFormatter("m", template_path=tmp_path)
    backend = EchoBackend(formatter=formatter)
    summing(backend, keep_n=0).compact(chat("a"))
    assert backend.asked == [["sum: user: a"]]
