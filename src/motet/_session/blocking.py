"""The methods of a session for code without await.

Each is its async twin, run on the portal's event loop while the caller's thread waits;
there is no second copy of anything. Ctrl-C stops the request before it goes on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from .._runtime.portal import default_portal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Unpack

    from .._language.component import Component
    from .._language.message import Message
    from .._language.requirement import Requirement, ValidationResult
    from .._language.schema import Format
    from .._programs.sampling.result import SamplingResult
    from .._thunk.thunk import ComputedModelOutputThunk
    from .._values.metadata import GenerateLog
    from .calls import ActOptions, CallOptions, ChatOptions, InstructOptions, ToolOptions

S = TypeVar("S")


def run(call: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **kwargs: Any) -> Any:
    """Run an async method to its end on the portal's event loop.

    What it returns is for the caller to say: no type can pass through an overloaded
    function and its keywords.
    """
    return default_portal().call(functools.partial(call, *args, **kwargs))


def waiting(options: Mapping[str, object]) -> dict[str, Any]:
    """Return the keywords of a call without await as its async twin takes them.

    Raises:
        TypeError: they say whether to wait.
    """
    if "await_result" in options:
        raise TypeError("a call without await waits in any case; leave await_result away")
    return {**options, "await_result": True}


class BlockingMethods:
    """The half of `MelleaSession` that blocks the calling thread.

    They may be called where no event loop runs, in any thread, and inside a running event
    loop, which then stands still until the call is over.
    """

    if TYPE_CHECKING:
        ainstruct: Any
        aact: Any
        achat: Any
        avalidate: Any
        aquery: Any
        atransform: Any

    @overload
    def instruct(
        self,
        description: str,
        *,
        return_sampling_results: Literal[True],
        **options: Unpack[InstructOptions],
    ) -> SamplingResult[str]: ...
    @overload
    def instruct(
        self,
        description: str,
        *,
        return_sampling_results: Literal[False] = ...,
        **options: Unpack[InstructOptions],
    ) -> ComputedModelOutputThunk[str]: ...
    def instruct(
        self,
        description: str,
        *,
        return_sampling_results: bool = False,
        **options: Unpack[InstructOptions],
    ) -> Any:
        """Give the model a task and wait for its answer; see `ainstruct`."""
        return run(
            self.ainstruct,
            description,
            return_sampling_results=return_sampling_results,
            **waiting(options),
        )

    @overload
    def act(
        self,
        action: Component[S],
        *,
        return_sampling_results: Literal[True],
        **options: Unpack[ActOptions],
    ) -> SamplingResult[S]: ...
    @overload
    def act(
        self,
        action: Component[S],
        *,
        return_sampling_results: Literal[False] = ...,
        **options: Unpack[ActOptions],
    ) -> ComputedModelOutputThunk[S]: ...
    def act(
        self,
        action: Component[S],
        *,
        return_sampling_results: bool = False,
        **options: Unpack[ActOptions],
    ) -> Any:
        """Say a component to the model and wait for the answer; see `aact`."""
        return run(
            self.aact,
            action,
            return_sampling_results=return_sampling_results,
            **waiting(options),
        )

    def chat(self, content: str, role: str = "user", **options: Unpack[ChatOptions]) -> Message:
        """Say something to the model and wait for its answer; see `achat`."""
        answer: Message = run(self.achat, content, role, **options)
        return answer

    def validate(
        self,
        reqs: Requirement | str | Sequence[Requirement | str],
        *,
        output: Any = None,
        format: Format = None,
        model_options: Mapping[str, Any] | None = None,
        generate_logs: list[GenerateLog | None] | None = None,
        input: Any = None,  # noqa: A002 - the documented name
    ) -> list[ValidationResult]:
        """Check an output by requirements; see `avalidate`."""
        results: list[ValidationResult] = run(
            self.avalidate,
            reqs,
            output=output,
            format=format,
            model_options=model_options,
            generate_logs=generate_logs,
            input=input,
        )
        return results

    def query(
        self, obj: Any, query: str, **options: Unpack[ToolOptions]
    ) -> ComputedModelOutputThunk[str]:
        """Ask about an object and wait for the answer; see `aquery`."""
        answer: ComputedModelOutputThunk[str] = run(self.aquery, obj, query, **waiting(options))
        return answer

    def transform(self, obj: Any, transformation: str, **options: Unpack[CallOptions]) -> Any:
        """Have an object changed; see `atransform`."""
        return run(self.atransform, obj, transformation, **options)
