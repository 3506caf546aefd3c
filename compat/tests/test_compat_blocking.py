"""Async code run for code without await, and what rests on it."""

import contextvars

import pytest

from mellea.helpers.event_loop_helper import _run_async_in_thread
from mellea.stdlib.sampling.majority_voting import MajorityVotingStrategyForMath, MBRDRougeLStrategy

value: contextvars.ContextVar[int] = contextvars.ContextVar("value", default=0)


def test_a_coroutine_runs_in_another_thread_and_sees_the_context() -> None:
    async def read(more: int) -> int:
        value.set(value.get() + more)
        return value.get()

    token = value.set(40)
    assert _run_async_in_thread(read(2)) == 42
    assert value.get() == 40
    value.reset(token)


def test_what_it_raises_comes_out_and_it_may_do_the_same_again() -> None:
    async def inner() -> int:
        raise LookupError("why")

    async def outer() -> int:
        return _run_async_in_thread(inner())

    with pytest.raises(LookupError, match="why"):
        _run_async_in_thread(outer())


def test_two_answers_are_compared() -> None:
    rouge = MBRDRougeLStrategy()
    assert rouge.compare_strings("hello world", "hello world") == 1.0
    assert 0 < rouge.compare_strings("the quick brown fox", "the quick fox") < 1
    assert MajorityVotingStrategyForMath().compare_strings(r"\boxed{2}", r"\boxed{2}") == 1.0
