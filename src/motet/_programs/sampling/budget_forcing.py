"""`BudgetForcingSamplingStrategy`: a model that thinks for as long as it is told to.

After s1, Simple test-time scaling (https://arxiv.org/abs/2501.19393): what a model thinks
before it answers is written by raw completions, which are cut off when the budget is spent
and, if it stops early, are asked to go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ..._language.blocks import CBlock
from ..._language.component import Component
from ..._language.context import ContextT
from ..._thunk.thunk import ModelOutputThunk
from ..._values.options import ModelOption
from .base import Requirements, Thunk, check_budget
from .strategies import RejectionSamplingStrategy

if TYPE_CHECKING:
    from ...backends.base import Backend

_COUNTS: Final = ("prompt_tokens", "completion_tokens", "total_tokens")


class BudgetForcingSamplingStrategy(RejectionSamplingStrategy):
    """Have a model think for a number of tokens before it answers; ask the same again otherwise.

    It needs a backend that continues texts as they are and counts tokens, such as
    `OllamaModelBackend`. The value is everything: thoughts, answer and the tokens around them.
    The texts are those of the model's chat format.

    Args:
        think_max_tokens: for how many tokens it thinks; None for no thinking.
        answer_max_tokens: how many tokens the answer has at most; None for the server's default.
        start_think_token: begins the thoughts.
        end_think_token: ends them.
        begin_response_token: begins the answer.
        end_response_token: where the answer ends, if it has such a text.
        think_more_suffix: is put behind thoughts that ended before the budget was spent, and
            makes the model go on; without it, it need not.
        answer_suffix: is put in front of the answer, such as ``"The final answer is:"``.
        loop_budget: how many attempts there are at most.
        requirements: what the answer must be like, in place of what a call says.

    Raises:
        TypeError, ValueError: a budget makes no sense.
    """

    def __init__(
        self,
        *,
        think_max_tokens: int | None = 4096,
        answer_max_tokens: int | None = None,
        start_think_token: str | None = "<think>",
        end_think_token: str | None = "</think>",
        begin_response_token: str | None = "",
        end_response_token: str | None = "",
        think_more_suffix: str | None = "",
        answer_suffix: str | None = "",
        loop_budget: int = 1,
        requirements: Requirements = None,
    ) -> None:
        super().__init__(loop_budget=loop_budget, requirements=requirements)
        for name, budget in (
            ("think_max_tokens", think_max_tokens),
            ("answer_max_tokens", answer_max_tokens),
        ):
            if budget is not None:
                check_budget(name, budget)
        self.think_max_tokens = think_max_tokens
        self.answer_max_tokens = answer_max_tokens
        self.start_think_token: str = start_think_token or ""
        self.end_think_token: str = end_think_token or ""
        self.begin_response_token: str = begin_response_token or ""
        self.end_response_token: str = end_response_token or ""
        self.think_more_suffix: str = think_more_suffix or ""
        self.answer_suffix: str = answer_suffix or ""

    async def generate(
        self,
        action: Any,
        context: ContextT,
        backend: Backend,
        *,
        format: Any = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
    ) -> tuple[Thunk, ContextT]:
        """Make one attempt: think, and answer.

        Raises:
            ValueError: tools are wanted, which a raw completion cannot call.
            RuntimeError: the server does not say how many tokens a reply has.
            NotImplementedError: the backend has conversations only.
        """
        if tool_calls:
            raise ValueError("BudgetForcingSamplingStrategy cannot call tools")
        options = dict(model_options or {})
        written = _Written(backend, backend.formatter.print(action))
        if self.think_max_tokens is not None:
            await self._think(written, options, self.think_max_tokens)
        written.text += self.begin_response_token + self.answer_suffix
        if self.answer_max_tokens is not None:
            options[ModelOption.MAX_NEW_TOKENS] = self.answer_max_tokens
        if self.end_response_token:
            options[ModelOption.STOP_SEQUENCES] = [self.end_response_token]
        await written.go_on(options, format=format)
        thunk = written.as_thunk()
        thunk.parsed_repr = action.parse(thunk) if isinstance(action, Component) else thunk.value
        return thunk, context.add(action).add(thunk)

    async def _think(self, written: _Written, options: Mapping[str, Any], budget: int) -> None:
        written.text += self.start_think_token
        more = dict(options)
        if self.end_think_token:
            more[ModelOption.STOP_SEQUENCES] = [self.end_think_token]
        while budget > 0:
            more[ModelOption.MAX_NEW_TOKENS] = budget
            used = await written.go_on(more)
            budget -= used
            if not used or not self.think_more_suffix:
                break
            if budget > 0:
                written.text += self.think_more_suffix
        written.text += self.end_think_token


class _Written:
    """A text that a model goes on with, and what that cost."""

    def __init__(self, backend: Backend, prompt: str) -> None:
        self._backend = backend
        self._prompt = prompt
        self._usage = dict.fromkeys(_COUNTS, 0)
        self._last: Thunk | None = None
        self.text = ""

    async def go_on(self, options: Mapping[str, Any], *, format: Any = None) -> int:
        """Let the model go on, and return how many tokens it added."""
        (last,) = await self._backend.generate_from_raw(
            [CBlock(self._prompt + self.text)], format=format, model_options=options
        )
        usage = last.generation.usage or {}
        if usage.get("completion_tokens") is None:
            raise RuntimeError(
                f"{self._backend!r} does not say how many tokens a reply has, so no budget can be "
                "kept"
            )
        for name in _COUNTS:
            self._usage[name] += usage.get(name) or 0
        self._last = last
        self.text += last.value or ""
        return int(usage["completion_tokens"])

    def as_thunk(self) -> Thunk:
        """Return all that was written as one reply, with what is known of the last."""
        assert self._last is not None
        thunk: Thunk = ModelOutputThunk(self.text)
        thunk.generation = self._last.generation
        thunk.generation.usage = self._usage
        thunk.raw = self._last.raw
        thunk.generate_log = self._last.generate_log
        return thunk
