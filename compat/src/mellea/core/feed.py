"""The feeder protocol of backends that were written for mellea.

Such a backend returns a blank with a queue on it, ``thunk._gen.queue``, into which a task of its
own puts what the server sends, then None, or an exception instead. ``thunk._gen.process``
makes text of each item and adds it to ``thunk._underlying_value``; ``thunk._gen.post_process`` is
called once at the end. Here this becomes a generation of motet: it drains the queue in its
own task, and when it is cancelled, so is the backend's task.

It speaks of asyncio alone, as the protocol does.
"""

import asyncio
import enum
import logging
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio
import anyio.lowlevel
import attrs

import motet

# A task that takes no notice of its cancellation must not hold up whoever cancels a reply.
STOP_TIMEOUT: Final = 1.0  # seconds

_log: Final = logging.getLogger("mellea")


class GenerateType(enum.Enum):
    """How the text of a thunk comes about."""

    NONE = None
    ASYNC = 1
    SYNC = 2


@attrs.define(eq=False)
class Call:
    """What a thunk answers.

    Attributes:
        action: what was said.
        context: what was said before.
        model_options: the options of the call.
        generation_id: a name of the backend's for it.
    """

    action: Any = None
    context: Any = None
    model_options: Any = None
    generation_id: Any = None


@attrs.define(eq=False)
class Feed:
    """Where a backend's task puts what arrives, and what is made of it.

    Attributes:
        generate_type: anything but NONE says that the rest is filled in.
        process: ``await process(thunk, item)`` adds an item's text to ``thunk._underlying_value``.
        post_process: ``await post_process(thunk)`` is called when the last item was processed.
        generate: the task that fills the queue.
        generate_extra: another task of the backend's.
        cancel_hook: is called before these tasks are cancelled, to stop what they wait for.
        chunk_size: not used: every item is processed as soon as it is there.
        start: when the backend began.
        text: what ``_underlying_value`` is while the reply grows.
    """

    generate_type: GenerateType = GenerateType.NONE
    process: Callable[[Any, Any], Awaitable[object]] | None = None
    post_process: Callable[[Any], Awaitable[object]] | None = None
    generate: Any = None
    generate_extra: Any = None
    cancel_hook: Callable[[], object] | None = None
    chunk_size: int = 3
    start: Any = None
    on_computed: Any = None
    text: str | None = None
    _queue: asyncio.Queue[Any] | None = None
    _begun: bool = False
    _stopped: bool = False

    @property
    def queue(self) -> asyncio.Queue[Any]:
        """Items, then None; or an exception instead."""
        if self._queue is None:
            self._queue = asyncio.Queue()
        return self._queue

    @queue.setter
    def queue(self, queue: asyncio.Queue[Any]) -> None:
        self._queue = queue

    def begin(self, thunk: motet.ModelOutputThunk[Any], **owning: Any) -> None:
        """Start to drain the queue, unless that has begun, or there is nothing to do it with."""
        if self._begun or self.generate_type is GenerateType.NONE or not thunk.is_blank():
            return
        if self.process is None:
            raise RuntimeError(
                "this thunk has a queue and nothing that makes text of its items: set "
                "`thunk._gen.process` to an async function of the thunk and an item"
            )
        self._begun = True
        # The table of feeds is weak in the thunk, and the task keeps both.
        _ = motet.fill_thunk(thunk, lambda feed: self._drain(thunk, feed), **owning)

    async def _drain(self, thunk: motet.ModelOutputThunk[Any], feed: Callable[[str], None]) -> None:
        assert self.process is not None
        told = 0
        try:
            while (item := await self.queue.get()) is not None:
                # A queue that is never empty never lets a cancellation through by itself, and
                # anyio spares a task whose future is done, as that of a busy queue always is.
                await anyio.lowlevel.checkpoint_if_cancelled()
                if isinstance(item, BaseException):
                    raise item
                await self.process(thunk, item)
                text = self.text or ""
                if len(text) > told:
                    feed(text[told:])
                    told = len(text)
        finally:
            await self.stop_tasks()
        thunk.value = self.text or ""  # for those who look at it in what follows
        if self.post_process is not None:
            await self.post_process(thunk)
        text = self.text or ""
        if len(text) > told:
            feed(text[told:])
        action = call_of(thunk).action
        thunk.parse_as(lambda whole: _parsed(action, whole))

    async def stop_tasks(self) -> None:
        """Cancel the backend's tasks that are not over, once, and wait a little for their end."""
        if self._stopped:
            return
        self._stopped = True
        tasks = [
            task
            for task in (self.generate, self.generate_extra)
            if isinstance(task, asyncio.Future) and not task.done()
        ]
        if self.cancel_hook is not None and tasks:
            try:
                self.cancel_hook()
            except Exception:
                _log.exception("the cancel_hook of a thunk failed")
        for task in tasks:
            task.cancel()
        if tasks:
            with anyio.move_on_after(STOP_TIMEOUT, shield=True):
                await asyncio.wait(tasks)


def _parsed(action: Any, thunk: motet.ModelOutputThunk[Any]) -> Any:
    if isinstance(action, motet.Component):
        return action.parse(thunk)
    return thunk.value if thunk.parsed_repr is None else thunk.parsed_repr


# Beside the thunks, because all thunks have the same slots and can change their class.
_feeds: Final[weakref.WeakKeyDictionary[Any, Feed]] = weakref.WeakKeyDictionary()
_calls: Final[weakref.WeakKeyDictionary[Any, Call]] = weakref.WeakKeyDictionary()


def fed(thunk: Any) -> Feed | None:
    """Return the feed of a thunk, None if it has none."""
    return _feeds.get(thunk)


def feed_of(thunk: Any) -> Feed:
    """Return the feed of a thunk, made when it is first asked for."""
    feed = _feeds.get(thunk)
    if feed is None:
        feed = _feeds[thunk] = Feed()
    return feed


def call_of(thunk: Any) -> Call:
    """Return what a thunk answers, made when it is first asked for."""
    call = _calls.get(thunk)
    if call is None:
        call = _calls[thunk] = Call(thunk.action, thunk.context, thunk.model_options)
    return call
