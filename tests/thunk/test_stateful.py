"""One thunk, treated in ways that nobody thought of, against a model that fits on a page.

The event loop runs in a thread and stands still between two steps, so a virtual clock
moves only when a step says so.
"""

import functools
import math
import queue
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import anyio
import anyio.abc
import anyio.lowlevel
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from motet._thunk.fanout import gather_all, wait_for_all_mots
from motet._thunk.thunk import ModelOutputThunk
from motet._values.errors import GenerationCancelled, SingleReaderError
from motet._values.states import GenerationState
from thunk.by_hand import Reply, interest
from virtual_time import VIRTUAL_LOOPS

T = TypeVar("T")


class Own(Exception):
    """The error of a reply."""


class Puppet:
    """An event loop in a thread, which moves when it is told to and never else."""

    def __init__(self, backend: str, options: dict[str, Any]) -> None:
        self.tasks: anyio.abc.TaskGroup
        self._jobs: queue.SimpleQueue[Callable[[], Awaitable[None]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=anyio.run,
            args=(self._main,),
            kwargs={"backend": backend, "backend_options": options},
            name="puppet",
        )
        self._thread.start()

    async def _main(self) -> None:
        async with anyio.create_task_group() as self.tasks:
            # This blocks the whole event loop, and that is what stops its clock.
            while (job := self._jobs.get()) is not None:
                await job()
            self.tasks.cancel_scope.cancel()

    def call(self, fn: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Run an async function on the loop, and everything that it sets going, to a standstill."""
        future: Future[T] = Future()

        async def job() -> None:
            try:
                result = await fn(*args)
                for _ in range(20):
                    await anyio.lowlevel.checkpoint()
            except BaseException as exc:
                future.set_exception(exc)
            else:
                future.set_result(result)

        self._jobs.put(job)
        return future.result()

    def stop(self) -> None:
        """End the loop."""
        self._jobs.put(None)
        self._thread.join()


class Actor:
    """A task that makes one call after the other, each of which can be cancelled."""

    def __init__(self) -> None:
        self.busy = False
        self.results: list[Any] = []
        self._scope: anyio.CancelScope | None = None
        self._call: Callable[[], Awaitable[Any]] | None = None
        self._told = anyio.Event()

    async def run(self) -> None:
        while True:
            await self._told.wait()
            self._told = anyio.Event()
            assert self._call is not None
            with anyio.CancelScope() as self._scope:
                try:
                    self.results.append(await self._call())
                except Exception as exc:
                    self.results.append(exc)
            self.busy = False

    async def tell(self, call: Callable[[], Awaitable[Any]]) -> None:
        self.busy, self._call = True, call
        self._told.set()

    async def cancel(self) -> None:
        assert self._scope is not None
        self._scope.cancel()


class ReplyMachine(RuleBasedStateMachine):
    """The model: what was fed, who is interested, when the time runs out, how it ended."""

    loop = "virtual-trio"

    @initialize(linger=st.sampled_from([0, 0.25, 1.0, math.inf]))
    def begin(self, linger: float) -> None:
        self.linger = linger
        self.puppet = Puppet(*VIRTUAL_LOOPS[self.loop]())
        self.text = ""
        self.end: GenerationState | None = None
        self.now = 0.0
        self.deadline = math.inf
        self.reading = self.attached = self.reader_interested = self.drained = False
        self.delivered = ""
        self.unread = False  # a delta has arrived since the last read, maybe an empty one
        self.known = False
        self.settled = 0
        self.puppet.call(self._begin)

    async def _begin(self) -> None:
        self.reply = Reply(linger=self.linger)
        self.thunk: ModelOutputThunk[Any] = self.reply.thunk
        self.reply.generation.watch(self._count)
        self.reader = Actor()
        self.waiters = [Actor() for _ in range(3)]
        for actor in (self.reader, *self.waiters):
            self.puppet.tasks.start_soon(actor.run)

    def _count(self, _: object) -> None:
        self.settled += 1

    def teardown(self) -> None:
        if hasattr(self, "puppet"):
            self.puppet.stop()
            assert self.settled == 1, "the outcome is written once, at the latest with the loop"

    # What the model does.

    @property
    def live(self) -> bool:
        return self.end is None

    def interest(self) -> int:
        return sum(waiter.busy for waiter in self.waiters) + self.reader_interested

    def gained(self) -> None:
        self.deadline = math.inf

    def lost(self) -> None:
        if self.live and self.interest() == 0 and self.linger != math.inf:
            self.deadline = self.now + self.linger
            self.pass_deadline()

    def pass_deadline(self) -> None:
        if self.live and self.deadline <= self.now:
            self.finish(GenerationState.ABANDONED)

    def finish(self, end: GenerationState) -> None:
        """The generation ends; who waits gets it, and a reader the text before an error."""
        self.end = end
        if any(waiter.busy for waiter in self.waiters) or end is GenerationState.CANCELLED:
            self.known = True
        if self.reading:
            self.read()
        if end is GenerationState.CANCELLED and self.attached:
            self.drain()

    def read(self) -> None:
        """The reader gets what is new, if that ends its call."""
        rest = self.text[len(self.delivered) :]
        self.reading = self.live and not self.unread
        if self.reading:
            return
        self.delivered, self.unread = self.text, False
        if not self.live and (not rest or not self.lossy):
            self.known = True
            self.drain()

    def drain(self) -> None:
        self.attached, self.drained, self.reader_interested = False, True, False

    @property
    def lossy(self) -> bool:
        return self.end in (GenerationState.FAILED, GenerationState.ABANDONED)

    # What happens.

    @precondition(lambda self: self.live)
    @rule(text=st.sampled_from(["", "a", "bc", "é\n", "\u2028"]))
    def feed(self, text: str) -> None:
        async def feed() -> None:
            self.reply.feed(text)

        self.text += text
        self.unread = True
        if self.reading:
            self.read()
        self.puppet.call(feed)

    @precondition(lambda self: self.live)
    @rule(good=st.booleans())
    def end_by_itself(self, good: bool) -> None:
        async def end() -> None:
            self.reply.end(None if good else Own("broken"))

        self.finish(GenerationState.DONE if good else GenerationState.FAILED)
        self.puppet.call(end)

    @rule(seconds=st.sampled_from([0.125, 0.25, 2.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.pass_deadline()
        self.puppet.call(anyio.sleep, seconds)

    @rule(
        number=st.integers(0, 2), way=st.sampled_from(["avalue", "wait_for_all_mots", "gather_all"])
    )
    def wait(self, number: int, way: str) -> None:
        waiter = self.waiters[number]
        if waiter.busy:
            return
        calls: dict[str, Callable[[], Awaitable[Any]]] = {
            "avalue": self.thunk.avalue,
            "wait_for_all_mots": functools.partial(wait_for_all_mots, [self.thunk]),
            "gather_all": functools.partial(gather_all, [self.thunk]),
        }
        waiter.results.clear()
        self.gained()
        if not self.live:
            self.known = True
        self.puppet.call(waiter.tell, calls[way])
        assert waiter.busy is self.live

    @rule(number=st.integers(0, 2))
    def cancel_a_waiter(self, number: int) -> None:
        waiter = self.waiters[number]
        if not waiter.busy:
            return
        waiter.busy = False
        self.lost()
        waiter.busy = True
        self.puppet.call(waiter.cancel)
        assert waiter.results == []

    @precondition(lambda self: not self.reading)
    @rule()
    def read_on(self) -> None:
        self.reader.results.clear()
        before = self.delivered
        # From here on the reader has deltas to come, unless there was nothing to wait for.
        if self.live and not self.attached:
            self.attached = True
        whole = not self.attached
        if self.live and not self.reader_interested:
            self.reader_interested = True
            self.gained()
        if whole:
            self.known = True
        else:
            self.read()
        lossy_end = not self.live and self.lossy
        self.puppet.call(self.reader.tell, self.thunk.astream)
        assert self.reader.busy is self.reading
        if self.reading:
            return
        (result,) = self.reader.results
        if lossy_end and (whole or before == self.delivered):
            assert isinstance(result, Own | GenerationCancelled)
        else:
            assert result == (self.text if whole else self.delivered[len(before) :])

    @precondition(lambda self: self.reading)
    @rule()
    def cancel_the_reader(self) -> None:
        self.reading = self.reader_interested = False
        self.lost()
        self.puppet.call(self.reader.cancel)
        assert self.reader.results == []

    @precondition(lambda self: self.reading)
    @rule()
    def a_second_reader_is_refused(self) -> None:
        with pytest.raises(SingleReaderError):
            self.puppet.call(self.thunk.astream)

    @precondition(lambda self: self.live)
    @rule()
    def cancel_the_generation(self) -> None:
        self.finish(GenerationState.CANCELLED)
        self.puppet.call(self.thunk.cancel_generation)

    # What always holds.

    @invariant()
    def it_is_as_the_model_says(self) -> None:
        if hasattr(self, "thunk"):
            self.the_generation_ended_as_it_should()
            self.interest_is_who_waits_and_who_reads()
            self.nobody_waits_for_what_is_there()
            self.the_thunk_tells_a_consumer_what_a_consumer_has_learned()
            self.everybody_gets_the_same_outcome()
            self.a_reader_that_has_seen_the_end_has_all_the_text()

    def the_generation_ended_as_it_should(self) -> None:
        generation = self.reply.generation
        assert generation.live is self.live
        assert self.thunk.partial == self.text
        if self.end is not None:
            assert generation.state is self.end
            assert self.settled == 1
        else:
            assert self.settled == 0
        assert self.reply.stopped is (
            self.end in (GenerationState.ABANDONED, GenerationState.CANCELLED)
        )

    def interest_is_who_waits_and_who_reads(self) -> None:
        if self.live:
            assert interest(self.thunk) == self.interest()
        elif self.drained or not self.attached:
            assert interest(self.thunk) == 0

    def nobody_waits_for_what_is_there(self) -> None:
        if self.live:
            return
        assert not self.reader.busy
        assert not any(waiter.busy for waiter in self.waiters)
        # Both ends of the reader's stream are closed.
        assert self.reply.generation._bell is None

    def the_thunk_tells_a_consumer_what_a_consumer_has_learned(self) -> None:
        assert self.thunk.is_computed() is (self.known and not self.attached)
        assert self.thunk.value == (self.text if self.known else None)
        assert self.thunk.cancelled is (self.end is GenerationState.CANCELLED)

    def everybody_gets_the_same_outcome(self) -> None:
        if self.live:
            return
        for waiter in self.waiters:
            for result in waiter.results:
                match result:
                    case [outcome]:
                        seen = outcome.error or outcome.value
                    case _:
                        seen = result
                if self.lossy:
                    assert seen is self.reply.generation.error
                else:
                    assert seen in (self.text, None)  # None is what wait_for_all_mots returns

    def a_reader_that_has_seen_the_end_has_all_the_text(self) -> None:
        assert self.text.startswith(self.delivered)
        if self.drained and self.end is not GenerationState.CANCELLED:
            assert self.delivered == self.text


@pytest.mark.parametrize("loop", VIRTUAL_LOOPS)
def test_a_thunk_keeps_to_its_model_whatever_happens(loop: str) -> None:
    machine = type("Machine", (ReplyMachine,), {"loop": loop})
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
