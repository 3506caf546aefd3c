"""The four ways to make one call: a session's method or a function, with await or without."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import motet.functional
from motet import ChatContext, Context, MelleaSession, OllamaModelBackend
from motet.testing import ModelServer

# Calls that return a pending thunk, unless they are told to wait.
LAZY: Final = ("instruct", "act", "query")
METHODS: Final = ("instruct", "act", "chat", "validate", "query", "transform")
FORMS: Final = ("method", "sync method", "function", "sync function")


class Caller:
    """Makes calls in one of the forms; what they return is always complete.

    Attributes:
        session: whose backend and context are used; a function's new context becomes its own.
    """

    def __init__(self, form: str, session: MelleaSession) -> None:
        self.session: Final = session
        self._sync = form.startswith("sync ")
        self._functional = form.endswith("function")

    @property
    def ctx(self) -> Context:
        return self.session.ctx

    @property
    def said(self) -> list[Any]:
        """What the context holds."""
        return self.session.ctx.as_list()

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **options: Any) -> Any:
            if not self._sync and method in LAZY:
                options["await_result"] = True
            owner: Any = motet.functional if self._functional else self.session
            if self._functional:
                args = (*args, self.session.ctx, self.session.backend)
            bound = getattr(owner, method if self._sync else f"a{method}")
            result = bound(*args, **options)
            if not self._sync:
                result = await result
            if self._functional and isinstance(result, tuple):
                result, self.session.ctx = result
            return result

        return call


def session(server: ModelServer, ctx: Context | None = None, **options: Any) -> MelleaSession:
    """Return a session with the default layout of prompts."""
    return MelleaSession(OllamaModelBackend("plain", base_url=server.url, **options), ctx)


def chat_session(server: ModelServer, **options: Any) -> MelleaSession:
    return session(server, ChatContext(), **options)


def sent(server: ModelServer, number: int = -1) -> list[dict[str, Any]]:
    """Return the messages of one request."""
    messages: list[dict[str, Any]] = server.replies[number].body["messages"]
    return messages


def texts(server: ModelServer, number: int = -1) -> list[str]:
    return [message["content"] for message in sent(server, number)]
