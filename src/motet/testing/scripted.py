"""`ScriptedBackend`: a model that answers as it is told, in the program's own task and time.

There is no network and no thread behind it, so programs that use it run on virtual
clocks, and take the same path every time. A *reply* is data: a text, or the steps that
it consists of, one after the other:

    str                   a delta of text
    Thinking              a delta of reasoning
    Pause, or a number    seconds of silence; `NEVER` is a pause without end
    anyio.Event           silence until the test sets it
    ToolCallRequest       a tool that the model wants to be called
    Exception             the server fails; what is raised, as it is
    TRUNCATED             the reply ends without its end
    Finish                what the server says at the end, always the last step

This module knows backends, and of sessions and thunks nothing.
"""

import enum
import math
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Final, Self, TypeAlias

import anyio
import attrs
from attrs.validators import ge, instance_of

from .._language.tools.table import Tool
from .._values.chat import ChatMessage, ToolCallRequest
from .._values.errors import BackendError, BackendTimeout, Phase, TruncatedReply
from ..backends.base import Backend, Reply, Request
from .server._bells import Bells

_EXCERPT: Final = 60  # characters of a prompt that a message quotes


@attrs.frozen
class Pause:
    """The server is silent for some seconds of the event loop's clock.

    One that is longer than `ModelOption.STREAM_TIMEOUT` ends as it does with a real
    server: `BackendTimeout` is raised when that limit has passed.
    """

    seconds: float = attrs.field(validator=ge(0))


NEVER: Final = Pause(math.inf)
"""A pause without end: the server has taken the request, and never says (any more of) its reply."""


@attrs.frozen
class Thinking:
    """Reasoning text that arrives before, or between, the text of the reply."""

    text: str = attrs.field(validator=instance_of(str))


@attrs.frozen
class Truncated:
    """The reply ends here without its end, which is an error: `TruncatedReply`."""


TRUNCATED: Final = Truncated()
"""The one `Truncated`."""


@attrs.frozen(kw_only=True)
class Finish:
    """What the server says of its reply at the end.

    Attributes:
        usage: the tokens of prompt and completion; without it the words of the messages and
            the deltas of the reply are counted.
        finish_reason: why the reply ended.
        model: the model that answered, if it has another name than the one that was asked.
        response_id: the server's name for the reply.
        response: the reply as the server's own record, for `ModelOutputThunk.raw`.
    """

    usage: Mapping[str, Any] | None = None
    finish_reason: str | None = None
    model: str | None = None
    response_id: str | None = None
    response: Any = None


ScriptedStep: TypeAlias = (
    str | Thinking | Pause | float | anyio.Event | ToolCallRequest | Exception | Truncated | Finish
)
"""What a reply does next; see the module's text."""

ScriptedReply: TypeAlias = ScriptedStep | Iterable[ScriptedStep]
"""One step, or several. An iterator is asked for each step when its time has come."""


class ReplyOutcome(enum.Enum):
    """How a scripted reply ended, if it did."""

    OPEN = "open"
    COMPLETED = "completed"
    FAILED = "failed"  # by an error of the script, or by silence that was too long
    CANCELLED = "cancelled"


@attrs.define(eq=False)
class ScriptedRequest:
    """One request and what became of it. Times are those of its event loop's clock, seconds.

    Attributes:
        number: 0 for the first since the backend was made.
        messages: what was said, oldest first.
        options: the options in force, those of the backend and of the call.
        schema: the JSON schema that the reply had to conform to.
        tools: the tools that were offered, by name.
        silence_timeout: for how long the server was allowed to be silent, in seconds.
        asked_at: when the request came.
        first_delta_at: when the first text or thought was delivered.
        ended_at: when the reply ended.
        outcome: how it ended.
        error: what it failed with.
        sent: the deltas that were delivered, thoughts not included.
    """

    number: int
    messages: tuple[ChatMessage, ...] = attrs.field(repr=False)
    options: Mapping[str, Any] = attrs.field(repr=False)
    schema: Mapping[str, Any] | None = attrs.field(repr=False)
    tools: Mapping[str, Tool] = attrs.field(repr=False)
    silence_timeout: float | None = attrs.field(repr=False)
    asked_at: float
    first_delta_at: float | None = attrs.field(default=None, repr=False)
    ended_at: float | None = attrs.field(default=None, repr=False)
    outcome: ReplyOutcome = ReplyOutcome.OPEN
    error: Exception | None = attrs.field(default=None, repr=False)
    sent: list[str] = attrs.field(factory=list, repr=False)

    @property
    def prompt(self) -> str:
        """The text of the last message."""
        return self.messages[-1].content

    @property
    def text_sent(self) -> str:
        """The text that was delivered."""
        return "".join(self.sent)

    def describe(self) -> str:
        """Say in a line what this request is and how far it has come."""
        ended = "" if self.ended_at is None else f" after {self.ended_at - self.asked_at:.6g} s"
        deltas = "1 delta" if len(self.sent) == 1 else f"{len(self.sent)} deltas"
        return (
            f"request {self.number} {_excerpt(self.prompt)}: {deltas} sent, "
            f"{self.outcome.value}{ended}"
        )


Condition: TypeAlias = str | re.Pattern[str] | Callable[[ScriptedRequest], object]
"""Which requests: a text that the prompt contains, a pattern found in it, or a function."""

Replies: TypeAlias = (
    str | Callable[[ScriptedRequest], ScriptedReply] | Iterable[ScriptedReply] | None
)
"""Replies for one request after the other; or a text, or a function, for all."""


class ScriptError(AssertionError):
    """A request came that no script has a reply for, or a reply was never asked for."""


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
        self._chosen: list[_Script] = []  # scripts with a condition
        self._others: list[_Script] = []
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
        script = _Script(when, _source(replies))
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
                _listed("these replies are open", map(ScriptedRequest.describe, still))
            )

    def assert_used(self) -> None:
        """Check that every reply of a list was asked for, and that every request had one.

        Raises:
            ScriptError: lists the replies, and the requests, that are left over.
        """
        if self._unscripted:
            raise ScriptError(
                _listed(
                    "these requests found no reply in the scripts",
                    map(ScriptedRequest.describe, self._unscripted),
                )
            )
        unused = [line for script in (*self._chosen, *self._others) for line in script.unused()]
        if unused:
            raise ScriptError(_listed("these replies were never asked for", unused))

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
            _listed(
                f"no script has a reply for request {asked.number} {_excerpt(asked.prompt)}",
                scripts or ["there are no scripts"],
            )
        )


_Source: TypeAlias = Callable[[ScriptedRequest], ScriptedReply] | deque[ScriptedReply]


@attrs.define
class _Script:
    """Replies, and which requests they are for."""

    when: Condition | None
    source: _Source
    used: int = 0

    def fits(self, asked: ScriptedRequest) -> bool:
        match self.when:
            case None:
                return True
            case str():
                return self.when in asked.prompt
            case re.Pattern():
                return self.when.search(asked.prompt) is not None
            case condition:
                return bool(condition(asked))

    def take(self, asked: ScriptedRequest) -> ScriptedReply | None:
        if isinstance(self.source, deque) and not self.source:
            return None
        self.used += 1
        return self.source.popleft() if isinstance(self.source, deque) else self.source(asked)

    def unused(self) -> list[str]:
        left = self.source if isinstance(self.source, deque) else ()
        return [f"{self.whose()}: {_excerpt(repr(reply), quoted=False)}" for reply in left]

    def whose(self) -> str:
        match self.when:
            case None:
                return "for any request"
            case re.Pattern():
                return f"for prompts that match {self.when.pattern!r}"
            case str():
                return f"for prompts with {self.when!r}"
            case condition:
                return f"for requests that fit {getattr(condition, '__name__', condition)!s}"

    def describe(self) -> str:
        left = f"{len(self.source)} left" if isinstance(self.source, deque) else "without end"
        return f"{self.whose()}: {self.used} replies used, {left}"


def _source(replies: Replies) -> _Source:
    if isinstance(replies, str):
        text = replies
        return lambda _: text
    if callable(replies):
        return replies
    if not isinstance(replies, Iterable):
        raise TypeError(
            f"replies should be a list of replies, a text or a function, not {replies!r}"
        )
    listed = deque(replies)
    for reply in listed:
        # Steps that are made one by one are looked at when their time has come.
        if not isinstance(reply, Iterator):
            for step in _steps(reply):
                _check(step)
    return listed


_STEPS: Final = (
    str,
    Thinking,
    Pause,
    float,
    int,
    anyio.Event,
    ToolCallRequest,
    Exception,
    Truncated,
    Finish,
)


def _check(step: object) -> None:
    if not isinstance(step, _STEPS) or isinstance(step, bool):
        raise TypeError(f"not a step of a scripted reply: {step!r}")
    if isinstance(step, float | int) and not step >= 0:
        raise ValueError(f"a pause should be a number of seconds from 0 on, not {step!r}")


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
            for step in _steps(script):
                _check(step)
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
        left = self._patience_ends() - anyio.current_time()
        # Not a cancel scope: which of two deadlines at the same time comes first, no loop says.
        await _sleep(min(seconds, left))
        if seconds > left:
            raise self._silent_for_too_long()

    async def _silence_until(self, event: anyio.Event) -> None:
        with anyio.CancelScope(deadline=self._patience_ends()) as scope:
            await event.wait()
        if scope.cancelled_caught:
            raise self._silent_for_too_long()

    def _patience_ends(self) -> float:
        limit = self._asked.silence_timeout
        return math.inf if limit is None else self._heard + limit

    def _silent_for_too_long(self) -> BackendTimeout:
        limit = self._asked.silence_timeout
        assert limit is not None
        return BackendTimeout(
            f"the script was silent for {limit:g} s; set ModelOption.STREAM_TIMEOUT to a larger "
            "value, or to None for no limit",
            timeout=limit,
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


def _steps(reply: ScriptedReply) -> Iterator[ScriptedStep]:
    # A text is an iterable, too, and is meant as one delta.
    if isinstance(reply, Iterable) and not isinstance(reply, str):
        yield from reply
    else:
        yield reply


async def _sleep(seconds: float) -> None:
    if seconds == math.inf:
        await anyio.sleep_forever()
    else:
        await anyio.sleep(seconds)


def _excerpt(text: str, *, quoted: bool = True) -> str:
    line = " ".join(text.split())
    if len(line) > _EXCERPT:
        line = f"{line[: _EXCERPT - 1]}…"
    return repr(line) if quoted else line


def _listed(head: str, lines: Iterable[str]) -> str:
    return "\n  ".join([f"{head}:", *lines])
