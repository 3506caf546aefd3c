"""A sampling strategy as one generation: one thunk for however many attempts.

The whole strategy runs inside the generation's task, so a call with a strategy is as
lazy as one without, and whatever stops the generation stops every attempt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from ..._language.component import unfinished_parts
from ..._language.context import Context
from ..._language.schema import json_schema
from ..._runtime.deadlines import deadline_for_new_tasks
from ..._runtime.host import current_host
from ..._thunk.fanout import check_mots
from ..._thunk.filling import show_facts
from ..._thunk.generation import DEFAULT_LINGER, Generation
from ..._thunk.thunk import ModelOutputThunk
from ..._values.options import ModelOption
from .base import Requirements, SamplingStrategy, settle_inputs
from .result import SamplingResult

if TYPE_CHECKING:
    from ..._runtime.owner import Owner
    from ...backends.base import Backend


def begin_sampled(
    backend: Backend,
    action: Any,
    ctx: Context,
    *,
    strategy: SamplingStrategy,
    requirements: Requirements = None,
    format: Any = None,
    model_options: Mapping[str, Any] | None = None,
    tool_calls: bool = False,
    owner: Owner | None = None,
    linger: float = DEFAULT_LINGER,
) -> ModelOutputThunk[Any]:
    """Start a sampling strategy and return the pending thunk of its answer. Not a checkpoint.

    The thunk gets the chosen attempt in one piece, with all that is known about it, and
    every attempt as its ``sampling_result``. When the first draft will do in any case it is
    an ordinary generation, whose deltas arrive one by one.

    Args:
        backend: asks the model.
        action: what to say; pending parts of it are waited for.
        ctx: what was said before.
        strategy: how to sample.
        requirements: what the answer must be like, unless the strategy has its own.
        format: a pydantic model class or a JSON schema for the answer.
        model_options: options for every call, those of judges included.
        tool_calls: whether the model may call the tools in the options.
        owner: whose the generation is; without one it belongs to the event loop.
        linger: for how long it goes on after the last one who waited has gone, seconds.

    Raises:
        TypeError, ValueError: an argument is of the wrong type, or cannot be sent.
        WrongEventLoop: a pending part belongs to another event loop.
        SessionClosed: the owner has ended.
    """
    if not isinstance(strategy, SamplingStrategy):
        raise TypeError(
            f"strategy should be a SamplingStrategy or None, not {type(strategy).__name__}"
        )
    if strategy.takes_first_draft(requirements):
        thunk = backend.begin(
            action,
            ctx,
            format=format,
            model_options=model_options,
            tool_calls=tool_calls,
            owner=owner,
            linger=linger,
        )
        thunk._source.watch(lambda _: _mark_final(thunk))
        return thunk
    # What would make every attempt fail is told to the caller at once.
    options = {**backend.model_options, **backend.normalised(model_options)}
    json_schema(format)
    check_mots([*unfinished_parts(action), *ctx.awaited()])
    job = _Job(backend, action, ctx, strategy, requirements, format, model_options, tool_calls)
    host = current_host()
    generation = Generation(job.produce, host=host, owner=owner, linger=linger)
    thunk = job.thunk = ModelOutputThunk.pending(generation)
    thunk.action, thunk.context, thunk.model_options = action, ctx, options
    thunk.generation.model = backend.model_id
    thunk.generation.provider = backend.provider
    thunk.generation.streaming = bool(options.get(ModelOption.STREAM))
    with deadline_for_new_tasks(host):
        generation.start()
    return thunk


async def wait_sampled(thunk: ModelOutputThunk[Any], ctx: Context) -> SamplingResult[Any]:
    """Wait for a thunk of `begin_sampled` and return all its attempts. A checkpoint.

    Args:
        thunk: the thunk.
        ctx: the context that `begin_sampled` was given; the result keeps it.

    Raises:
        BackendError, GenerationCancelled, DependencyError: as the thunk's `avalue`.
        Exception: what the strategy raised.
    """
    await thunk
    result: SamplingResult[Any] | None = thunk.sampling_result
    if result is not None:
        return result.on(ctx)
    return SamplingResult(  # its only attempt streamed through
        0,
        True,
        sample_generations=[thunk],
        sample_validations=[[]],
        sample_actions=[thunk.action],
        sample_contexts=[ctx.add(thunk.action).add(thunk)],
    )


@attrs.define(eq=False, weakref_slot=False)
class _Job:
    """One call with a strategy: what its generation's task runs."""

    backend: Backend
    action: Any
    ctx: Context
    strategy: SamplingStrategy
    requirements: Requirements
    format: Any
    model_options: Mapping[str, Any] | None
    tool_calls: bool
    thunk: ModelOutputThunk[Any] = attrs.field(init=False)

    async def produce(self, generation: Generation) -> None:
        await settle_inputs(self.action, self.ctx)
        result = await self.strategy.sample(
            self.action,
            self.ctx,
            self.backend,
            self.requirements,
            format=self.format,
            model_options=self.model_options,
            tool_calls=self.tool_calls,
        )
        if not isinstance(result, SamplingResult):
            raise TypeError(
                f"{type(self.strategy).__name__}.sample() should return a SamplingResult, "
                f"not {type(result).__name__}"
            )
        chosen = result.result
        async with chosen:  # a strategy of the user's may hand over one that is still arriving
            text = await chosen
        # No checkpoint from here on: nobody sees a thunk that is half filled.
        if text:
            generation.feed(text)
        show_facts(chosen, self.thunk)
        if self.thunk.generate_log is not None:
            self.thunk.generate_log.is_final_result = True
        result.adopt(self.thunk, self.ctx)
        result.value = text
        self.thunk.sampling_result = result


def _mark_final(thunk: ModelOutputThunk[Any]) -> None:
    if thunk.generate_log is not None and not thunk.is_lost():
        thunk.generate_log.is_final_result = True
