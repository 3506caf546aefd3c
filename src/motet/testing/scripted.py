"""`ScriptedBackend`: a model that answers as it is told, in the program's own task and time.

There is no network and no thread behind it, so programs that use it run on virtual
clocks, and take the same path every time. What it can be told stands in `scripts`.

This module knows backends, and of sessions and thunks nothing.
"""

import math
import re
from collections.abc import Callable
from typing import Any, ClassVar, Final, Self

import anyio

from .._values.chat import ChatMessage, ToolCallRequest
from .._values.errors import BackendError, BackendTimeout, Phase, TruncatedReply
from .._values.options import ModelOption
from .._values.timeouts import NO_TIMEOUTS, TimeLimit, Timeouts
from ..backends.base import Backend, Reply, Request
from .scripts import (
    Condition,
    Finish,
    Pause,
    Replies,
    ReplyOutcome,
    Script,
    ScriptedReply,
    ScriptedRequest,
    ScriptedStep,
    ScriptError,
    Thinking,
    Truncated,
    check_step,
    excerpt,
    listed,
    source_of,
    steps_of,
)
from .server._bells import Bells


class ScriptedBackend(Backend):
    """Answers as its scripts say, and records what it was asked.

    ::

        backend = ScriptedBackend(["Hello.", ["It is ", Pause(2), "late."], ReplyError("broken")])
        backend.script("Sunny.", when="weather")

    As a block (``with ScriptedBackend(...) as backend:``) it checks in the end that every
    reply was asked for, that every request had one, and that no reply is open.

    Args:
        replies: a list has a reply for each request in turn, and none for those that follow;
            a text is the reply to all of them, and a function is called with each
            `ScriptedRequest` and returns the reply. None of these: see `script`.
        model_id: the name of the model.
        options: as for every `Backend`: ``formatter``, ``model_options``.

    Attributes:
        requests: what was asked, in the order of arrival.
        open_replies: how many replies are on their way.
        most_open_replies: how many were on their way at the same time at most.
    """

    provider: ClassVar[str] = "scripted"
    takes_raw_prompts: ClassVar[bool] = True

    def __init__(self, replies: Replies = None, model_id: str = "scripted", **options: Any) -> None:
        super().__init__(model_id, **options)
        self._chosen: list[Script] = []  # scripts with a condition
        self._others: list[Script] = []
        self._bells: Final = Bells()
        self._unscripted: list[ScriptedRequest] = []
        self.requests: list[ScriptedRequest] = []
        self.open_replies: int = 0
        self.most_open_replies: int = 0
        if replies is not None:
            self.script(replies)

    def script(self, replies: Replies, *, when: Condition | None = None) -> Self:
        """Add replies for the requests to come; return the backend.

        A request takes its reply from the oldest script whose *when* it fits and that has
        one left, or else from the oldest without *when*.

        Args:
            replies: as for the backend.
            when: the requests that these are for.

        Raises:
            TypeError: what stands there cannot be a reply.
        """
        if when is not None and not (isinstance(when, str | re.Pattern) or callable(when)):
            raise TypeError(f"when should be a text, a pattern or a function, not {when!r}")
        script = Script(when, source_of(replies))
        (self._others if when is None else self._chosen).append(script)
        return self

    @property
    def prompts(self) -> list[str]:
        """The text of the last message of every request."""
        return [request.prompt for request in self.requests]

    def idle(self) -> bool:
        """Tell whether no reply is open."""
        return not self.open_replies

    def assert_idle(self) -> None:
        """Check that no reply is open.

        Raises:
            AssertionError: some are; the message lists them.
        """
        if not self.idle():
            still = [each for each in self.requests if each.outcome is ReplyOutcome.OPEN]
            raise AssertionError(
                listed("these replies are open", map(ScriptedRequest.describe, still))
            )

    def assert_used(self) -> None:
        """Check that every reply of a list was asked for, and that every request had one.

        Raises:
            ScriptError: lists the replies, and the requests, that are left over.
        """
        if self._unscripted:
            raise ScriptError(
                listed(
                    "these requests found no reply in the scripts",
                    map(ScriptedRequest.describe, self._unscripted),
                )
            )
        unused = [line for script in (*self._chosen, *self._others) for line in script.unused()]
        if unused:
            raise ScriptError(listed("these replies were never asked for", unused))

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds; it is looked at after each request, step and end.

        Works from any event loop and thread; always a checkpoint. A time limit is the
        caller's cancel scope.
        """
        await self._bells.wait_until(condition)

    async def wait_idle(self) -> None:
        """Wait until no reply is open; like `wait_until`."""
        await self.wait_until(self.idle)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        if exc_type is None:  # otherwise the block's own error is the better news
            self.assert_used()
            self.assert_idle()

    async def reply(self, request: Request, reply: Reply) -> None:
        """Play the reply that the scripts have for a request."""
        # Not the running loop's clock: a loop that was closed is unwound outside of it.
        clock = reply.host.time
        asked = ScriptedRequest(
            len(self.requests),
            request.messages or (ChatMessage("user", request.prompt or ""),),
            request.options,
            request.schema,
            request.tools,
            request.silence_timeout,
            clock(),
        )
        self.requests.append(asked)
        self.open_replies += 1
        self.most_open_replies = max(self.most_open_replies, self.open_replies)
        self._bells.ring()
        performance = _Performance(asked, reply, self._bells.ring)
        outcome = ReplyOutcome.CANCELLED
        try:
            await performance.play(self._reply_to(asked))
            outcome = ReplyOutcome.COMPLETED
        except Exception as exc:
            outcome, asked.error = ReplyOutcome.FAILED, exc
            raise
        finally:
            self.open_replies -= 1
            asked.outcome, asked.ended_at = outcome, clock()
            performance.finish()
            self._bells.ring()

    def _reply_to(self, asked: ScriptedRequest) -> ScriptedReply:
        for script in (*self._chosen, *self._others):
            if script.fits(asked):
                reply = script.take(asked)
                if reply is not None:
                    return reply
        self._unscripted.append(asked)
        scripts = [script.describe() for script in (*self._chosen, *self._others)]
        raise ScriptError(
            listed(
                f"no script has a reply for request {asked.number} {excerpt(asked.prompt)}",
                scripts or ["there are no scripts"],
            )
        )


class _Performance:
    """One reply, being played."""

    def __init__(self, asked: ScriptedRequest, reply: Reply, changed: Callable[[], None]) -> None:
        self._asked = asked
        self._reply = reply
        self._changed = changed
        self._heard = asked.asked_at  # when the server last gave a sign of life
        self._calls: list[ToolCallRequest] = []
        self._last: Finish | None = None

    async def play(self, script: ScriptedReply) -> None:
        try:
            for step in steps_of(script):
                check_step(step)
                if self._last is not None:
                    raise TypeError(f"Finish should be the last step, and is followed by {step!r}")
                await self._do(step)
                self._changed()
        except BackendError as exc:
            exc.phase = exc.phase or self._phase()
            raise

    async def _do(self, step: ScriptedStep) -> None:
        match step:
            case str():
                self._news()
                self._asked.sent.append(step)
                self._reply.feed(step)
            case Thinking():
                self._news()
                self._reply.think(step.text)
            case Pause():
                await self._silence(step.seconds)
            case int() | float():
                await self._silence(step)
            case anyio.Event():
                await self._silence_until(step)
            case ToolCallRequest():
                self._calls.append(step)
            case Truncated():
                raise TruncatedReply("the script cuts the reply off before its end")
            case Finish():
                self._last = step
            case Exception():
                raise step

    def _news(self) -> None:
        self._heard = anyio.current_time()
        if self._asked.first_delta_at is None:
            self._asked.first_delta_at = self._heard
            self._reply.begun(self._heard - self._asked.asked_at)

    async def _silence(self, seconds: float) -> None:
        limit = self._limit()
        left = limit.deadline - anyio.current_time()
        # Not a cancel scope: which of two deadlines at the same time comes first, no loop says.
        await _sleep(min(seconds, left))
        if seconds > left:
            raise _passed(limit)

    async def _silence_until(self, event: anyio.Event) -> None:
        limit = self._limit()
        with anyio.CancelScope(deadline=limit.deadline) as scope:
            await event.wait()
        if scope.cancelled_caught:
            raise _passed(limit)

    def _limit(self) -> TimeLimit:
        silence = self._asked.silence_timeout
        timeouts: Timeouts = self._asked.options.get(ModelOption.TIMEOUTS) or NO_TIMEOUTS
        return timeouts.limit_in(
            self._phase(),
            silence=math.inf if silence is None else silence,
            began=self._asked.asked_at,
            connected=self._asked.asked_at,
            heard=self._heard,
        )

    def _phase(self) -> Phase:
        return Phase.FIRST_TOKEN if self._asked.first_delta_at is None else Phase.STREAMING

    def finish(self) -> None:
        """Leave what is known of the reply with the thunk, complete or not."""
        said = self._last or Finish()
        complete = self._asked.outcome is ReplyOutcome.COMPLETED
        reason = said.finish_reason or ("tool_calls" if self._calls else "stop")
        self._reply.finish(
            usage=self._usage(said) if complete else None,
            model=said.model,
            finish_reasons=[reason] if complete else None,
            response_id=said.response_id,
            response=said.response,
            tool_calls=self._calls,
        )

    def _usage(self, said: Finish) -> dict[str, Any]:
        if said.usage is not None:
            return dict(said.usage)
        prompt = sum(len(message.content.split()) for message in self._asked.messages)
        completion = len(self._asked.sent)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }


def _passed(limit: TimeLimit) -> BackendTimeout:
    return BackendTimeout(
        limit.passed().replace("server", "script"), timeout=limit.seconds, which=limit.which
    )


async def _sleep(seconds: float) -> None:
    if seconds == math.inf:
        await anyio.sleep_forever()
    else:
        await anyio.sleep(seconds)
