"""A compactor that lets a model put the older part of a conversation into a summary.

It talks to a backend, which is why it is here and not with the other compactors, and
why a `ChatContext` does not take it: run it on the context when the time has come.
"""

from __future__ import annotations

import logging
import string
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio.lowlevel

from .._language.compaction import (
    Compactor,
    PinPredicate,
    check_pin_predicate,
    pin_nothing,
    pinned_count,
)
from .._language.component import Component, TemplateRepresentation
from .._language.context import Context, SimpleContext, pending_in, whole_number
from .._language.message import Message
from .._runtime.portal import default_portal
from .._thunk.fanout import check_mots
from .._thunk.inputs import wait_for_inputs
from .._thunk.thunk import ModelOutputThunk
from .._values.errors import MotetError
from ..backends.base import Backend

if TYPE_CHECKING:
    from .._language.context import Entry

_log: Final = logging.getLogger("motet")

# Programs look for it to tell a summary from what somebody said.
SUMMARY_MARK: Final = "[CONTEXT SUMMARY]"

C = TypeVar("C", bound=Context)


class LLMSummarizeCompactor(Compactor):
    """Puts one user message with a summary in the place of the older entries.

    The message begins with ``[CONTEXT SUMMARY]``. What is pinned stays before it and the
    newest entries after it. If the model fails, a warning is logged and the conversation
    stays as it is.

    Args:
        default_backend: writes the summary, unless a call names another.
        keep_n: how many of the newest entries stay as they are.
        pin_predicate: says how many entries at the beginning stay.
        prompt_template: what to ask the model, with ``{conversation}`` where the entries
            belong and any other brace doubled; without it the template ``ContextSummary``.
        model_options: options for the call, see `ModelOption`.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: *keep_n* is negative, or the template has no place for the conversation.
    """

    def __init__(
        self,
        *,
        default_backend: Backend,
        keep_n: int = 5,
        pin_predicate: PinPredicate = pin_nothing,
        prompt_template: str | None = None,
        model_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.default_backend: Final = _checked_backend("default_backend", default_backend)
        self.keep_n: Final = whole_number("keep_n", keep_n, at_least=0)
        self.pin_predicate: Final = check_pin_predicate(pin_predicate)
        if prompt_template is not None:
            _check_prompt(prompt_template)
        self.prompt_template: Final = prompt_template
        self.model_options: Final = default_backend.normalised(model_options)

    def compact(self, ctx: C, *, backend: Backend | None = None) -> C:
        """Do what `acompact` does, from code without await; it blocks the calling thread.

        Raises:
            WrongEventLoop: an answer among the older entries is still on its way; it belongs to
                another event loop, so `acompact` has to be awaited there.
        """
        return default_portal().call(lambda: self.acompact(ctx, backend=backend))

    async def acompact(self, ctx: C, *, backend: Backend | None = None) -> C:
        """Return *ctx* with a summary in place of its older entries. Always a checkpoint.

        It waits for answers among the older entries that are still on their way; those that
        fail are left out. A cancellation stops the request for the summary. A turn that is
        added to a session meanwhile is no part of the result; keep it with
        ``session.ctx = (await compactor.acompact(session.ctx)).merge(session.ctx)``.

        Args:
            ctx: the conversation; it stays as it is.
            backend: writes the summary instead of the default one.

        Raises:
            TypeError: an argument is of the wrong type.
            WrongEventLoop: an answer that is on its way belongs to another event loop.
        """
        if not isinstance(ctx, Context):
            raise TypeError(f"ctx should be a Context, not {type(ctx).__name__}")
        if backend is None:
            backend = self.default_backend
        _checked_backend("backend", backend)
        await anyio.lowlevel.checkpoint()
        pinned, older, newest = self._divided(ctx)
        while pending := check_mots(pending_in(entry.data for entry in older)):
            await wait_for_inputs((), pending)
            # One that failed is gone, so the border between old and new has moved.
            pinned, older, newest = self._divided(ctx)
        if not older:
            return ctx
        request = self._request([entry.data for entry in older], backend)
        try:
            thunk, _ = await backend.generate_from_context(
                request, SimpleContext(), model_options=self.model_options
            )
            async with thunk:
                summary = await thunk
        except Exception as exc:  # a backend of the user's may raise anything
            _log.warning(
                "the context was not summarised: %s: %s",
                type(exc).__name__,
                exc,
                exc_info=not isinstance(exc, MotetError),
            )
            return ctx
        if not summary.strip():
            _log.warning("the context was not summarised: the model's summary is empty")
            return ctx
        message = Message("user", f"{SUMMARY_MARK}\n{summary}")
        return ctx.with_entries([*pinned, message, *newest])

    def _divided(self, ctx: Context) -> tuple[list[Entry], list[Entry], list[Entry]]:
        entries = ctx.entries()
        begin = pinned_count(self.pin_predicate, [entry.data for entry in entries])
        end = max(begin, len(entries) - self.keep_n)
        return entries[:begin], entries[begin:end], entries[end:]

    def _request(self, older: Sequence[Any], backend: Backend) -> _SummaryRequest:
        said = backend.formatter.to_chat_messages(older)
        conversation = "\n".join(f"{message.role}: {message.content}" for message in said)
        return _SummaryRequest(conversation, self.prompt_template)

    def __repr__(self) -> str:
        return (
            f"LLMSummarizeCompactor(default_backend={self.default_backend!r}, keep_n={self.keep_n})"
        )


class _SummaryRequest(Component[str]):
    def __init__(self, conversation: str, prompt_template: str | None) -> None:
        self._conversation = conversation
        self._prompt_template = prompt_template

    def parts(self) -> list[Any]:
        return []

    def format_for_llm(self) -> TemplateRepresentation | str:
        if self._prompt_template is not None:
            return self._prompt_template.format(conversation=self._conversation)
        return TemplateRepresentation(
            obj=self,
            args={"conversation": self._conversation},
            template_order=["ContextSummary"],
        )

    def _parse(self, computed: ModelOutputThunk[Any]) -> str:
        return computed.value or ""


def _checked_backend(what: str, backend: object) -> Backend:
    if not isinstance(backend, Backend):
        raise TypeError(f"{what} should be a Backend, not {type(backend).__name__}")
    return backend


def _check_prompt(prompt_template: object) -> None:
    if not isinstance(prompt_template, str):
        raise TypeError(f"prompt_template should be a string, not {type(prompt_template).__name__}")
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(prompt_template)} - {None}
    except ValueError as exc:
        raise ValueError(f"prompt_template is no format string: {exc}") from exc
    if names != {"conversation"}:
        raise ValueError(
            "prompt_template should have {conversation} where the entries belong, and no other "
            f"name in single braces; it has {sorted(map(str, names)) or 'none'}"
        )
