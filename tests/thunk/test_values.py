"""Thunks as values: made by hand, printed, copied, known to be computed."""

import copy
from typing import Any

import anyio
import anyio.to_thread
import pytest

from motet._thunk.fanout import wait_for_all_mots
from motet._thunk.thunk import ComputedModelOutputThunk, ModelOutputThunk
from motet._values.errors import GenerationCancelled, PendingReplyError, WrongEventLoop
from thunk.by_hand import Reply, others_wait, scripted

Thunk = ModelOutputThunk[Any]


class Own(Exception):
    """An error of the test's."""


# Made by hand.


@pytest.mark.parametrize("text", ["", "Hello"])
def test_a_string_makes_it_computed(text: str) -> None:
    thunk: Thunk = ModelOutputThunk(text)
    assert thunk.is_computed()
    assert thunk.value == str(thunk) == thunk.partial == text
    assert repr(thunk) == f"ModelOutputThunk({text})"
    assert thunk.thinking == ""
    assert not thunk.cancelled
    assert thunk.error is None
    assert thunk.generate_log is None


def test_none_makes_a_blank() -> None:
    thunk: Thunk = ModelOutputThunk(None)
    assert not thunk.is_computed()
    assert thunk.value is None
    assert thunk.thinking is None
    assert str(thunk) == ""
    assert repr(thunk) == "ModelOutputThunk(None)"
    assert thunk.partial == ""


def test_what_is_given_is_kept() -> None:
    meta, calls = {"a": 1}, {"tool": object()}
    thunk = ModelOutputThunk("{}", meta, {"parsed": 1}, calls)
    assert thunk.meta is meta
    assert thunk.parsed_repr == {"parsed": 1}
    assert thunk.tool_calls is calls
    assert ModelOutputThunk("").meta == {}
    assert ModelOutputThunk("").meta is not ModelOutputThunk("").meta


@pytest.mark.parametrize("value", [1, b"bytes", ["list"], object()])
def test_a_value_that_is_no_text_is_refused_by_name(value: Any) -> None:
    with pytest.raises(TypeError, match=type(value).__name__):
        ModelOutputThunk(value)


def test_setting_the_value_of_a_blank_does_not_make_it_computed() -> None:
    thunk: Thunk = ModelOutputThunk(None)
    thunk.value = "Hello"
    assert thunk.value == "Hello"
    assert not thunk.is_computed()


@pytest.mark.anyio
@pytest.mark.parametrize("call", ["avalue", "astream", "wait_for_all_mots"])
async def test_a_blank_has_nothing_to_wait_for(call: str) -> None:
    thunk: Thunk = ModelOutputThunk(None)
    wait = (lambda: wait_for_all_mots([thunk])) if call[0] == "w" else getattr(thunk, call)
    with pytest.raises(RuntimeError, match="nothing to wait for"):
        await wait()
    with pytest.raises(RuntimeError, match="nothing to wait for"):
        aiter(thunk)


# Printed.


@pytest.mark.anyio
async def test_str_of_a_pending_thunk_names_what_to_await() -> None:
    reply = Reply()
    reply.feed("Hel")
    for _ in range(2):
        with pytest.raises(PendingReplyError, match="await thunk"):
            str(reply.thunk)
    reply.end()
    await others_wait()
    assert str(reply.thunk) == "Hel", "it has arrived, so there is nothing to wait for"
    assert reply.thunk.is_computed()


@pytest.mark.anyio
async def test_repr_never_waits_and_tells_nothing_that_is_not_known() -> None:
    reply = Reply()
    reply.feed("Hello")
    assert repr(reply.thunk) == "ModelOutputThunk(None)"
    assert f"{reply.thunk!r}" == "ModelOutputThunk(None)"
    reply.end()
    assert await reply.thunk == "Hello"
    assert repr(reply.thunk) == "ModelOutputThunk(Hello)"


@pytest.mark.anyio
async def test_comparing_and_hashing_never_wait() -> None:
    one, other = Reply().thunk, Reply().thunk
    assert one != other
    assert one == one
    assert len({one, other, one}) == 2
    assert bool(one)


@pytest.mark.anyio
async def test_str_in_a_worker_thread_waits() -> None:
    reply = Reply()
    texts: list[str] = []

    async def in_thread() -> None:
        texts.append(await anyio.to_thread.run_sync(str, reply.thunk))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(in_thread)
        tasks.start_soon(in_thread)
        with anyio.fail_after(30):
            while reply.generation.interest < 2:  # noqa: ASYNC110 - threads ring no bell
                await anyio.sleep(0.001)
        reply.feed("Hello")
        reply.end()
    assert texts == ["Hello"] * 2


@pytest.mark.anyio
async def test_str_in_a_worker_thread_raises_the_error() -> None:
    thunk = scripted("Hel", Own("broken"))
    with pytest.raises(Own):
        await anyio.to_thread.run_sync(str, thunk)


@pytest.mark.anyio
@pytest.mark.parametrize("ended", ["before", "after"])
async def test_str_of_a_failed_thunk_raises_every_time(ended: str) -> None:
    thunk = scripted("Hel", Own("broken"))
    await others_wait()
    if ended == "after":
        with pytest.raises(Own):
            await thunk
    for _ in range(3):
        with pytest.raises(Own):
            str(thunk)
    assert thunk.value == "Hel"
    assert repr(thunk) == "ModelOutputThunk(Hel)"


@pytest.mark.anyio
async def test_str_of_a_thunk_that_was_given_up_raises() -> None:
    reply = Reply(linger=0)
    reply.feed("Hel")
    with anyio.CancelScope() as scope:
        scope.cancel()
        await reply.thunk
    await others_wait()
    for _ in range(2):
        with pytest.raises(GenerationCancelled) as caught:
            str(reply.thunk)
        assert caught.value.partial == "Hel"


def test_str_where_the_event_loop_stands_still_does_not_wait_for_ever() -> None:
    import asyncio

    loop = asyncio.new_event_loop()

    async def start() -> Reply:
        return Reply()

    reply = loop.run_until_complete(start())
    with pytest.raises((PendingReplyError, WrongEventLoop), match="not running"):
        str(reply.thunk)
    reply.end()
    loop.run_until_complete(reply.thunk.avalue())
    assert str(reply.thunk) == ""
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


# Copied.


@pytest.mark.anyio
@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy])
async def test_only_outcomes_are_copied(how: Any) -> None:
    reply = Reply()
    with pytest.raises(RuntimeError, match="await"):
        how(reply.thunk)
    with pytest.raises(RuntimeError):
        how(ModelOutputThunk(None))
    reply.feed("Hello")
    reply.end()
    await reply.thunk
    twin = how(reply.thunk)
    assert twin is not reply.thunk
    assert type(twin) is ModelOutputThunk
    assert (twin.value, twin.is_computed(), twin.cancelled) == ("Hello", True, False)
    assert await twin == await twin.astream() == "Hello"


@pytest.mark.anyio
@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy])
async def test_a_copy_has_the_same_outcome_whatever_it_is(how: Any) -> None:
    failed = scripted("Hel", Own("broken"))
    with pytest.raises(Own):
        await failed
    with pytest.raises(Own):
        await how(failed)
    cancelled = Reply().thunk
    await cancelled.cancel_generation()
    assert how(cancelled).cancelled
    assert await how(cancelled) == ""


class Context:
    """What a call was made in; a thunk does not keep it alive."""


CONTEXT = Context()


def filled() -> Thunk:
    thunk: Thunk = ModelOutputThunk("text", {"list": [1]}, {"list": [2]}, {"tool": [3]})
    thunk.thinking = "thoughts"
    thunk.error = Own("soft")
    thunk.action, thunk.context, thunk.model_options = [4], CONTEXT, {"seed": 1}
    thunk.generation.model = "a model"
    thunk.generation.usage = {"total_tokens": 1}
    thunk.raw.provider = "somebody"
    thunk.raw.response = {"list": [6]}
    return thunk


def test_a_shallow_copy_shares_the_parts_and_not_the_records() -> None:
    thunk = filled()
    twin = copy.copy(thunk)
    for name in ("value", "meta", "parsed_repr", "tool_calls", "thinking", "error"):
        assert getattr(twin, name) is getattr(thunk, name)
    assert (twin.action, twin.context, twin.model_options) == ([4], CONTEXT, {"seed": 1})
    twin.generation.model = "another"
    twin.raw.provider = "nobody"
    assert (thunk.generation.model, thunk.raw.provider) == ("a model", "somebody")
    assert twin.raw.response is thunk.raw.response
    twin.value = "other"
    assert thunk.value == "text"


def test_a_deep_copy_shares_nothing_that_can_change() -> None:
    thunk = filled()
    twin = copy.deepcopy(thunk)
    for name in ("meta", "parsed_repr", "tool_calls", "action"):
        assert getattr(twin, name) == getattr(thunk, name)
        assert getattr(twin, name) is not getattr(thunk, name)
    assert twin.raw.response == thunk.raw.response
    assert twin.raw.response is not thunk.raw.response
    assert twin.generation.usage is not thunk.generation.usage


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy])
def test_a_thunk_that_is_its_own_reading_stays_so_in_a_copy(how: Any) -> None:
    thunk: Thunk = ModelOutputThunk("text")
    thunk.parsed_repr = thunk
    twin = how(thunk)
    assert twin.parsed_repr is twin


def test_a_deep_copy_keeps_what_is_shared_shared() -> None:
    thunk: Thunk = ModelOutputThunk("text")
    first, second = copy.deepcopy([thunk, thunk])
    assert first is second


# Known to be computed.


@pytest.mark.anyio
async def test_a_computed_thunk_is_converted_in_place() -> None:
    thunk = scripted("Hello")
    await thunk
    computed = ComputedModelOutputThunk(thunk)
    assert computed is thunk
    assert type(thunk) is ComputedModelOutputThunk
    assert computed.is_computed()
    value: str = computed.value
    assert value == str(computed) == await computed == await computed.astream() == "Hello"
    assert repr(computed) == "ModelOutputThunk(Hello)"
    assert type(copy.copy(computed)) is ComputedModelOutputThunk
    assert ComputedModelOutputThunk(computed) is computed


@pytest.mark.anyio
async def test_a_thunk_that_is_refused_stays_what_it_was() -> None:
    pending = Reply().thunk
    blank: Thunk = ModelOutputThunk(None)
    for thunk in (pending, blank):
        with pytest.raises(ValueError, match="computed"):
            ComputedModelOutputThunk(thunk)
        assert type(thunk) is ModelOutputThunk
        assert not thunk.is_computed()
    emptied: Thunk = ModelOutputThunk("text")
    emptied.value = None
    with pytest.raises(ValueError, match="None"):
        ComputedModelOutputThunk(emptied)
    assert type(emptied) is ModelOutputThunk


@pytest.mark.parametrize("given", [None, "text", 3])
def test_only_a_thunk_can_be_converted(given: Any) -> None:
    with pytest.raises(TypeError, match=type(given).__name__):
        ComputedModelOutputThunk(given)
