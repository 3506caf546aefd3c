"""A backend that follows a script, for tests of what is built from generations."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import anyio

from motet import Backend, BackendError, Reply, Request, ToolCallRequest

Step = str | float | Exception | ToolCallRequest
"""What a reply does next: a delta, seconds of silence, an error; tool calls come at its end."""

Script = Sequence[Step] | str


class ScriptedBackend(Backend):
    """Answers as it is told.

    Args:
        script: a function of the prompt's last message; or scripts for one request after the
            other, the last of them for all that follow.

    Attributes:
        prompts: the last message of every request, in the order in which they came.
        requests: the requests.
        open: how many requests are running.
        most_open: how many were running at the same time at most.
        stopped: the times at which requests were stopped before their end.
    """

    provider: ClassVar[str] = "scripted"

    def __init__(self, script: Callable[[str], Script] | Sequence[Script], **options: Any) -> None:
        super().__init__("scripted-model", **options)
        self._script = script
        self.requests: list[Request] = []
        self.open = 0
        self.most_open = 0
        self.stopped: list[float] = []

    @property
    def prompts(self) -> list[str]:
        return [request.messages[-1].content for request in self.requests]

    async def reply(self, request: Request, reply: Reply) -> None:
        self.requests.append(request)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        calls: list[ToolCallRequest] = []
        try:
            for step in self._steps(request):
                match step:
                    case str():
                        reply.feed(step)
                    case Exception():
                        raise step
                    case ToolCallRequest():
                        calls.append(step)
                    case _:
                        await anyio.sleep(step)
        except anyio.get_cancelled_exc_class():
            self.stopped.append(anyio.current_time())
            raise
        finally:
            self.open -= 1
            reply.finish(usage={"total_tokens": len(self.requests)}, tool_calls=calls)

    def _steps(self, request: Request) -> Sequence[Step]:
        if callable(self._script):
            script = self._script(request.messages[-1].content)
        else:
            script = self._script[min(len(self.requests), len(self._script)) - 1]
        return [script] if isinstance(script, str) else script


def broken() -> BackendError:
    return BackendError("the script says so")
